//! What the contract promises, sentence by sentence: the points of working offline first, and the
//! complaints that people have about other products of this kind. `docs/promises.md` says which
//! test is which.
//!
//! Where a moment matters that no network can be made to hit (a frame that is not delivered yet, an
//! hour, a day, a clock that is wrong), both cores run on their real stores under the clock of
//! [`world`]. Everything else is done by real engines with a real server process.

#[allow(dead_code)]
#[path = "../scenarios/story.rs"]
mod story;
#[allow(dead_code)]
#[path = "../scenarios/support.rs"]
mod support;

mod commands;
mod fault;
mod phone;
mod spoil;
mod words;
mod world;

mod complaints;
mod offline;
