//! Any frame at all.

use offhook::call::{
    Call, CallUser, Closing, Command, EndKind, Ending, Member, Outcome, Own, PushConfig, Target,
    Under, UserError, VoipConfig,
};
use offhook::protocol::{
    Capabilities, ClosingReason, CommandFrame, Cursor, Feed, Goodbye, Hello, Lane, Limits, Ping,
    Pong, Preview, Receipt, Refused, Renew, Renewed, Retry, Seen, Settled, ToDevice, ToServer,
    TokenNotice, Verdict, Welcome,
};
use offhook::{CallId, CallState, Code, DeviceId, Error, Mode, Op, UserId, UserState};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

fn text() -> impl Strategy<Value = String> + Clone {
    // Any characters at all, NUL and those of four bytes included.
    vec(any::<char>(), 0..12).prop_map(|chars| chars.into_iter().collect())
}

fn user() -> impl Strategy<Value = UserId> + Clone {
    text().prop_map(UserId::trusted)
}

fn call_id() -> impl Strategy<Value = CallId> + Clone {
    text().prop_map(CallId::trusted)
}

fn device() -> impl Strategy<Value = DeviceId> + Clone {
    text().prop_map(DeviceId::trusted)
}

fn op() -> impl Strategy<Value = Op> + Clone {
    text().prop_map(Op::trusted)
}

fn state() -> impl Strategy<Value = UserState> + Clone {
    select(UserState::ALL)
}

fn code() -> impl Strategy<Value = Code> + Clone {
    select(Code::ALL)
}

fn error() -> impl Strategy<Value = Error> + Clone {
    let detail = (of(call_id()), of(state()), of(device()));
    (code(), text(), text(), detail).prop_map(|(code, reason, message, (call, state, device))| {
        let mut error = Error::new(code, reason, message);
        error.detail.call_id = call;
        error.detail.state = state;
        error.detail.device_id = device;
        error
    })
}

fn push() -> impl Strategy<Value = PushConfig> + Clone {
    let voip =
        (any::<i32>(), text(), any::<bool>()).prop_map(|(handle_type, value, video)| VoipConfig {
            handle_type,
            handle_value: value,
            has_video: video,
        });
    let texts = (text(), text(), text(), text(), text());
    (texts, any::<bool>(), any::<i32>(), of(voip)).prop_map(
        |((title, content, payload, resources_id, thread_id), badge, increment, voip)| PushConfig {
            title,
            content,
            payload,
            resources_id,
            thread_id,
            enable_badge: badge,
            badge_increment: increment,
            voip_config: voip,
        },
    )
}

fn under() -> impl Strategy<Value = Under> + Clone {
    prop_oneof![Just(Under::Unknown), op().prop_map(Under::Primary)]
}

