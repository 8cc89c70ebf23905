//! The rules of a call, tested against what they are meant to be and not against themselves: tables
//! written out by hand, a second account of who hears what, random histories, and every state that
//! a small call can reach.

mod cancels;
mod matrix;
mod matrix_tables;
mod order;
mod world;
