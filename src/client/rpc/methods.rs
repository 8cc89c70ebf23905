//! The methods: what each takes.

use std::path::PathBuf;

use super::params::Params;
use crate::call::limits::TIMEOUT_S_DEFAULT;
use crate::call::{CallId, Command, CommandKind, Mode, PushConfig, Target, Under, UserId};
use crate::client::core::Submission;
use crate::client::store::{Filter, Query};
use crate::error::Error;

/// Calls of a page unless the request says otherwise.
const PAGE_DEFAULT: usize = 20;
/// Events of one answer unless the request says otherwise.
const EVENTS_DEFAULT: usize = 100;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// One of the eight commands.
    Command(CommandKind),
    /// What the engine answers by itself.
    Local(Local),
    /// compact
    Compact,
    /// backup
    Backup,
    /// renewToken
    RenewToken,
    /// logout
    Logout,
    /// shutdown
    Shutdown,
}

/// What the engine answers by itself, without a word of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// queryCallInvitationList
    Query,
    /// pending
    Pending,
    /// ringing
    Ringing,
    /// status
    Status,
    /// eventsSince
    EventsSince,
    /// acknowledge
    Acknowledge,
    /// markSeen
    MarkSeen,
    /// setNetwork
    SetNetwork,
    /// networkChanged
    NetworkChanged,
    /// pause
    Pause,
    /// resume
    Resume,
    /// handlePush
    HandlePush,
    /// storage
    Storage,
}

/// When a command's request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// When it is on disk.
    Disk,
    /// When the server has decided.
    Verdict,
}

impl Method {
    /// The method of that name.
    pub fn named(name: &str) -> Option<Self> {
        let local = match name {
            "queryCallInvitationList" => Local::Query,
            "pending" => Local::Pending,
            "ringing" => Local::Ringing,
            "status" => Local::Status,
            "eventsSince" => Local::EventsSince,
            "acknowledge" => Local::Acknowledge,
            "markSeen" => Local::MarkSeen,
            "setNetwork" => Local::SetNetwork,
            "networkChanged" => Local::NetworkChanged,
            "pause" => Local::Pause,
            "resume" => Local::Resume,
            "handlePush" => Local::HandlePush,
            "storage" => Local::Storage,
            "compact" => return Some(Self::Compact),
            "backup" => return Some(Self::Backup),
            "renewToken" => return Some(Self::RenewToken),
            "logout" => return Some(Self::Logout),
            "shutdown" => return Some(Self::Shutdown),
            command => return CommandKind::from_name(command).map(Self::Command),
        };
        Some(Self::Local(local))
    }
}

/// A command, and when it is to be answered.
pub fn command(kind: CommandKind, params: &mut Params) -> Result<(Submission, Wait), Error> {
    let wait = wait(params)?;
    let call_id = match kind {
        CommandKind::Invite => None,
        CommandKind::Cancel
        | CommandKind::Accept
        | CommandKind::Reject
        | CommandKind::CallingInvite
        | CommandKind::Join
        | CommandKind::Quit
        | CommandKind::End => Some(call_id(params)?),
    };
    let command = match kind {
        CommandKind::Invite => invite(params)?,
        CommandKind::CallingInvite => calling_invite(params)?,
        CommandKind::Cancel => cancel(params)?,
        CommandKind::Accept => Command::Accept {
            invitation: None,
            extended_data: only_extended_data(params)?,
        },
        CommandKind::Reject => Command::Reject {
            invitation: None,
            extended_data: only_extended_data(params)?,
        },
        CommandKind::Join => Command::Join {
            extended_data: only_extended_data(params)?,
        },
        CommandKind::Quit => {
            let (extended_data, push) = extended_data_and_push(params)?;
            Command::Quit {
                under: Under::Unknown,
                extended_data,
                push,
            }
        }
        CommandKind::End => {
            let (extended_data, push) = extended_data_and_push(params)?;
            Command::End {
                under: Under::Unknown,
                extended_data,
                push,
            }
        }
    };
    let given = Submission {
        op: None,
        call_id,
        command,
        wait_s: None,
    };
    Ok((given, wait))
}

fn wait(params: &mut Params) -> Result<Wait, Error> {
    match params.text("wait")?.as_deref() {
        None | Some("verdict") => Ok(Wait::Verdict),
        Some("disk") => Ok(Wait::Disk),
        Some(other) => {
            let message = format!("{other:?} is neither \"verdict\" nor \"disk\"");
            Err(Error::parameter("wait", message))
        }
    }
}

fn config(params: &mut Params) -> Result<Params, Error> {
    params.object("config", "")
}

fn extended_data(config: &mut Params) -> Result<Option<String>, Error> {
    config.text("extendedData")
}

fn only_extended_data(params: &mut Params) -> Result<String, Error> {
    Ok(extended_data(&mut config(params)?)?.unwrap_or_default())
}

