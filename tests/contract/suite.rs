//! The list of checks, and what they are given.

use std::fmt::Debug;

use offhook::server::store::{Store, StoreError, StoreResult, Transaction};

use crate::checks::{calls, devices, due, feed, retention, transactions};

/// Where the data of one store is. Only one store at a time is open in it.
pub trait Home {
    /// Opens the store, on all that was committed in this home before.
    fn open(&self) -> StoreResult<Box<dyn Store>>;
}

/// Gives a check as many empty homes as it wants.
pub struct Harness<'a> {
    make: &'a dyn Fn() -> Box<dyn Home>,
}

impl<'a> Harness<'a> {
    pub fn new(make: &'a dyn Fn() -> Box<dyn Home>) -> Self {
        Self { make }
    }

    /// An empty home.
    pub fn home(&self) -> Box<dyn Home> {
        (self.make)()
    }
}

/// How a store breaks the contract.
#[derive(Debug)]
pub struct Broken(pub String);

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

/// What a check gives.
pub type Checked<T = ()> = Result<T, Broken>;

/// One point of the contract.
pub struct Check {
    /// What is checked, as a sentence.
    pub name: &'static str,
    /// Says how a store breaks it.
    pub run: fn(&Harness<'_>) -> Checked,
}

macro_rules! checks {
    ($($module:ident::$name:ident,)+) => {
        /// The contract.
        pub const CHECKS: &[Check] = &[
            $(Check { name: stringify!($name), run: $module::$name },)+
        ];
    };
}

checks! {
    retention::what_ended_before_is_removed_from_every_feed_and_nothing_else,
    retention::devices_that_were_not_here_for_long_are_removed_in_their_order,
    devices::a_verdict_is_kept_until_it_is_forgotten,
    devices::a_number_is_kept_once,
    devices::verdicts_come_back_as_they_were,
    devices::devices_and_users_come_back_as_they_were,
    feed::each_call_stands_once_in_a_feed,
    feed::numbers_in_feeds_only_grow,
    feed::a_feed_comes_in_pages,
    feed::a_cursor_is_good_for_what_its_epoch_gave,
    due::a_deadline_is_due_from_its_time_on,
    due::a_settled_deadline_is_never_due_again,
    due::what_is_due_comes_earliest_first,
    calls::records_come_back_as_they_were,
    calls::who_is_busy_follows_the_records,
    transactions::the_clock_never_goes_back,
    transactions::uncommitted_work_leaves_nothing,
    transactions::a_transaction_sees_its_own_writes,
}

/// Panics if a store breaks that point.
pub fn hold(name: &str, make: &dyn Fn() -> Box<dyn Home>) {
    let check = CHECKS
        .iter()
        .find(|check| check.name == name)
        .unwrap_or_else(|| panic!("the contract has no check {name}"));
    if let Err(Broken(how)) = (check.run)(&Harness::new(make)) {
        panic!("{name}: {how}");
    }
}

/// Does it in a transaction, and commits.
pub fn write<T>(
    store: &mut dyn Store,
    work: impl FnOnce(&mut dyn Transaction) -> Checked<T>,
) -> Checked<T> {
    let mut transaction = store.begin()?;
    let done = work(&mut *transaction)?;
    transaction.commit()?;
    Ok(done)
}

/// Does it in a transaction that is dropped.
pub fn look<T>(
    store: &mut dyn Store,
    work: impl FnOnce(&mut dyn Transaction) -> Checked<T>,
) -> Checked<T> {
    let mut transaction = store.begin()?;
    work(&mut *transaction)
}

/// The two are to be the same.
pub fn same<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Checked {
    if found == expected {
        return Ok(());
    }
    Err(Broken(format!(
        "{what}: found {found:?}, expected {expected:?}"
    )))
}

/// This is to be so.
pub fn holds(what: &str, so: bool) -> Checked {
    if so {
        return Ok(());
    }
    Err(Broken(format!("it does not hold that {what}")))
}
