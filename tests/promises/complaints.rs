//! What people complain about elsewhere: each complaint has a test, or several, that begins with its
//! own words.

mod answers;
mod busy;
mod moments;
mod ringing;
mod tokens;
