//! Verdicts, devices, users.

use offhook::call::{DeviceId, Op, Outcome, UserId};
use offhook::protocol::Capabilities;
use offhook::server::store::{DeviceRow, KeptVerdict};

use crate::generate::{call_id, each, user, verdict};
use crate::suite::{Checked, Harness, holds, look, same, write};

fn whose() -> (UserId, DeviceId) {
    (user("ann"), DeviceId::trusted("phone"))
}

pub fn accepted(number: u64) -> KeptVerdict {
    KeptVerdict {
        number,
        op: Op::trusted(format!("op {number}")),
        call: call_id("some call"),
        digest: [7; 32],
        result: Ok(Outcome::Accepted),
    }
}

pub fn a_verdict_is_kept_until_it_is_forgotten(harness: &Harness<'_>) -> Checked {
    let home = harness.home();
    let (ann, phone) = whose();
    let others = [
        (user("ann"), DeviceId::trusted("tablet")),
        (user("bob"), DeviceId::trusted("phone")),
    ];
    let mut store = home.open()?;
    write(&mut *store, |transaction| {
        for number in 1..=4 {
            transaction.put_verdict(&ann, &phone, &accepted(number))?;
        }
        for (user, device) in &others {
            transaction.put_verdict(user, device, &accepted(1))?;
        }
        Ok(())
    })?;
    for opened_again in [false, true] {
        if opened_again {
            drop(store);
            store = home.open()?;
        }
        look(&mut *store, |transaction| {
            for number in 1..=4 {
                let found = transaction.verdict(&ann, &phone, number)?;
                same("a kept verdict", found, Some(accepted(number)))?;
            }
            let from = transaction.verdicts_from(&ann, &phone, 2, 2)?;
            same("two from 2 on", from, vec![accepted(2), accepted(3)])?;
            let beyond = transaction.verdicts_from(&ann, &phone, u64::MAX, 2)?;
            same("from beyond the last", beyond, Vec::new())
        })?;
    }
    write(&mut *store, |transaction| {
        Ok(transaction.forget_verdicts(&ann, &phone, 3)?)
    })?;
    drop(store);
    store = home.open()?;
    look(&mut *store, |transaction| {
        let kept = transaction.verdicts_from(&ann, &phone, 0, 10)?;
        same("after forgetting up to 3", kept, vec![accepted(4)])?;
        let none = transaction.verdict(&ann, &phone, 3)?;
        same("a forgotten verdict", none, None)?;
        for (user, device) in &others {
            let found = transaction.verdict(user, device, 1)?;
            same("another device's verdict", found, Some(accepted(1)))?;
        }
        Ok(())
    })
}

pub fn a_number_is_kept_once(harness: &Harness<'_>) -> Checked {
    let home = harness.home();
    let (ann, phone) = whose();
    let mut store = home.open()?;
    let first = accepted(1);
    let second = KeptVerdict {
        op: Op::trusted("another"),
        ..accepted(1)
    };
    write(&mut *store, |transaction| {
        Ok(transaction.put_verdict(&ann, &phone, &first)?)
    })?;
    look(&mut *store, |transaction| {
        let refused = transaction.put_verdict(&ann, &phone, &second).is_err();
        holds("a number kept twice is refused", refused)
    })?;
    look(&mut *store, |transaction| {
        let found = transaction.verdict(&ann, &phone, 1)?;
        same("the first verdict", found, Some(first))
    })
}

pub fn verdicts_come_back_as_they_were(harness: &Harness<'_>) -> Checked {
    let home = harness.home();
    let (ann, phone) = whose();
    each(64, &verdict(), |verdict| {
        // Never committed, so that each number is free again.
        look(&mut *home.open()?, |transaction| {
            transaction.put_verdict(&ann, &phone, &verdict)?;
            let found = transaction.verdict(&ann, &phone, verdict.number)?;
            same("a verdict", found, Some(verdict))
        })
    })
}

pub fn devices_and_users_come_back_as_they_were(harness: &Harness<'_>) -> Checked {
    let home = harness.home();
    let (ann, phone) = whose();
    let first = DeviceRow {
        user: ann.clone(),
        device: phone.clone(),
        capabilities: Capabilities(u32::MAX),
        build: "a build \0 of 今天".to_owned(),
        last_number: 7,
        settled_number: 5,
        welcome_token: "newest".to_owned(),
        previous_welcome_token: Some("before".to_owned()),
        hello_at: 1_700_000_000_000,
    };
    let second = DeviceRow {
        last_number: 8,
        previous_welcome_token: None,
        ..first.clone()
    };
    for row in [&first, &second] {
        let mut store = home.open()?;
        write(&mut *store, |transaction| {
            transaction.put_device(row)?;
            transaction.put_user(&ann, row.capabilities, row.hello_at)?;
            Ok(())
        })?;
        drop(store);
        look(&mut *home.open()?, |transaction| {
            let found = transaction.device(&ann, &phone)?;
            same("the device", found, Some(row.clone()))?;
            let found = transaction.user_capabilities(&ann)?;
            same("the user", found, Some(row.capabilities))
        })?;
    }
    look(&mut *home.open()?, |transaction| {
        let other = transaction.device(&ann, &DeviceId::trusted("tablet"))?;
        same("a device that never came", other, None)?;
        let other = transaction.user_capabilities(&user("Ann"))?;
        same("a user who never came", other, None)
    })
}
