//! Pages of a list into which somebody writes all the time, beside a list that is kept by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use offhook::client::store::{Filter, Page, Query, Readers, Store};
use offhook::{
    Call, CallId, CallState, DeviceId, EndKind, Ending, Member, Mode, UserId, UserState,
};
use proptest::prelude::*;

/// The life of the server that told all of it.
const EPOCH: u64 = 7;
/// Calls that are there before the writer begins.
const CALLS: u32 = 300;

fn me() -> UserId {
    UserId::trusted("me")
}

fn open(path: &Path) -> Store {
    Store::open(path, &me(), &DeviceId::trusted("phone")).expect("a database")
}

/// How a call is, as far as a filter can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct How {
    time: i64,
    with_bob: bool,
    missed: bool,
    over: bool,
}

fn call(n: u32, how: How) -> Call {
    let friend = UserId::trusted(if how.with_bob { "bob" } else { "carol" });
    let member = |user: &UserId, invitation, state| Member {
        user: user.clone(),
        inviter: (invitation > 0).then(|| friend.clone()),
        invitation,
        invited_at: how.time,
        timeout_s: 60,
        deadline: how.time + 60_000,
        check_at: 0,
        invite_data: String::new(),
        state,
        state_revision: 1,
        state_time: how.time,
        data: String::new(),
        changed_by: None,
        acting_device: None,
        accept_time: 0,
        join_time: 0,
        quit_time: 0,
        participation: 0,
        own: None,
    };
    let mine = if how.missed {
        UserState::Timeout
    } else {
        UserState::Accepted
    };
    Call {
        id: CallId::trusted(format!("call-{n}")),
        revision: 1,
        mode: Mode::Advanced,
        caller: friend.clone(),
        create_time: how.time,
        timeout_s: 60,
        extended_data: String::new(),
        not_received_check: false,
        state: if how.over {
            CallState::Ended
        } else {
            CallState::Started
        },
        ending: how.over.then(|| Ending {
            kind: EndKind::Ended,
            time: how.time,
            revision: 1,
            by: None,
            device: None,
            data: String::new(),
        }),
        members: vec![
            member(&friend, 0, UserState::Accepted),
            member(&me(), 1, mine),
        ],
    }
}

fn put(store: &mut Store, n: u32, how: How) {
    let call = call(n, how);
    let done = store.transact(|tx| {
        let before = tx.call(&call.id)?;
        tx.put_call(before.as_ref(), &call, EPOCH)
    });
    done.expect("written");
}

/// The list, kept by hand: creation time and the order of coming, which no call ever changes.
#[derive(Default)]
struct Model {
    calls: BTreeMap<(i64, u32), How>,
    places: Vec<(i64, u32)>,
}

impl Model {
    fn add(&mut self, how: How) -> u32 {
        let n = u32::try_from(self.places.len()).expect("few");
        self.places.push((how.time, n));
        self.calls.insert((how.time, n), how);
        n
    }

    fn change(&mut self, which: usize, to: How) -> Option<(u32, How)> {
        let place = *self.places.get(which.checked_rem(self.places.len())?)?;
        let how = self.calls.get_mut(&place)?;
        *how = How {
            time: place.0,
            // Who is in a call does not change.
            with_bob: how.with_bob,
            ..to
        };
        Some((place.1, *how))
    }

    fn fitting(&self, filter: &Filter) -> BTreeSet<u32> {
        let fits = self.calls.iter().filter(|(_, how)| fits(filter, **how));
        fits.map(|(place, _)| place.1).collect()
    }

    /// The calls of the next page, and whether there are more.
    fn page(
        &self,
        before: Option<(i64, u32)>,
        count: usize,
        filter: &Filter,
    ) -> (Vec<(i64, u32)>, bool) {
        let before = before.unwrap_or((i64::MAX, 0));
        let calls = self.calls.range(..before).rev();
        let mut found = calls.filter(|(_, how)| fits(filter, **how));
        let page = found.by_ref().take(count).map(|(place, _)| *place);
        (page.collect(), found.next().is_some())
    }
}

fn fits(filter: &Filter, how: How) -> bool {
    let with = filter.with.as_ref().map(UserId::as_str);
    let is_over = |state| how.over == (state == CallState::Ended);
    filter.state.is_none_or(is_over)
        && filter.missed.is_none_or(|missed| missed == how.missed)
        && with.is_none_or(|user| match user {
            "me" => true,
            "bob" => how.with_bob,
            "carol" => !how.with_bob,
            _ => false,
        })
        && filter.since.is_none_or(|since| how.time >= since)
}

fn ids(page: &Page) -> Vec<String> {
    let calls = page.calls.iter();
    calls.map(|entry| entry.call.id.to_string()).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Add(How),
    Change(usize, How),
    Page,
}

