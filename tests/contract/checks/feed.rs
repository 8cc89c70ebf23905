//! Feeds, their numbers, and cursors.

use std::collections::BTreeSet;

use offhook::call::UserId;
use offhook::protocol::Cursor;
use offhook::server::store::{Store, Transaction};

use crate::generate::{call_id, ringing, user};
use crate::suite::{Checked, Harness, holds, look, same, write};

fn both() -> BTreeSet<UserId> {
    [user("ann"), user("bob")].into()
}

fn put_calls(transaction: &mut dyn Transaction, names: &[&str]) -> Checked {
    for name in names {
        transaction.put_call(None, &ringing(name, 90_000))?;
    }
    Ok(())
}

/// The names of the calls in the feed, in order.
fn feed_of(transaction: &mut dyn Transaction, name: &str) -> Checked<Vec<String>> {
    let feed = transaction.feed_after(&user(name), 0, 100)?;
    Ok(feed.into_iter().map(|(_, call)| call.to_string()).collect())
}

pub fn each_call_stands_once_in_a_feed(harness: &Harness<'_>) -> Checked {
    let home = harness.home();
    let mut store = home.open()?;
    write(&mut *store, |transaction| {
        put_calls(transaction, &["a", "b", "c"])?;
        for name in ["a", "b", "c"] {
            transaction.append_feed(&call_id(name), &both())?;
        }
        same(
            "before",
            feed_of(transaction, "ann")?.concat(),
            "abc".to_owned(),
        )
    })?;
    write(&mut *store, |transaction| {
        transaction.append_feed(&call_id("a"), &[user("ann")].into())?;
        Ok(())
    })?;
    for opened_again in [false, true] {
        if opened_again {
            drop(store);
            store = home.open()?;
        }
        look(&mut *store, |transaction| {
            let ann = feed_of(transaction, "ann")?.concat();
            same("where it changed", ann, "bca".to_owned())?;
            let bob = feed_of(transaction, "bob")?.concat();
            same("where it did not", bob, "abc".to_owned())?;
            let nobody = feed_of(transaction, "cyd")?;
            same("where nothing ever was", nobody, Vec::new())
        })?;
    }
    Ok(())
}

pub fn numbers_in_feeds_only_grow(harness: &Harness<'_>) -> Checked {
    let home = harness.home();
    let mut last = 0;
    for round in 0..4 {
        let mut store = home.open()?;
        let given = write(&mut *store, |transaction| {
            if round == 0 {
                put_calls(transaction, &["a", "b"])?;
            }
            let mut given = transaction.append_feed(&call_id("a"), &both())?;
            let users: Vec<&UserId> = given.iter().map(|(user, _)| user).collect();
            same("who got a number", users, both().iter().collect())?;
            given.extend(transaction.append_feed(&call_id("b"), &[user("bob")].into())?);
            let none = transaction.append_feed(&call_id("b"), &BTreeSet::new())?;
            same("nobody's numbers", none, Vec::new())?;
            Ok(given)
        })?;
        for (whose, number) in given {
            holds(
                &format!("{number} is beyond {last}, whoever's it is ({whose})"),
                number > last,
            )?;
            last = number;
        }
        look(&mut *store, |transaction| {
            let feed = transaction.feed_after(&user("bob"), 0, 10)?;
            same(
                "the number last given and the last in the feed",
                feed.last().map(|(number, _)| *number),
                Some(last),
            )
        })?;
    }
    Ok(())
}

pub fn a_feed_comes_in_pages(harness: &Harness<'_>) -> Checked {
    let home = harness.home();
    let mut store = home.open()?;
    let names: Vec<String> = (0..7).map(|n| format!("call {n}")).collect();
    let mut given = Vec::new();
    for name in &names {
        let numbers = write(&mut *store, |transaction| {
            transaction.put_call(None, &ringing(name, 90_000))?;
            Ok(transaction.append_feed(&call_id(name), &both())?)
        })?;
        given.extend(
            numbers
                .into_iter()
                .filter(|(whose, _)| *whose == user("ann"))
                .map(|(_, number)| (number, call_id(name))),
        );
    }
    look(&mut *store, |transaction| {
        let mut read = Vec::new();
        let mut after = 0;
        loop {
            let page = transaction.feed_after(&user("ann"), after, 3)?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            holds("a page is no longer than asked", page.len() <= 3)?;
            read.extend(page);
        }
        same("all pages together", read, given)?;
        let beyond = transaction.feed_after(&user("ann"), u64::MAX, 3)?;
        same(
            "the page after the last number there is",
            beyond,
            Vec::new(),
        )
    })
}

/// Gives two numbers in a new epoch; gives the last.
fn epoch(store: &mut dyn Store, epoch: u64) -> Checked<u64> {
    write(store, |transaction| {
        transaction.begin_epoch(epoch)?;
        let given = transaction.append_feed(&call_id("a"), &both())?;
        Ok(given.last().map_or(0, |(_, number)| *number))
    })
}

pub fn a_cursor_is_good_for_what_its_epoch_gave(harness: &Harness<'_>) -> Checked {
    let home = harness.home();
    let mut store = home.open()?;
    let knows = |store: &mut dyn Store, epoch: u64, seq: u64, expected: bool| {
        look(store, |transaction| {
            let known = transaction.knows_cursor(Cursor { epoch, seq })?;
            same(&format!("number {seq} of epoch {epoch}"), known, expected)
        })
    };
    knows(&mut *store, 0, 0, false)?;
    knows(&mut *store, 11, 0, false)?;
    write(&mut *store, |transaction| put_calls(transaction, &["a"]))?;
    let first_end = epoch(&mut *store, 11)?;
    drop(store);
    store = home.open()?;
    knows(&mut *store, 11, first_end, true)?;
    knows(&mut *store, 11, first_end + 1, false)?;
    let second_end = epoch(&mut *store, u64::MAX)?;
    for (epoch, seq, expected) in [
        (11, 0, true),
        (11, first_end, true),
        (11, first_end + 1, false),
        (11, second_end, false),
        (u64::MAX, 0, true),
        (u64::MAX, first_end, true),
        (u64::MAX, second_end, true),
        (u64::MAX, second_end + 1, false),
        (u64::MAX, u64::MAX, false),
        (0, 0, false),
        (12, 0, false),
        (12, first_end, false),
    ] {
        knows(&mut *store, epoch, seq, expected)?;
    }
    look(&mut *store, |transaction| {
        holds("an epoch begins once", transaction.begin_epoch(11).is_err())
    })
}
