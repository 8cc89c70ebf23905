//! What is fixed for good: the bytes on the wire, and the schema of the local database. And what
//! holds of bytes that nobody of ours has sent.

mod arbitrary;
mod framing;
mod hostile;
mod samples;
mod schema;
mod wire;
