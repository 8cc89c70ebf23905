//! Records, and who is busy with what.

use std::collections::BTreeSet;

use offhook::call::passing::due;
use offhook::call::{Call, CallId, CallState, Member, UserId, UserState};
use offhook::server::store::Transaction;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::generate::{call_id, each, plain_member, record, ringing, user};
use crate::suite::{Broken, Checked, Harness, holds, look, same, write};

pub fn records_come_back_as_they_were(harness: &Harness<'_>) -> Checked {
    each(
        48,
        &(record(), record(), record()),
        |(first, second, third)| {
            let home = harness.home();
            let mut before: Option<Call> = None;
            for after in [first, second, third] {
                let mut store = home.open()?;
                write(&mut *store, |transaction| {
                    let found = transaction.call(&after.id)?;
                    same("the record before", found.as_ref(), before.as_ref())?;
                    Ok(transaction.put_call(found.as_ref(), &after)?)
                })?;
                drop(store);
                look(&mut *home.open()?, |transaction| {
                    let found = transaction.call(&after.id)?;
                    same("the record after", found.as_ref(), Some(&after))?;
                    let other = transaction.call(&call_id("Drawn"))?;
                    same("a call that never was", other, None)
                })?;
                before = Some(after);
            }
            Ok(())
        },
    )
}

const USERS: [&str; 5] = ["ann", "bob", "cyd", "dan", "eve"];
const CALLS: usize = 6;

/// One thing that happens to the store.
#[derive(Clone, Debug)]
enum Step {
    /// A call of that number is written, as a new one if it is new.
    Put(usize, Box<Call>),
    /// The same, and the transaction is dropped.
    Lose(usize, Box<Call>),
    /// The store is closed and opened.
    Reopen,
}

fn body() -> impl Strategy<Value = Box<Call>> {
    let place = (
        select(UserState::ALL),
        proptest::option::of(select(&USERS[..])),
        1_000..2_000_i64,
        prop_oneof![Just(0), 1_000..2_000_i64],
    );
    let members = (subsequence(&USERS[..], 1..=5), vec(place, 5));
    let state = prop_oneof![3 => Just(CallState::Started), 1 => Just(CallState::Ended)];
    (members, state).prop_map(|((users, places), state)| {
        let mut call = ringing("drawn", 0);
        call.state = state;
        call.members = users
            .iter()
            .zip(places)
            .map(|(name, (state, inviter, deadline, check_at))| Member {
                inviter: inviter.map(user),
                deadline,
                check_at,
                ..plain_member(name, state)
            })
            .collect();
        Box::new(call)
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..CALLS, body()).prop_map(|(number, call)| Step::Put(number, call)),
        1 => (0..CALLS, body()).prop_map(|(number, call)| Step::Lose(number, call)),
        1 => Just(Step::Reopen),
    ]
}

/// What a store has to answer, from nothing but the records, oldest first.
#[derive(Default)]
struct Model {
    calls: Vec<Call>,
}

impl Model {
    /// The call of that number as it is and as it becomes. New calls are created in order.
    fn change(&self, number: usize, drawn: &Call) -> (Option<&Call>, Call) {
        let before = self.calls.get(number);
        let number = if before.is_some() {
            number
        } else {
            self.calls.len()
        };
        let after = Call {
            id: call_id(&format!("call {number}")),
            revision: before.map_or(1, |call| call.revision + 1),
            create_time: i64::try_from(number).unwrap_or_default(),
            ..drawn.clone()
        };
        (before, after)
    }

    fn take(&mut self, after: Call) {
        match self.calls.iter_mut().find(|call| call.id == after.id) {
            Some(call) => *call = after,
            None => self.calls.push(after),
        }
    }

    /// Ids, newest first, of started calls in which the user stands so.
    fn newest(&self, user: &UserId, stands: impl Fn(&Member) -> bool) -> Vec<CallId> {
        self.calls
            .iter()
            .rev()
            .filter(|call| call.is_started() && call.member(user).is_some_and(&stands))
            .map(|call| call.id.clone())
            .collect()
    }

