//! Commands in few words.

use offhook::{CallId, Command, Mode, PushConfig, Target, Under, UserId};

pub fn user(name: &str) -> UserId {
    UserId::trusted(name)
}

pub fn id(name: &str) -> CallId {
    CallId::trusted(name)
}

fn users(names: &[&str]) -> Vec<UserId> {
    names.iter().copied().map(user).collect()
}

pub fn invite(invitees: &[&str], mode: Mode) -> Command {
    invite_for(invitees, mode, 90)
}

/// One that rings for so long.
pub fn invite_for(invitees: &[&str], mode: Mode, timeout_s: u32) -> Command {
    Command::Invite {
        invitees: users(invitees),
        timeout_s,
        mode,
        extended_data: String::new(),
        not_received_check: false,
        push: None,
    }
}

/// A general one that wakes who is not connected.
pub fn invite_with_push(invitees: &[&str]) -> Command {
    Command::Invite {
        invitees: users(invitees),
        timeout_s: 90,
        mode: Mode::General,
        extended_data: String::new(),
        not_received_check: false,
        push: Some(PushConfig::default()),
    }
}

pub fn more(invitees: &[&str]) -> Command {
    Command::CallingInvite {
        invitees: users(invitees),
        timeout_s: None,
        extended_data: None,
        push: None,
    }
}

pub fn cancel(invitees: &[&str]) -> Command {
    let target = |name: &&str| Target {
        user: user(name),
        invitation: None,
    };
    Command::Cancel {
        invitees: invitees.iter().map(target).collect(),
        extended_data: String::new(),
        push: Some(PushConfig::default()),
    }
}

pub fn accept() -> Command {
    Command::Accept {
        invitation: None,
        extended_data: String::new(),
    }
}

pub fn reject() -> Command {
    Command::Reject {
        invitation: None,
        extended_data: String::new(),
    }
}

pub fn join() -> Command {
    Command::Join {
        extended_data: String::new(),
    }
}

pub fn quit() -> Command {
    Command::Quit {
        under: Under::Unknown,
        extended_data: String::new(),
        push: None,
    }
}

pub fn end() -> Command {
    Command::End {
        under: Under::Unknown,
        extended_data: String::new(),
        push: None,
    }
}
