//! Deadlines.

use offhook::call::{Call, CallId, UserState};

use crate::generate::{call_id, ringing, settled};
use crate::suite::{Checked, Harness, look, same, write};

pub fn a_deadline_is_due_from_its_time_on(harness: &Harness<'_>) -> Checked {
    let home = harness.home();
    let mut store = home.open()?;
    let call = ringing("a", 90_000);
    write(&mut *store, |transaction| {
        same("with no call", transaction.next_due()?, None)?;
        Ok(transaction.put_call(None, &call)?)
    })?;
    for opened_again in [false, true] {
        if opened_again {
            drop(store);
            store = home.open()?;
        }
        look(&mut *store, |transaction| {
            same("when next", transaction.next_due()?, Some(90_000))?;
            same("just before", transaction.due(89_999, 10)?, Vec::new())?;
            let due = transaction.due(90_000, 10)?;
            same("at its time", due, vec![call.id.clone()])?;
            let due = transaction.due(i64::MAX, 10)?;
            same("long after", due, vec![call.id.clone()])
        })?;
    }
    // A not-received check before the deadline brings the time forward.
    let mut checked = call.clone();
    checked.revision += 1;
    if let Some(bob) = checked.members.last_mut() {
        bob.check_at = 50_000;
    }
    write(&mut *store, |transaction| {
        let before = transaction.call(&call.id)?;
        transaction.put_call(before.as_ref(), &checked)?;
        same("with a check", transaction.next_due()?, Some(50_000))
    })
}

pub fn a_settled_deadline_is_never_due_again(harness: &Harness<'_>) -> Checked {
    let home = harness.home();
    let mut store = home.open()?;
    let by_state = |state: UserState| {
        let call = ringing(state.word(), 90_000);
        let mut after = call.clone();
        after.revision += 1;
        if let Some(bob) = after.members.last_mut() {
            bob.state = state;
        }
        (call, after)
    };
    let whole = ringing("whole", 90_000);
    let mut changes: Vec<(Call, Call)> = [
        UserState::Accepted,
        UserState::Rejected,
        UserState::Cancelled,
        UserState::Timeout,
    ]
    .map(by_state)
    .into();
    changes.push((whole.clone(), settled(&whole)));

    for (before, after) in &changes {
        write(&mut *store, |transaction| {
            Ok(transaction.put_call(None, before)?)
        })?;
        let fired = write(&mut *store, |transaction| {
            let due = transaction.due(90_000, 10)?;
            let found = transaction.call(&before.id)?;
            transaction.put_call(found.as_ref(), after)?;
            Ok(due)
        })?;
        same("what is due", fired, vec![before.id.clone()])?;
        for opened_again in [false, true] {
            if opened_again {
                drop(store);
                store = home.open()?;
            }
            look(&mut *store, |transaction| {
                let due = transaction.due(i64::MAX, 10)?;
                same("once it is settled", due, Vec::new())?;
                same("when next", transaction.next_due()?, None)
            })?;
        }
    }
    Ok(())
}

pub fn what_is_due_comes_earliest_first(harness: &Harness<'_>) -> Checked {
    let home = harness.home();
    let mut store = home.open()?;
    let deadlines = [70_000, 50_000, 90_000, 60_000, 80_000];
    write(&mut *store, |transaction| {
        for deadline in deadlines {
            transaction.put_call(None, &ringing(&deadline.to_string(), deadline))?;
        }
        Ok(())
    })?;
    let names = |times: &[i64]| -> Vec<CallId> {
        times
            .iter()
            .map(|time| call_id(&time.to_string()))
            .collect()
    };
    look(&mut *store, |transaction| {
        let due = transaction.due(80_000, 10)?;
        same("all", due, names(&[50_000, 60_000, 70_000, 80_000]))?;
        let due = transaction.due(80_000, 2)?;
        same("the first two", due, names(&[50_000, 60_000]))
    })
}