fn extended_data_and_push(params: &mut Params) -> Result<(String, Option<PushConfig>), Error> {
    let mut config = config(params)?;
    let extended_data = extended_data(&mut config)?.unwrap_or_default();
    Ok((extended_data, config.push()?))
}

fn call_id(params: &mut Params) -> Result<CallId, Error> {
    let text = params.text("callID")?;
    CallId::parse("callID", &params.required("callID", text)?)
}

fn invitees(params: &mut Params) -> Result<Vec<UserId>, Error> {
    let texts = params.texts("invitees")?;
    params
        .required("invitees", texts)?
        .iter()
        .map(|text| UserId::parse("invitees", text))
        .collect()
}

fn invite(params: &mut Params) -> Result<Command, Error> {
    let invitees = invitees(params)?;
    let mut config = config(params)?;
    Ok(Command::Invite {
        invitees,
        timeout_s: config.number("timeout")?.unwrap_or(TIMEOUT_S_DEFAULT),
        mode: config.enumeration("mode")?.unwrap_or(Mode::General),
        extended_data: extended_data(&mut config)?.unwrap_or_default(),
        not_received_check: config.flag("enableNotReceivedCheck")?.unwrap_or_default(),
        push: config.push()?,
    })
}

fn calling_invite(params: &mut Params) -> Result<Command, Error> {
    let invitees = invitees(params)?;
    let mut config = config(params)?;
    Ok(Command::CallingInvite {
        invitees,
        timeout_s: config.number("timeout")?,
        extended_data: extended_data(&mut config)?,
        push: config.push()?,
    })
}

fn cancel(params: &mut Params) -> Result<Command, Error> {
    let target = |user| Target {
        user,
        invitation: None,
    };
    let invitees = invitees(params)?.into_iter().map(target).collect();
    let (extended_data, push) = extended_data_and_push(params)?;
    Ok(Command::Cancel {
        invitees,
        extended_data,
        push,
    })
}

/// Of queryCallInvitationList.
pub fn query(params: &mut Params) -> Result<Query, Error> {
    let mut config = config(params)?;
    let count = at_least_one("count", config.number("count")?, PAGE_DEFAULT)?;
    let next_flag: u64 = config.number("nextFlag")?.unwrap_or_default();
    let next_flag = i64::try_from(next_flag)
        .map_err(|_| Error::parameter("nextFlag", format!("{next_flag} is out of range")))?;
    let with = config.text("with")?;
    Ok(Query {
        count,
        next_flag,
        filter: Filter {
            state: config.enumeration("state")?,
            missed: config.flag("missed")?,
            with: with.map(|user| UserId::parse("with", &user)).transpose()?,
            since: config.number("since")?,
        },
    })
}

/// Of eventsSince: the position and the limit.
pub fn events_since(params: &mut Params) -> Result<(u64, usize), Error> {
    let position = position(params)?;
    let limit = at_least_one("limit", params.number("limit")?, EVENTS_DEFAULT)?;
    Ok((position, limit))
}

fn at_least_one(name: &str, number: Option<u64>, default: usize) -> Result<usize, Error> {
    match number {
        None => Ok(default),
        Some(0) => Err(Error::parameter(name, "0 is out of range; give 1 or more")),
        Some(number) => Ok(usize::try_from(number).unwrap_or(usize::MAX)),
    }
}

/// Of acknowledge. What lies beyond every position there can be is refused.
pub fn position(params: &mut Params) -> Result<u64, Error> {
    let number = params.number("position")?;
    let position: u64 = params.required("position", number)?;
    if i64::try_from(position).is_ok() {
        Ok(position)
    } else {
        let message = format!("{position} is out of range");
        Err(Error::parameter("position", message))
    }
}

/// Of markSeen; absent: all.
pub fn call_ids(params: &mut Params) -> Result<Option<Vec<CallId>>, Error> {
    let texts = params.texts("callIDs")?;
    let parse = |text: &String| CallId::parse("callIDs", text);
    texts
        .map(|texts| texts.iter().map(parse).collect())
        .transpose()
}

/// Of setNetwork.
pub fn online(params: &mut Params) -> Result<bool, Error> {
    let online = params.flag("online")?;
    params.required("online", online)
}

/// Of renewToken.
pub fn token(params: &mut Params) -> Result<String, Error> {
    let token = params.text("token")?;
    params.required("token", token)
}

/// Of backup.
pub fn path(params: &mut Params) -> Result<PathBuf, Error> {
    let path = params.text("path")?;
    params.required("path", path).map(PathBuf::from)
}

/// Of handlePush: the object that the server put into the push, or its text.
pub fn payload(params: &mut Params) -> Result<String, Error> {
    let payload = params.text_or_object("payload")?;
    params.required("payload", payload)
}
