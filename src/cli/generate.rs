//! `offhook generate`: a large database to measure and try things with. Not in `--help`: it is for
//! whoever works on the engine, and no part of what it does for apps.

use std::path::PathBuf;

use super::failure::Failure;
use crate::call::{
    Call, CallId, CallState, DeviceId, EndKind, Ending, Member, Millis, Mode, Own, UserId,
    UserState,
};
use crate::client::store::Store;
use crate::error::Error;

/// Most calls of a generated database: a place in the list for each, a minute apart.
const CALLS_MAX: u32 = 10_000_000;
/// Calls of one transaction: few syncs, and a log that stays small.
const CALLS_AT_ONCE: u32 = 5_000;
/// When the first was made: 2010, so that even the largest history lies in the past.
const FIRST_MS: Millis = 1_262_304_000_000;
/// From one call to the next.
const APART_MS: Millis = 60_000;
/// How many friends the user calls with, in turn.
const FRIENDS: u32 = 50;
/// One in so many calls has the stranger in it.
const STRANGER_EVERY: u32 = 10_000;
/// One in so many calls was missed.
const MISSED_EVERY: u32 = 10;
/// So many of the newest go on, and so many of the missed ones are not seen.
const NEW: u32 = 20;
/// The life of the server that is said to have told all that.
const EPOCH: u64 = 7;

/// Make a database with a long history, the same each time: alice's, with friend00 to friend49 in
/// turn, every tenth call missed, one in 10,000 with somebody called stranger, the newest going on.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many calls, 1-10000000.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(CALLS_MAX)))]
    pub calls: u32,
    /// The file; it must not exist.
    #[arg(long, value_name = "FILE")]
    pub db: PathBuf,
}

/// Writes the database.
///
/// # Errors
/// The file exists or cannot be written.
pub fn run(args: Args) -> Result<(), Failure> {
    if args.db.exists() {
        let name = args.db.display();
        return Err(Failure::new(format_args!(
            "{name} exists and is not written to; name another file"
        )));
    }
    fill(&args).map_err(|error| Failure::new(format_args!("no database was made: {error}")))
}

fn fill(args: &Args) -> Result<(), Error> {
    let user = UserId::trusted("alice");
    let mut store = Store::open(&args.db, &user, &DeviceId::trusted("generated"))?;
    for first in (0..args.calls).step_by(CALLS_AT_ONCE as usize) {
        let last = args.calls.min(first.saturating_add(CALLS_AT_ONCE));
        store.transact(|tx| {
            for n in first..last {
                let call = call(n, args.calls, &user);
                tx.put_call(None, &call, EPOCH)?;
                for member in &call.members {
                    let times = (member.state_time, member.state_time);
                    let state = member.state.word();
                    tx.note_change(&call.id, times, Some(&member.user), state, (None, None))?;
                }
            }
            Ok(())
        })?;
    }
    store.checkpoint()
}

/// The nth call of so many.
fn call(n: u32, calls: u32, user: &UserId) -> Call {
    let at = FIRST_MS + i64::from(n) * APART_MS;
    let is_missed = n.is_multiple_of(MISSED_EVERY);
    let is_new = calls - n <= NEW;
    let is_started = is_new && !is_missed;
    let friend = UserId::trusted(format!("friend{:02}", n % FRIENDS));
    let is_own = !is_missed && n.is_multiple_of(2);
    let caller = if is_own { user } else { &friend };
    let callee = if is_own { &friend } else { user };
    let answer = if is_missed {
        UserState::Timeout
    } else {
        UserState::Accepted
    };
    let mut members = vec![
        member((caller, None), UserState::Accepted, at, 1),
        member((callee, Some(caller)), answer, at, 2),
    ];
    if n.is_multiple_of(STRANGER_EVERY) {
        let stranger = UserId::trusted("stranger");
        members.push(member(
            (&stranger, Some(caller)),
            UserState::Rejected,
            at,
            3,
        ));
    }
    if let Some(me) = members.iter_mut().find(|member| &member.user == user) {
        me.own = Some(Own {
            seen: is_missed && !is_new,
            ..Own::default()
        });
    }
    let ending = Ending {
        kind: EndKind::Completed,
        time: at + 90_000,
        revision: 4,
        by: None,
        device: None,
        data: String::new(),
    };
    Call {
        id: CallId::trusted(format!("{n:032x}")),
        revision: 4,
        mode: Mode::General,
        caller: caller.clone(),
        create_time: at,
        timeout_s: 90,
        extended_data: String::from("{\"room\":\"b7f0c2d4\",\"video\":true}"),
        not_received_check: false,
        state: if is_started {
            CallState::Started
        } else {
            CallState::Ended
        },
        ending: (!is_started).then_some(ending),
        members,
    }
}

fn member(
    (user, inviter): (&UserId, Option<&UserId>),
    state: UserState,
    at: Millis,
    revision: u64,
) -> Member {
    let is_invited = inviter.is_some();
    let is_in = state == UserState::Accepted;
    Member {
        user: user.clone(),
        inviter: inviter.cloned(),
        invitation: u32::from(is_invited),
        invited_at: if is_invited { at } else { 0 },
        timeout_s: if is_invited { 90 } else { 0 },
        deadline: if is_invited { at + 90_000 } else { 0 },
        check_at: 0,
        invite_data: String::new(),
        state,
        state_revision: revision,
        state_time: at + 5_000,
        data: String::new(),
        changed_by: is_in.then(|| user.clone()),
        acting_device: None,
        accept_time: if is_in { at + 5_000 } else { 0 },
        join_time: 0,
        quit_time: 0,
        participation: u32::from(is_in),
        own: None,
    }
}
