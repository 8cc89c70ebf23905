//! Transactions as such, and the clock.

use offhook::call::DeviceId;
use offhook::protocol::{Capabilities, Cursor};
use offhook::server::store::{DeviceRow, KeptVerdict, Transaction};

use crate::generate::{call_id, ringing, settled, user};
use crate::suite::{Checked, Harness, look, same, write};

pub fn the_clock_never_goes_back(harness: &Harness<'_>) -> Checked {
    let home = harness.home();
    let mut store = home.open()?;
    look(&mut *store, |transaction| {
        same("at first", transaction.clock()?, 0)
    })?;
    for (set, expected) in [(500, 500), (300, 500), (500, 500), (501, 501), (-1, 501)] {
        write(&mut *store, |transaction| {
            transaction.set_clock(set)?;
            same("in the transaction", transaction.clock()?, expected)
        })?;
        drop(store);
        store = home.open()?;
        look(&mut *store, |transaction| {
            same("after opening again", transaction.clock()?, expected)
        })?;
    }
    Ok(())
}

/// One of everything that can be written.
fn write_all(transaction: &mut dyn Transaction) -> Checked {
    let (ann, phone) = (user("ann"), DeviceId::trusted("phone"));
    let call = ringing("a", 90_000);
    transaction.set_clock(1_000)?;
    transaction.begin_epoch(5)?;
    transaction.put_call(None, &call)?;
    transaction.append_feed(&call.id, &[ann.clone(), user("bob")].into())?;
    transaction.put_user(&ann, Capabilities::OURS, 1_000)?;
    transaction.put_device(&DeviceRow {
        user: ann.clone(),
        device: phone.clone(),
        capabilities: Capabilities::OURS,
        build: String::new(),
        last_number: 1,
        settled_number: 0,
        welcome_token: String::new(),
        previous_welcome_token: None,
        hello_at: 1_000,
    })?;
    transaction.put_verdict(
        &ann,
        &phone,
        &KeptVerdict {
            number: 1,
            op: offhook::call::Op::trusted("op"),
            call: call.id,
            digest: [0; 32],
            result: Ok(offhook::call::Outcome::Accepted),
        },
    )?;
    Ok(())
}

/// Which of it is there.
fn seen(transaction: &mut dyn Transaction) -> Checked<[bool; 13]> {
    let (ann, bob) = (user("ann"), user("bob"));
    let phone = DeviceId::trusted("phone");
    let id = call_id("a");
    Ok([
        transaction.clock()? == 1_000,
        transaction.knows_cursor(Cursor { epoch: 5, seq: 0 })?,
        transaction.call(&id)?.is_some(),
        !transaction.open_calls_of(&bob, 1)?.is_empty(),
        transaction.call_of(&ann, &call_id("other"))?.is_some(),
        transaction.ring_of(&ann, &bob)?.is_some(),
        !transaction.due(90_000, 1)?.is_empty(),
        transaction.next_due()?.is_some(),
        !transaction.users_in_calls(None, 1)?.is_empty(),
        transaction.feed_after(&bob, 0, 2)?.len() == 1,
        transaction.device(&ann, &phone)?.is_some(),
        transaction.user_capabilities(&ann)?.is_some(),
        transaction.verdict(&ann, &phone, 1)?.is_some(),
    ])
}

pub fn uncommitted_work_leaves_nothing(harness: &Harness<'_>) -> Checked {
    let home = harness.home();
    let mut store = home.open()?;
    for _ in 0..2 {
        look(&mut *store, write_all)?;
        let found = look(&mut *store, seen)?;
        same("after a dropped transaction", found, [false; 13])?;
        drop(store);
        store = home.open()?;
        let found = look(&mut *store, seen)?;
        same("after opening again", found, [false; 13])?;
    }
    write(&mut *store, write_all)?;
    drop(store);
    store = home.open()?;
    let found = look(&mut *store, seen)?;
    same("after a commit and opening again", found, [true; 13])
}

pub fn a_transaction_sees_its_own_writes(harness: &Harness<'_>) -> Checked {
    let home = harness.home();
    let mut store = home.open()?;
    let call = ringing("a", 90_000);
    let ended = settled(&call);
    write(&mut *store, |transaction| {
        write_all(transaction)?;
        same("all of it", seen(transaction)?, [true; 13])?;
        let before = transaction.call(&call.id)?;
        same("the record", before.as_ref(), Some(&call))?;
        transaction.put_call(before.as_ref(), &ended)?;
        let after = transaction.call(&call.id)?;
        same("the changed record", after.as_ref(), Some(&ended))?;
        let (ann, phone) = (user("ann"), DeviceId::trusted("phone"));
        transaction.forget_verdicts(&ann, &phone, 1)?;
        let kept = transaction.verdict(&ann, &phone, 1)?;
        same("a forgotten verdict", kept, None)?;
        same("what is due", transaction.due(i64::MAX, 1)?, Vec::new())
    })
}
