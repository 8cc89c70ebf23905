//! The rules of a call, tested against what they are meant to be and not against themselves: tables
//! written out by hand, a second account of who hears what, random histories, and every state that
//! a small call can reach.

mod allowed;
mod cancels;
mod catching_up;
mod endings;
mod hears;
mod invitations;
mod matrix;
mod matrix_tables;
mod order;
mod participation;
mod properties;
mod reachable;
mod scene;
mod showing;
mod time;
mod told;
mod world;
