//! Commands, and what becomes of them.

use offhook::call::{CallUser, Command, Outcome, PushConfig, Target, Under, UserError, VoipConfig};
use offhook::{Code, Mode, UserState};

use super::{NOON, Sample, named, op, user};

fn push() -> PushConfig {
    PushConfig {
        title: "Alice rings".into(),
        content: "Pick up".into(),
        payload: "{\"a\":1}".into(),
        resources_id: "res".into(),
        thread_id: "calls".into(),
        enable_badge: true,
        badge_increment: -1,
        voip_config: Some(VoipConfig {
            handle_type: 2,
            handle_value: "alice".into(),
            has_video: true,
        }),
    }
}

/// Every command, with and without what is optional.
pub fn commands() -> Vec<Sample<Command>> {
    let data = || "é".to_owned();
    let cancel = |invitation| Command::Cancel {
        invitees: vec![Target {
            user: user("bob"),
            invitation,
        }],
        extended_data: data(),
        push: invitation.map(|_| push()),
    };
    let all = [
        (
            "invite",
            Command::Invite {
                invitees: vec![user("bob"), user("carol")],
                timeout_s: 600,
                mode: Mode::Advanced,
                extended_data: data(),
                not_received_check: true,
                push: Some(push()),
            },
        ),
        (
            "invite_plain",
            Command::Invite {
                invitees: vec![user("bob")],
                timeout_s: 90,
                mode: Mode::General,
                extended_data: String::new(),
                not_received_check: false,
                push: Some(PushConfig::default()),
            },
        ),
        ("cancel", cancel(Some(2))),
        ("cancel_unnumbered", cancel(None)),
        (
            "cancel_whole",
            Command::Cancel {
                invitees: Vec::new(),
                extended_data: String::new(),
                push: None,
            },
        ),
        (
            "accept",
            Command::Accept {
                invitation: Some(1),
                extended_data: data(),
            },
        ),
        (
            "accept_unnumbered",
            Command::Accept {
                invitation: None,
                extended_data: String::new(),
            },
        ),
        (
            "reject",
            Command::Reject {
                invitation: Some(300),
                extended_data: data(),
            },
        ),
        (
            "reject_unnumbered",
            Command::Reject {
                invitation: None,
                extended_data: String::new(),
            },
        ),
        (
            "calling_invite",
            Command::CallingInvite {
                invitees: vec![user("dave")],
                timeout_s: Some(30),
                extended_data: Some(data()),
                push: Some(push()),
            },
        ),
        (
            "calling_invite_plain",
            Command::CallingInvite {
                invitees: vec![user("dave")],
                timeout_s: None,
                extended_data: None,
                push: None,
            },
        ),
        (
            "join",
            Command::Join {
                extended_data: data(),
            },
        ),
        (
            "quit",
            Command::Quit {
                under: Under::Primary(op()),
                extended_data: data(),
                push: Some(push()),
            },
        ),
        (
            "quit_unfenced",
            Command::Quit {
                under: Under::Unknown,
                extended_data: String::new(),
                push: None,
            },
        ),
        (
            "end",
            Command::End {
                under: Under::Primary(op()),
                extended_data: data(),
                push: Some(push()),
            },
        ),
        (
            "end_unfenced",
            Command::End {
                under: Under::Unknown,
                extended_data: String::new(),
                push: None,
            },
        ),
    ];
    named(all)
}

/// Every outcome, with errors of every code.
pub fn outcomes() -> Vec<Sample<Outcome>> {
    let error = |code: &Code| UserError {
        user: user("carol"),
        code: *code,
        state: UserState::Received,
        data: "busy".into(),
    };
    let (create_time, accept_time) = (NOON, NOON + 1);
    named([
        (
            "invited",
            Outcome::Invited {
                timeout_s: 90,
                errors: Code::ALL.iter().map(error).collect(),
            },
        ),
        (
            "cancelled",
            Outcome::Cancelled {
                error_invitees: vec![user("bob")],
            },
        ),
        ("accepted", Outcome::Accepted),
        ("rejected", Outcome::Rejected),
        (
            "calling_invited",
            Outcome::CallingInvited {
                errors: vec![error(&Code::WrongState)],
            },
        ),
        (
            "joined",
            Outcome::Joined {
                extended_data: "data".into(),
                create_time,
                join_time: NOON + 2,
                users: UserState::ALL
                    .iter()
                    .map(|state| CallUser {
                        user_id: user("dave"),
                        state: *state,
                        extended_data: "x".into(),
                    })
                    .collect(),
            },
        ),
        (
            "quit",
            Outcome::Quit {
                create_time,
                accept_time,
                quit_time: NOON + 3,
            },
        ),
        (
            "ended",
            Outcome::Ended {
                create_time,
                accept_time,
                end_time: NOON + 4,
            },
        ),
    ])
}
