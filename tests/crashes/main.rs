//! The server killed with SIGKILL, at every step of a scenario and with many commands in flight,
//! and started again on the same data and the same port: nothing acknowledged is lost, nothing is
//! done or told twice, and the scenario goes on to the same end.

#[allow(dead_code)]
#[path = "../scenarios/story.rs"]
mod story;
#[allow(dead_code)]
#[path = "../scenarios/support.rs"]
mod support;

mod actor;
mod check;
mod deadline;
mod device;
mod phone;
mod restart;
mod stage;
mod steps;
mod storm;
