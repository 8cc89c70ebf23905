//! The engine that an app embeds.

pub mod clock;
pub mod link;
pub mod roots;
pub mod transport;