/// Few moments, so that many calls share one.
fn how() -> impl Strategy<Value = How> {
    (1_i64..12, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(time, with_bob, missed, over)| How {
            time,
            with_bob,
            missed,
            over,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => how().prop_map(Step::Add),
        1 => (any::<usize>(), how()).prop_map(|(which, how)| Step::Change(which, how)),
        2 => Just(Step::Page),
    ]
}

fn filter() -> impl Strategy<Value = Filter> {
    let states = [None, Some(CallState::Started), Some(CallState::Ended)];
    let users = ["bob", "carol", "me", "nobody"];
    (
        prop::sample::select(states.to_vec()),
        prop::sample::select(vec![None, Some(true), Some(false)]),
        prop::option::of(prop::sample::select(users.to_vec())),
        prop::option::of(0_i64..12),
    )
        .prop_map(|(state, missed, with, since)| Filter {
            state,
            missed,
            with: with.map(UserId::trusted),
            since,
        })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_call_comes_twice_and_none_is_skipped_while_calls_come_and_change(
        before in prop::collection::vec(how(), 0..20),
        steps in prop::collection::vec(step(), 0..40),
        filter in filter(),
        count in 1_usize..6,
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("me.db");
        let mut store = open(&path);
        let readers = Readers::new(&path, &me());
        let mut model = Model::default();
        for how in before {
            put(&mut store, model.add(how), how);
        }
        let (mut last, mut next_flag) = (None, 0);
        let mut listed = BTreeSet::new();
        let mut always = model.fitting(&filter);
        let mut is_done = false;
        // In the end the rest is read without a break.
        let rest = std::iter::repeat_n(Step::Page, 100);
        for step in steps.into_iter().chain(rest) {
            match step {
                Step::Add(how) => put(&mut store, model.add(how), how),
                Step::Change(which, how) => {
                    if let Some((n, how)) = model.change(which, how) {
                        put(&mut store, n, how);
                        always.retain(|one| *one != n || fits(&filter, how));
                    }
                }
                Step::Page if is_done => {}
                Step::Page => {
                    let query = Query { count, next_flag, filter: filter.clone() };
                    let page = readers.page(&query).expect("read");
                    let (expected, more) = model.page(last, count, &filter);
                    let names: Vec<_> = expected.iter().map(|one| format!("call-{}", one.1)).collect();
                    prop_assert_eq!(ids(&page), names);
                    prop_assert_eq!(page.next_flag != 0, more);
                    prop_assert!((0..1 << 53).contains(&page.next_flag));
                    for entry in &page.calls {
                        prop_assert_eq!(entry.call.members.len(), 2);
                        prop_assert!(listed.insert(entry.call.id.clone()), "twice");
                    }
                    next_flag = page.next_flag;
                    last = expected.last().copied().or(last);
                    is_done = !more;
                }
            }
        }
        prop_assert!(is_done);
        for n in always {
            prop_assert!(listed.contains(&CallId::trusted(format!("call-{n}"))), "skipped {n}");
        }
    }
}

#[test]
fn pages_are_whole_while_another_thread_writes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("me.db");
    let mut store = open(&path);
    let how = |n: u32| How {
        time: i64::from(n % 50) + 1,
        with_bob: n.is_multiple_of(2),
        missed: n.is_multiple_of(3),
        over: n.is_multiple_of(4),
    };
    for n in 0..CALLS {
        put(&mut store, n, how(n));
    }
    let readers = Readers::new(&path, &me());
    let (is_read, wrote) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in (0..).take_while(|_| !is_read.load(Ordering::Relaxed)) {
                put(&mut store, CALLS + n, how(n));
                let changed = How {
                    over: n.is_multiple_of(2),
                    ..how(n % CALLS)
                };
                put(&mut store, n % CALLS, changed);
                wrote.store(true, Ordering::Relaxed);
            }
        });
        let mut walks = 0;
        while walks < 3 || !wrote.load(Ordering::Relaxed) {
            let mut listed = Vec::new();
            let mut query = Query {
                count: 7,
                ..Query::default()
            };
            loop {
                let page = readers.page(&query).expect("read");
                assert!(page.calls.iter().all(|entry| entry.call.members.len() == 2));
                listed.extend(ids(&page));
                query.next_flag = page.next_flag;
                if query.next_flag == 0 {
                    break;
                }
            }
            let once: BTreeSet<_> = listed.iter().collect();
            assert_eq!(once.len(), listed.len(), "twice");
            assert!(
                (0..CALLS).all(|n| once.contains(&format!("call-{n}"))),
                "skipped"
            );
            walks += 1;
        }
        is_read.store(true, Ordering::Relaxed);
    });
}
