//! What is removed because it is old.

use std::collections::BTreeSet;

use offhook::call::DeviceId;
use offhook::protocol::Capabilities;
use offhook::server::store::{DeviceRow, Removed};

use crate::generate::{call_id, ringing, settled, user};
use crate::suite::{Checked, Harness, holds, look, same, write};

pub fn what_ended_before_is_removed_from_every_feed_and_nothing_else(
    harness: &Harness<'_>,
) -> Checked {
    let home = harness.home();
    let mut store = home.open()?;
    let both: BTreeSet<_> = [user("ann"), user("bob")].into();
    let mut last = 0;
    write(&mut *store, |transaction| {
        for name in ["a", "b", "c"] {
            let call = ringing(name, 90_000);
            transaction.put_call(None, &call)?;
            transaction.append_feed(&call_id(name), &both)?;
            if name != "b" {
                transaction.put_call(Some(&call), &settled(&call))?;
            }
        }
        let given = transaction.append_feed(&call_id("a"), &[user("bob")].into())?;
        last = given[0].1;
        Ok(())
    })?;
    let ended = settled(&ringing("a", 90_000)).end_time();
    write(&mut *store, |transaction| {
        let none = transaction.remove_ended(0, ended, 10)?;
        same("at its end", none.count, 0)?;
        same("before", transaction.trimmed(&user("bob"))?, 0)?;
        let first = transaction.remove_ended(0, ended + 1, 1)?;
        same("one", first.count, 1)?;
        let next = first.next.unwrap_or_default();
        holds("there is more", next > 0)?;
        let rest = transaction.remove_ended(next, ended + 1, 10)?;
        same(
            "the rest",
            rest,
            Removed {
                next: None,
                count: 1,
            },
        )
    })?;
    drop(store);
    let mut store = home.open()?;
    look(&mut *store, |transaction| {
        for (name, is_there) in [("a", false), ("b", true), ("c", false)] {
            let found = transaction.call(&call_id(name))?.is_some();
            same(name, found, is_there)?;
        }
        for name in ["ann", "bob"] {
            let feed = transaction.feed_after(&user(name), 0, 10)?;
            let calls: Vec<_> = feed.into_iter().map(|(_, call)| call).collect();
            same("a feed", calls, vec![call_id("b")])?;
        }
        same("bob's", transaction.trimmed(&user("bob"))?, last)?;
        holds("ann's", transaction.trimmed(&user("ann"))? < last)?;
        same("nobody's", transaction.trimmed(&user("cyd"))?, 0)
    })
}

pub fn devices_that_were_not_here_for_long_are_removed_in_their_order(
    harness: &Harness<'_>,
) -> Checked {
    let home = harness.home();
    let mut store = home.open()?;
    let row = |name: &str, device: &str, hello_at| DeviceRow {
        user: user(name),
        device: DeviceId::trusted(device),
        capabilities: Capabilities::OURS,
        build: String::new(),
        last_number: 0,
        settled_number: 0,
        welcome_token: "token".to_owned(),
        previous_welcome_token: None,
        hello_at,
    };
    let rows = [
        row("ann", "a", 10),
        row("ann", "b", 20),
        row("bob", "a", 10),
        row("cyd", "a", 10),
    ];
    write(&mut *store, |transaction| {
        for row in &rows {
            transaction.put_device(row)?;
        }
        let verdict = super::devices::accepted(1);
        Ok(transaction.put_verdict(&user("bob"), &DeviceId::trusted("a"), &verdict)?)
    })?;
    write(&mut *store, |transaction| {
        let first = transaction.remove_devices(None, 20, 3)?;
        same("owed nothing", first.count, 1)?;
        let behind = (user("bob"), DeviceId::trusted("a"));
        same("looked at", first.next.clone(), Some(behind))?;
        let rest = transaction.remove_devices(first.next.as_ref(), 20, 3)?;
        same(
            "the rest",
            rest,
            Removed {
                next: None,
                count: 1,
            },
        )
    })?;
    look(&mut *store, |transaction| {
        for (row, is_there) in rows.iter().zip([false, true, true, false]) {
            let found = transaction.device(&row.user, &row.device)?.is_some();
            same("a device", found, is_there)?;
        }
        Ok(())
    })
}
