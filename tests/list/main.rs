//! The list of calls: pages while calls come and change, and answers that come again.

#![cfg(feature = "cli")]

mod generate;
mod live;
mod paging;