fn command() -> impl Strategy<Value = Command> {
    let users = || vec(user(), 0..4);
    let mode = select(Mode::ALL);
    let target =
        (user(), of(any::<u32>())).prop_map(|(user, invitation)| Target { user, invitation });
    prop_oneof![
        (
            users(),
            any::<u32>(),
            mode,
            text(),
            any::<bool>(),
            of(push())
        )
            .prop_map(|(invitees, timeout_s, mode, extended_data, check, push)| {
                Command::Invite {
                    invitees,
                    timeout_s,
                    mode,
                    extended_data,
                    not_received_check: check,
                    push,
                }
            }),
        (vec(target, 0..4), text(), of(push())).prop_map(|(invitees, extended_data, push)| {
            Command::Cancel {
                invitees,
                extended_data,
                push,
            }
        }),
        (of(any::<u32>()), text()).prop_map(|(invitation, extended_data)| Command::Accept {
            invitation,
            extended_data
        }),
        (of(any::<u32>()), text()).prop_map(|(invitation, extended_data)| Command::Reject {
            invitation,
            extended_data
        }),
        (users(), of(any::<u32>()), of(text()), of(push())).prop_map(
            |(invitees, timeout_s, extended_data, push)| Command::CallingInvite {
                invitees,
                timeout_s,
                extended_data,
                push,
            }
        ),
        text().prop_map(|extended_data| Command::Join { extended_data }),
        (under(), text(), of(push())).prop_map(|(under, extended_data, push)| Command::Quit {
            under,
            extended_data,
            push
        }),
        (under(), text(), of(push())).prop_map(|(under, extended_data, push)| Command::End {
            under,
            extended_data,
            push
        }),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let errors = || {
        let one = (user(), code(), state(), text());
        vec(
            one.prop_map(|(user, code, state, data)| UserError {
                user,
                code,
                state,
                data,
            }),
            0..4,
        )
    };
    let call_user =
        (user(), state(), text()).prop_map(|(user_id, state, extended_data)| CallUser {
            user_id,
            state,
            extended_data,
        });
    let time = any::<i64>;
    prop_oneof![
        (any::<u32>(), errors())
            .prop_map(|(timeout_s, errors)| Outcome::Invited { timeout_s, errors }),
        vec(user(), 0..4).prop_map(|error_invitees| Outcome::Cancelled { error_invitees }),
        Just(Outcome::Accepted),
        Just(Outcome::Rejected),
        errors().prop_map(|errors| Outcome::CallingInvited { errors }),
        (text(), time(), time(), vec(call_user, 0..4)).prop_map(
            |(extended_data, create_time, join_time, users)| Outcome::Joined {
                extended_data,
                create_time,
                join_time,
                users,
            }
        ),
        (time(), time(), time()).prop_map(|(create_time, accept_time, quit_time)| Outcome::Quit {
            create_time,
            accept_time,
            quit_time
        }),
        (time(), time(), time()).prop_map(|(create_time, accept_time, end_time)| Outcome::Ended {
            create_time,
            accept_time,
            end_time
        }),
    ]
}

fn own() -> impl Strategy<Value = Own> {
    let closing =
        (any::<u32>(), state(), of(device())).prop_map(|(invitation, state, device)| Closing {
            invitation,
            state,
            device,
        });
    (
        of(device()),
        of(op()),
        any::<u64>(),
        any::<bool>(),
        vec(closing, 0..3),
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

fn member() -> impl Strategy<Value = Member> {
    let who = (
        user(),
        of(user()),
        text(),
        text(),
        of(user()),
        of(device()),
        of(own()),
    );
    let numbers = (any::<[u32; 3]>(), any::<[i64; 7]>(), state(), any::<u64>());
    (who, numbers).prop_map(
        |(
            (user, inviter, invite_data, data, changed_by, acting_device, own),
            ([invitation, timeout_s, participation], times, state, state_revision),
        )| {
            let [
                invited_at,
                deadline,
                check_at,
                state_time,
                accept_time,
                join_time,
                quit_time,
            ] = times;
            Member {
                user,
                inviter,
                invitation,
                invited_at,
                timeout_s,
                deadline,
                check_at,
                invite_data,
                state,
                state_revision,
                state_time,
                data,
                changed_by,
                acting_device,
                accept_time,
                join_time,
                quit_time,
                participation,
                own,
            }
        },
    )
}

fn call() -> impl Strategy<Value = Call> {
    let ending = (
        select(EndKind::ALL),
        any::<i64>(),
        any::<u64>(),
        of(user()),
        of(device()),
        text(),
    );
    let ending = ending.prop_map(|(kind, time, revision, by, device, data)| Ending {
        kind,
        time,
        revision,
        by,
        device,
        data,
    });
    let head = (
        call_id(),
        any::<u64>(),
        select(Mode::ALL),
        user(),
        any::<i64>(),
        any::<u32>(),
    );
    let rest = (
        text(),
        any::<bool>(),
        select(CallState::ALL),
        of(ending),
        vec(member(), 0..4),
    );
    (head, rest).prop_map(
        |(
            (id, revision, mode, caller, create_time, timeout_s),
            (extended_data, not_received_check, state, ending, members),
        )| Call {
            id,
            revision,
            mode,
            caller,
            create_time,
            timeout_s,
            extended_data,
            not_received_check,
            state,
            ending,
            members,
        },
    )
}

fn cursor() -> impl Strategy<Value = Cursor> {
    any::<(u64, u64)>().prop_map(|(epoch, seq)| Cursor { epoch, seq })
}

fn hello() -> impl Strategy<Value = ToServer> {
    let who = (
        text(),
        any::<u32>(),
        user(),
        of(text()),
        device(),
        of(text()),
    );
    let where_at = (cursor(), vec(call_id(), 0..4), any::<i64>());
    (any::<[u16; 2]>(), who, any::<[u64; 2]>(), where_at).prop_map(
        |(
            [version_min, version_max],
            (build, capabilities, user, token, device, welcome_token),
            [next_number, first_unsettled],
            (cursor, open_calls, sent_at),
        )| {
            ToServer::Hello(Box::new(Hello {
                version_min,
                version_max,
                build,
                capabilities: Capabilities(capabilities),
                user,
                token,
                device,
                welcome_token,
                cursor,
                next_number,
                first_unsettled,
                open_calls,
                sent_at,
            }))
        },
    )
}

pub fn to_server() -> impl Strategy<Value = ToServer> {
    let command = (any::<u64>(), op(), call_id(), any::<i64>(), command());
    let command = command.prop_map(|(number, op, call, not_after, command)| {
        ToServer::Command(Box::new(CommandFrame {
            number,
            op,
            call,
            not_after,
            command,
        }))
    });
    prop_oneof![
        hello(),
        command,
        (call_id(), any::<u32>())
            .prop_map(|(call, invitation)| ToServer::Receipt(Receipt { call, invitation })),
        any::<i64>().prop_map(|sent_at| ToServer::Ping(Ping { sent_at })),
        (any::<u64>(), cursor())
            .prop_map(|(number, cursor)| ToServer::Settled(Settled { number, cursor })),
        text().prop_map(|token| ToServer::Renew(Renew { token })),
        vec(call_id(), 0..4).prop_map(|calls| ToServer::Seen(Seen { calls })),
        Just(ToServer::Logout),
    ]
}

fn welcome() -> impl Strategy<Value = ToDevice> {
    let numbers = (
        any::<u16>(),
        any::<[i64; 2]>(),
        any::<[u64; 2]>(),
        any::<bool>(),
    );
    (numbers, text(), any::<[u32; 3]>()).prop_map(
        |(
            (version, [server_time, hello_sent_at], [epoch, last_number], cursor_valid),
            welcome_token,
            [heartbeat_s, offline_after_s, extended_data_bytes_max],
        )| {
            ToDevice::Welcome(Box::new(Welcome {
                version,
                server_time,
                hello_sent_at,
                epoch,
                cursor_valid,
                last_number,
                welcome_token,
                limits: Limits {
                    heartbeat_s,
                    offline_after_s,
                    extended_data_bytes_max,
                },
            }))
        },
    )
}

fn goodbye() -> impl Strategy<Value = ToDevice> {
    let reason = select(vec![
        ClosingReason::KickedOut,
        ClosingReason::TokenExpired,
        ClosingReason::Replaced,
        ClosingReason::ShuttingDown,
        ClosingReason::Violation,
    ]);
    (reason, text()).prop_map(|(reason, message)| ToDevice::Goodbye(Goodbye { reason, message }))
}

pub fn to_device() -> impl Strategy<Value = ToDevice> {
    let result = prop_oneof![3 => outcome().prop_map(Ok), 1 => error().prop_map(Err)];
    let verdict = (any::<u64>(), op(), result, of(call()));
    let verdict = verdict.prop_map(|(number, op, result, call)| Verdict {
        number,
        op,
        result,
        call,
    });
    let verdict = verdict.boxed();
    let preview = (
        any::<(i64, u64)>(),
        any::<[u32; 3]>(),
        vec(verdict.clone(), 0..3),
        vec(call(), 0..4),
    );
    let preview = preview.prop_map(
        |(
            (server_time, epoch),
            [heartbeat_s, offline_after_s, extended_data_bytes_max],
            verdicts,
            calls,
        )| {
            ToDevice::Preview(Box::new(Preview {
                server_time,
                epoch,
                limits: Limits {
                    heartbeat_s,
                    offline_after_s,
                    extended_data_bytes_max,
                },
                verdicts,
                calls,
            }))
        },
    );
    let lane = select(vec![Lane::Open, Lane::History, Lane::Live]);
    let feed = (
        lane,
        of(cursor()),
        any::<u64>(),
        any::<bool>(),
        vec(call(), 0..4),
    );
    let feed = feed.prop_map(|(lane, cursor, settled, last, calls)| {
        ToDevice::Feed(Feed {
            lane,
            cursor,
            settled,
            last,
            calls,
        })
    });
    let renewed = prop_oneof![Just(Ok(())), error().prop_map(Err)];
    prop_oneof![
        welcome(),
        error().prop_map(|error| ToDevice::Refused(Refused { error })),
        verdict.prop_map(|verdict| ToDevice::Verdict(Box::new(verdict))),
        preview,
        (any::<u64>(), any::<u32>(), error()).prop_map(|(number, after_ms, error)| {
            ToDevice::Retry(Retry {
                number,
                after_ms,
                error,
            })
        }),
        feed,
        any::<[i64; 3]>().prop_map(|[ping_sent_at, received_at, sent_at]| {
            ToDevice::Pong(Pong {
                ping_sent_at,
                received_at,
                sent_at,
            })
        }),
        any::<u32>().prop_map(|seconds| ToDevice::TokenNotice(TokenNotice { seconds })),
        renewed.prop_map(|result| ToDevice::Renewed(Renewed { result })),
        goodbye(),
        Just(ToDevice::LoggedOut),
    ]
}
