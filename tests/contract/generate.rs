//! Records and verdicts, drawn at random or made for a purpose.

use offhook::call::{
    Call, CallId, CallState, CallUser, Closing, DeviceId, EndKind, Ending, Member, Mode, Op,
    Outcome, Own, UserError, UserId, UserState,
};
use offhook::server::store::KeptVerdict;
use offhook::{Code, Error};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::suite::{Broken, Checked};

/// Puts so many drawn values through the check. The same ones on every run: what a run finds, the
/// next one finds again.
pub fn each<S: Strategy>(cases: u32, strategy: &S, check: impl Fn(S::Value) -> Checked) -> Checked {
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, rng)
        .run(strategy, |value| {
            check(value).map_err(|Broken(how)| TestCaseError::fail(how))
        })
        .map_err(|error| Broken(error.to_string()))
}

pub fn user(name: &str) -> UserId {
    UserId::trusted(name)
}

pub fn call_id(name: &str) -> CallId {
    CallId::trusted(name)
}

/// Text as an app may send it: any characters, NULs among them.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just(String::new()),
        3 => vec(any::<char>(), 0..24).prop_map(String::from_iter),
        1 => Just("\0 before, between\0and after \u{1F4DE}\0".to_owned()),
        1 => Just("'; DROP TABLE calls; -- 来电 \u{202e}".to_owned()),
        1 => vec(any::<char>(), 700).prop_map(String::from_iter),
    ]
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![3 => 0..1_000_u64, 1 => 0..=i64::MAX.unsigned_abs()]
}

fn device() -> impl Strategy<Value = DeviceId> {
    "[a-z0-9 -]{1,20}".prop_map(DeviceId::trusted)
}

fn any_user() -> impl Strategy<Value = UserId> {
    "[A-Za-z0-9 ~{}|]{1,32}".prop_map(UserId::trusted)
}

fn op() -> impl Strategy<Value = Op> {
    text().prop_map(Op::trusted)
}

fn closing() -> impl Strategy<Value = Closing> {
    (any::<u32>(), select(UserState::ALL), option::of(device())).prop_map(
        |(invitation, state, device)| Closing {
            invitation,
            state,
            device,
        },
    )
}

fn own() -> impl Strategy<Value = Own> {
    (
        option::of(device()),
        option::of(op()),
        number(),
        any::<bool>(),
        vec(closing(), 0..9),
    )
        .prop_map(
            |(primary_device, primary_op, primary_revision, seen, closings)| Own {
                primary_device,
                primary_op,
                primary_revision,
                seen,
                closings,
            },
        )
}

prop_compose! {
    fn member(user: UserId)(
        (inviter, changed_by, acting_device, own) in
            (option::of(any_user()), option::of(any_user()), option::of(device()), option::of(own())),
        (invitation, participation, timeout_s) in any::<(u32, u32, u32)>(),
        (invited_at, deadline, check_at, state_time) in any::<(i64, i64, i64, i64)>(),
        (accept_time, join_time, quit_time) in any::<(i64, i64, i64)>(),
        (invite_data, data) in (text(), text()),
        state in select(UserState::ALL),
        state_revision in number(),
    ) -> Member {
        Member {
            user: user.clone(), inviter, invitation, invited_at, timeout_s, deadline, check_at,
            invite_data, state, state_revision, state_time, data, changed_by, acting_device,
            accept_time, join_time, quit_time, participation, own,
        }
    }
}

prop_compose! {
    fn ending()(
        kind in select(EndKind::ALL),
        time in any::<i64>(),
        revision in number(),
        by in option::of(any_user()),
        device in option::of(device()),
        data in text(),
    ) -> Ending {
        Ending { kind, time, revision, by, device, data }
    }
}

fn members() -> impl Strategy<Value = Vec<Member>> {
    (1..=20_usize).prop_flat_map(|count| {
        (0..count)
            .map(|n| member(user(&format!("member {n} ~"))))
            .collect::<Vec<_>>()
    })
}