    fn compare(&self, transaction: &mut dyn Transaction) -> Checked {
        for call in &self.calls {
            let found = transaction.call(&call.id)?;
            same("a record", found.as_ref(), Some(call))?;
        }
        for name in USERS {
            self.compare_user(transaction, &user(name))?;
        }
        self.compare_users_in_calls(transaction)?;
        self.compare_due(transaction)
    }

    fn compare_user(&self, transaction: &mut dyn Transaction, user: &UserId) -> Checked {
        let open = self.newest(user, |member| member.state.takes_place());
        for limit in [1, 100] {
            let expected: Vec<CallId> = open.iter().take(limit).cloned().collect();
            let found = transaction.open_calls_of(user, limit)?;
            same(&format!("open calls of {user}"), found, expected)?;
        }
        let inside = self.newest(user, |member| member.state == UserState::Accepted);
        let nowhere = call_id("nowhere");
        for except in inside.iter().chain([&nowhere]) {
            let expected = inside.iter().find(|id| *id != except).cloned();
            let found = transaction.call_of(user, except)?;
            same(
                &format!("the call of {user}, not {except}"),
                found,
                expected,
            )?;
        }
        for inviter in USERS.map(crate::generate::user) {
            let rings = self.newest(user, |member| {
                member.state.is_pending() && member.inviter.as_ref() == Some(&inviter)
            });
            let found = transaction.ring_of(&inviter, user)?;
            let expected = rings.first().cloned();
            same(&format!("the ring of {inviter} at {user}"), found, expected)?;
        }
        Ok(())
    }

    fn compare_users_in_calls(&self, transaction: &mut dyn Transaction) -> Checked {
        let inside: BTreeSet<UserId> = USERS
            .map(user)
            .into_iter()
            .filter(|user| {
                !self
                    .newest(user, |member| member.state == UserState::Accepted)
                    .is_empty()
            })
            .collect();
        let mut found = Vec::new();
        loop {
            let page = transaction.users_in_calls(found.last(), 2)?;
            holds("a page is no longer than asked", page.len() <= 2)?;
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        same("users in calls", found, inside.into_iter().collect())
    }

    fn compare_due(&self, transaction: &mut dyn Transaction) -> Checked {
        let mut all: Vec<(i64, CallId)> = self
            .calls
            .iter()
            .filter_map(|call| Some((due(call)?, call.id.clone())))
            .collect();
        all.sort();
        let next = transaction.next_due()?;
        same("what is due next", next, all.first().map(|(time, _)| *time))?;
        for now in [999, 1_300, 1_700, 2_000] {
            // Calls of the same time may come in any order.
            let mut found: Vec<(i64, CallId)> = Vec::new();
            for id in transaction.due(now, 100)? {
                let time = all.iter().find(|(_, other)| *other == id);
                let (time, _) = time.ok_or_else(|| Broken(format!("{id} is due, but settled")))?;
                found.push((*time, id));
            }
            holds(
                "the earliest is first",
                found.is_sorted_by_key(|(time, _)| *time),
            )?;
            found.sort();
            let expected = all.iter().filter(|(time, _)| *time <= now).cloned();
            same(&format!("what is due at {now}"), found, expected.collect())?;
        }
        Ok(())
    }
}

pub fn who_is_busy_follows_the_records(harness: &Harness<'_>) -> Checked {
    each(32, &vec(step(), 1..24), |steps| {
        let home = harness.home();
        let mut store = home.open()?;
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Put(number, drawn) => {
                    let (before, after) = model.change(number, &drawn);
                    write(&mut *store, |transaction| {
                        Ok(transaction.put_call(before, &after)?)
                    })?;
                    model.take(after);
                }
                Step::Lose(number, drawn) => {
                    let (before, after) = model.change(number, &drawn);
                    look(&mut *store, |transaction| {
                        Ok(transaction.put_call(before, &after)?)
                    })?;
                }
                Step::Reopen => {
                    drop(store);
                    store = home.open()?;
                }
            }
            look(&mut *store, |transaction| model.compare(transaction))?;
        }
        Ok(())
    })
}
