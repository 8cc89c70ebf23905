//! Working offline first, point by point and sentence by sentence.

mod coming_back;
mod durable;
mod expiry;
mod identity;
mod journal;
mod order;
mod push;
mod record;
mod time;