prop_compose! {
    /// A record in which every field is whatever it can be.
    pub fn record()(
        revision in number(),
        mode in select(Mode::ALL),
        state in select(CallState::ALL),
        (create_time, timeout_s, not_received_check) in any::<(i64, u32, bool)>(),
        extended_data in text(),
        caller in any_user(),
        ending in option::of(ending()),
        members in members(),
    ) -> Call {
        Call {
            id: call_id("drawn"), revision, mode, caller, create_time, timeout_s, extended_data,
            not_received_check, state, ending, members,
        }
    }
}

/// What the verdict of a command may be.
pub fn verdict() -> impl Strategy<Value = KeptVerdict> {
    let result = prop_oneof![
        outcome().prop_map(Ok),
        (
            select(Code::ALL),
            text(),
            text(),
            option::of(select(UserState::ALL)),
            option::of(device())
        )
            .prop_map(|(code, reason, message, state, device)| {
                let error = Error::new(code, reason, message).with_device(device);
                Err(match state {
                    Some(state) => error.with_state(state).with_call(call_id("which blocks")),
                    None => error,
                })
            }),
    ];
    (number(), op(), text(), any::<[u8; 32]>(), result).prop_map(
        |(number, op, call, digest, result)| KeptVerdict {
            number,
            op,
            call: CallId::trusted(call),
            digest,
            result,
        },
    )
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let user_error = (
        any_user(),
        select(Code::ALL),
        select(UserState::ALL),
        text(),
    )
        .prop_map(|(user, code, state, data)| UserError {
            user,
            code,
            state,
            data,
        });
    let call_user =
        (any_user(), select(UserState::ALL), text()).prop_map(|(user_id, state, extended_data)| {
            CallUser {
                user_id,
                state,
                extended_data,
            }
        });
    prop_oneof![
        (any::<u32>(), vec(user_error, 0..4))
            .prop_map(|(timeout_s, errors)| Outcome::Invited { timeout_s, errors }),
        vec(any_user(), 0..4).prop_map(|error_invitees| Outcome::Cancelled { error_invitees }),
        Just(Outcome::Accepted),
        Just(Outcome::Rejected),
        (text(), any::<i64>(), any::<i64>(), vec(call_user, 0..4)).prop_map(
            |(extended_data, create_time, join_time, users)| Outcome::Joined {
                extended_data,
                create_time,
                join_time,
                users
            }
        ),
        any::<(i64, i64, i64)>().prop_map(|(create_time, accept_time, quit_time)| Outcome::Quit {
            create_time,
            accept_time,
            quit_time
        }),
    ]
}

/// A member of whom only the place in the call matters.
pub fn plain_member(name: &str, state: UserState) -> Member {
    Member {
        user: user(name),
        inviter: None,
        invitation: 0,
        invited_at: 0,
        timeout_s: 60,
        deadline: 0,
        check_at: 0,
        invite_data: String::new(),
        state,
        state_revision: 1,
        state_time: 0,
        data: String::new(),
        changed_by: None,
        acting_device: None,
        accept_time: 0,
        join_time: 0,
        quit_time: 0,
        participation: 0,
        own: Some(Own::default()),
    }
}

/// A call of `ann` in which `bob` is rung until the deadline.
pub fn ringing(name: &str, deadline: i64) -> Call {
    let bob = Member {
        inviter: Some(user("ann")),
        invitation: 1,
        deadline,
        ..plain_member("bob", UserState::Inviting)
    };
    Call {
        id: call_id(name),
        revision: 1,
        mode: Mode::General,
        caller: user("ann"),
        create_time: deadline - 60_000,
        timeout_s: 60,
        extended_data: String::new(),
        not_received_check: false,
        state: CallState::Started,
        ending: None,
        members: vec![plain_member("ann", UserState::Accepted), bob],
    }
}

/// The call once nobody rings any more.
pub fn settled(call: &Call) -> Call {
    let mut call = call.clone();
    call.revision += 1;
    call.state = CallState::Ended;
    call.ending = Some(Ending {
        kind: EndKind::Completed,
        time: call.create_time,
        revision: call.revision,
        by: None,
        device: None,
        data: String::new(),
    });
    for member in &mut call.members {
        if member.state.is_pending() {
            member.state = UserState::Timeout;
        }
    }
    call
}
