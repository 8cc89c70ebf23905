//! A hello that comes ahead of the end of its handshake.
//!
//! A device that resumes a TLS session sends its hello with the first packet, so that what rings is
//! with it after one round trip. Such a packet can be recorded and sent again by anybody. So it is
//! answered by reading alone, and only where there is nothing to decide: with what is owed and what is
//! open, encrypted for the device that the session belongs to. The hello itself waits. Once the
//! handshake is complete, which nobody can do but that device and now, it is taken as any other; if
//! that never happens, nothing has.

use super::commands::verdict_with_record;
use super::hello::{VERDICTS_AT_ONCE, fits, which_have_records};
use super::session::Handshake;
use super::work::{Asked, Work};
use super::{ConnId, State};
use crate::protocol::{
    ClosingReason, Hello, PREVIEW_BYTES_MAX, Preview, ToDevice, ToServer, codec,
};
use crate::server::store::{DeviceRow, StoreResult};

impl State {
    /// A frame of a connection whose handshake is not complete.
    pub(super) fn on_early_frame(
        &mut self,
        work: &mut Work<'_>,
        conn: ConnId,
        frame: ToServer,
    ) -> StoreResult<()> {
        let ToServer::Hello(hello) = frame else {
            let why = "a frame other than a hello before the end of the handshake";
            return self.say_goodbye(work, conn, ClosingReason::Violation, why);
        };
        work.note(conn, Asked::Hello);
        let preview = self.preview(work, &hello)?;
        let Some(session) = self.sessions.get_mut(&conn) else {
            return Ok(());
        };
        match &mut session.handshake {
            Handshake::Pending(kept @ None) => *kept = Some(hello),
            Handshake::Pending(Some(_)) | Handshake::Done => {
                let why = "a second hello";
                return self.say_goodbye(work, conn, ClosingReason::Violation, why);
            }
        }
        let peer = session.peer;
        tracing::debug!(conn = conn.0, %peer, answered = preview.is_some(), "early hello");
        if let Some(preview) = preview {
            self.send(work, conn, ToDevice::Preview(Box::new(preview)));
        }
        Ok(())
    }

    /// The handshake is complete: what waited for that is taken.
    pub(super) fn on_confirmed(&mut self, work: &mut Work<'_>, conn: ConnId) -> StoreResult<()> {
        let Some(session) = self.sessions.get_mut(&conn) else {
            return Ok(()); // it was closed meanwhile
        };
        work.keep(conn, session);
        work.note(conn, Asked::Hello);
        session.heard_at = work.now;
        match std::mem::replace(&mut session.handshake, Handshake::Done) {
            Handshake::Pending(Some(hello)) => self.on_hello(work, conn, *hello),
            Handshake::Pending(None) | Handshake::Done => Ok(()),
        }
    }

    /// What that hello can be told by reading alone; nothing where anything is out of the ordinary.
    fn preview(&self, work: &mut Work<'_>, hello: &Hello) -> StoreResult<Option<Preview>> {
        if self.check_hello(hello, work.now).is_err() {
            return Ok(None);
        }
        let Some(row) = self.row_of(work, hello)? else {
            return Ok(None);
        };
        if !is_next_hello_of(&row, hello) || !work.read()?.knows_cursor(hello.cursor)? {
            return Ok(None);
        }
        if hello.cursor.seq < work.read()?.trimmed(&hello.user)? {
            return Ok(None);
        }
        let mut preview = Preview {
            server_time: work.now,
            epoch: self.epoch,
            limits: self.settings.limits(),
            verdicts: Vec::new(),
            calls: Vec::new(),
        };
        let mut room = PREVIEW_BYTES_MAX;
        let complete = add_verdicts(work, &mut preview, &row, hello, &mut room)?
            && self.add_calls(work, &mut preview, hello, &mut room)?;
        Ok(complete.then_some(preview))
    }

    /// What is known of the device that says hello.
    fn row_of(&self, work: &mut Work<'_>, hello: &Hello) -> StoreResult<Option<DeviceRow>> {
        let here = self
            .connection_of(&hello.user, &hello.device)
            .and_then(|conn| self.device(conn));
        match here {
            // The store may be about to learn of it.
            Some(device) => Ok(Some(device.row.clone())),
            None => work.read()?.device(&hello.user, &hello.device),
        }
    }

    /// Whether there was room for all that is open.
    fn add_calls(
        &self,
        work: &mut Work<'_>,
        preview: &mut Preview,
        hello: &Hello,
        room: &mut usize,
    ) -> StoreResult<bool> {
        for id in self.open_lane(work, &hello.user, &hello.open_calls)? {
            let call = work.record_to_send(&id)?;
            let Some(call) = call.filter(|call| call.member(&hello.user).is_some()) else {
                continue;
            };
            let call = call.seen_by(&hello.user);
            if !takes(room, codec::encoded_len(&call)) {
                return Ok(false);
            }
            preview.calls.push(call);
        }
        Ok(true)
    }
}

/// Whether that is what the device is expected to say next, and it has the newest welcome.
fn is_next_hello_of(row: &DeviceRow, hello: &Hello) -> bool {
    fits(hello, Some(row)) && hello.welcome_token.as_ref() == Some(&row.welcome_token)
}

/// Whether there was room for all verdicts that are owed.
fn add_verdicts(
    work: &mut Work<'_>,
    preview: &mut Preview,
    row: &DeviceRow,
    hello: &Hello,
    room: &mut usize,
) -> StoreResult<bool> {
    let mut from = row
        .settled_number
        .saturating_add(1)
        .max(hello.first_unsettled);
    loop {
        let kept = work
            .read()?
            .verdicts_from(&row.user, &row.device, from, VERDICTS_AT_ONCE)?;
        let Some(last) = kept.last() else {
            return Ok(true);
        };
        from = last.number + 1;
        for (verdict, has_record) in which_have_records(kept) {
            let call = if has_record {
                work.record_to_send(&verdict.call)?
            } else {
                None
            };
            let verdict = verdict_with_record(verdict, call, &row.user);
            if !takes(room, codec::encoded_len(&verdict)) {
                return Ok(false);
            }
            preview.verdicts.push(verdict);
        }
    }
}

/// Takes so many bytes of the room, if it has them.
fn takes(room: &mut usize, bytes: Result<usize, codec::CodecError>) -> bool {
    match bytes.ok().and_then(|bytes| room.checked_sub(bytes)) {
        Some(left) => {
            *room = left;
            true
        }
        None => false,
    }
}
