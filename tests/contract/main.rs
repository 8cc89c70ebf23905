//! What every store of the server has to do, whatever it is built on.
//!
//! [`suite::CHECKS`] is the contract: named checks that see a store only through its interface,
//! and that can close and open it again. Here SQLite is put through it, and three stores that are
//! each wrong in one way, which it has to find out.

#![cfg(feature = "server")]

mod checks;
mod faulty;
mod generate;
mod sqlite;
mod suite;

use suite::{CHECKS, Harness};

/// The contract, a test a check.
macro_rules! on_sqlite {
    ($($name:ident)+) => {
        mod on_sqlite {
            $(#[test]
            fn $name() {
                super::suite::hold(stringify!($name), &super::sqlite::homes);
            })+

            pub const NAMES: &[&str] = &[$(stringify!($name)),+];
        }
    };
}

on_sqlite! {
    what_ended_before_is_removed_from_every_feed_and_nothing_else
    devices_that_were_not_here_for_long_are_removed_in_their_order
    a_verdict_is_kept_until_it_is_forgotten
    a_number_is_kept_once
    verdicts_come_back_as_they_were
    devices_and_users_come_back_as_they_were
    each_call_stands_once_in_a_feed
    numbers_in_feeds_only_grow
    a_feed_comes_in_pages
    a_cursor_is_good_for_what_its_epoch_gave
    a_deadline_is_due_from_its_time_on
    a_settled_deadline_is_never_due_again
    what_is_due_comes_earliest_first
    records_come_back_as_they_were
    who_is_busy_follows_the_records
    the_clock_never_goes_back
    uncommitted_work_leaves_nothing
    a_transaction_sees_its_own_writes
}

#[test]
fn every_check_of_the_contract_is_put_to_sqlite() {
    let names: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
    assert_eq!(on_sqlite::NAMES, names);
}

/// The checks that a store of the given fault fails.
fn found_out(fault: faulty::Fault) -> Vec<&'static str> {
    let make = move || faulty::homes(fault);
    let harness = Harness::new(&make);
    CHECKS
        .iter()
        .filter(|check| (check.run)(&harness).is_err())
        .map(|check| check.name)
        .collect()
}

#[test]
fn a_store_that_forgets_a_verdict_is_found_out() {
    assert_eq!(
        found_out(faulty::Fault::ForgetsAVerdict),
        ["a_verdict_is_kept_until_it_is_forgotten"]
    );
}

#[test]
fn a_store_that_loses_a_feed_entry_is_found_out() {
    assert_eq!(
        found_out(faulty::Fault::LosesAFeedEntry),
        ["each_call_stands_once_in_a_feed", "a_feed_comes_in_pages"]
    );
}

#[test]
fn a_store_that_fires_a_deadline_twice_is_found_out() {
    assert_eq!(
        found_out(faulty::Fault::FiresTwice),
        [
            "a_settled_deadline_is_never_due_again",
            "who_is_busy_follows_the_records",
            "a_transaction_sees_its_own_writes"
        ]
    );
}
