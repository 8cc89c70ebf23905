//! A long history at a server, written by hand: calls of two that are over, and what changes of
//! them while a device is away.

use std::path::Path;

use offhook::{Call, CallId, CallState, EndKind, Ending, Member, Mode, UserId, UserState};
use rusqlite::{Connection, Row, ToSql, params};

use super::open_full;

/// Who calls in all of them.
const CALLER: &str = "friend";
/// When the first was made.
const FIRST_MS: i64 = 1_767_225_600_000;

/// The database of a server, opened beside it.
pub struct History {
    connection: Connection,
    user: String,
    calls: i64,
}

impl History {
    /// Writes that many calls into the user's feed. The server has made the file and is stopped.
    pub fn fill(database: &Path, user: &str, calls: i64) -> Self {
        let mut connection = open_full(database);
        let transaction = connection.transaction().expect("a transaction");
        let count = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)";
        let call = format!(
            "{count} INSERT INTO calls (call_key, call_id, revision, mode, caller, \
             create_time_ms, timeout_s, extended_data, not_received_check, state, end_kind, \
             end_time_ms, end_revision, end_data) \
             SELECT n, printf('call-%027d', n), 3, 'general', ?2, ?3 + n * 1000, 90, \
             '{{\"room\":\"b7f0c2d4\",\"video\":true}}', 0, 'ended', 'completed', \
             ?3 + n * 1000 + 30000, 3, '' FROM n"
        );
        let member = |position: u8, user: &str, inviter: &str| {
            format!(
                "{count} INSERT INTO members SELECT n, {position}, {user}, {inviter}, {position}, \
                 ?3 + n * 1000, 90, ?3 + n * 1000 + 90000, 0, '', 'accepted', {position} + 1, \
                 ?3 + n * 1000 + 5000, '', ?2, NULL, ?3 + n * 1000 + 5000, 0, 0, 1, NULL, NULL, \
                 0, 0, '[]' FROM n WHERE ?4 = ?4"
            )
        };
        let feed = format!("{count} INSERT INTO feed SELECT n, ?4, n FROM n");
        if calls > 0 {
            let run = |sql: &str, params: &[&dyn ToSql]| {
                transaction.execute(sql, params).expect("rows");
            };
            run(&call, params![calls, CALLER, FIRST_MS]);
            for sql in [member(0, "?2", "NULL"), member(1, "?4", "?2")] {
                run(&sql, params![calls, CALLER, FIRST_MS, user]);
            }
            run(
                &feed,
                params![calls, rusqlite::types::Null, rusqlite::types::Null, user],
            );
            run("UPDATE meta SET feed_seq = ?1", params![calls]);
        }
        transaction.commit().expect("a commit");
        Self {
            connection,
            user: user.to_owned(),
            calls,
        }
    }

    /// All of them change once more, so that a device that had them all has to catch up with all.
    pub fn change_all(&mut self) {
        let transaction = self.connection.transaction().expect("a transaction");
        for (sql, with_user) in [
            (
                "UPDATE calls SET revision = revision + 1 WHERE call_key <= ?1",
                false,
            ),
            (
                "UPDATE feed SET seq = call_key + (SELECT feed_seq FROM meta) \
                 WHERE call_key <= ?1 AND user = ?2",
                true,
            ),
            ("UPDATE meta SET feed_seq = feed_seq + ?1", false),
        ] {
            let done = if with_user {
                transaction.execute(sql, params![self.calls, self.user])
            } else {
                transaction.execute(sql, params![self.calls])
            };
            done.expect("rows");
        }
        transaction.commit().expect("a commit");
    }
}

/// Reads the feed of a user by hand, in order.
pub struct Source {
    connection: Connection,
    user: String,
    seq: i64,
}

impl Source {
    pub fn new(connection: Connection, user: &str) -> Self {
        Self {
            connection,
            user: user.to_owned(),
            seq: 0,
        }
    }

    /// The next calls, at most that many.
    pub fn next(&mut self, limit: usize) -> Vec<Call> {
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT feed.seq, calls.* FROM feed JOIN calls USING (call_key) \
                 WHERE feed.user = ?1 AND feed.seq > ?2 ORDER BY feed.seq LIMIT ?3",
            )
            .expect("a statement");
        let mut members = self
            .connection
            .prepare_cached("SELECT * FROM members WHERE call_key = ?1 ORDER BY position")
            .expect("a statement");
        let limit = i64::try_from(limit).expect("not so many");
        let mut rows = statement
            .query(params![self.user, self.seq, limit])
            .expect("rows");
        let mut calls = Vec::new();
        while let Some(row) = rows.next().expect("a row") {
            self.seq = row.get("seq").expect("a number");
            let key: i64 = row.get("call_key").expect("a number");
            let mut call = call(row);
            let mut of_call = members.query([key]).expect("rows");
            while let Some(row) = of_call.next().expect("a row") {
                call.members.push(member(row));
            }
            calls.push(call);
        }
        calls
    }
}

fn call(row: &Row<'_>) -> Call {
    let number = |name: &str| row.get::<_, i64>(name).expect("a number");
    let text = |name: &str| row.get::<_, String>(name).expect("a text");
    Call {
        id: CallId::trusted(text("call_id")),
        revision: number("revision").cast_unsigned(),
        mode: Mode::from_word(&text("mode")),
        caller: UserId::trusted(text("caller")),
        create_time: number("create_time_ms"),
        timeout_s: u32::try_from(number("timeout_s")).expect("seconds"),
        extended_data: text("extended_data"),
        not_received_check: number("not_received_check") == 1,
        state: CallState::Ended,
        ending: Some(Ending {
            kind: EndKind::Completed,
            time: number("end_time_ms"),
            revision: number("end_revision").cast_unsigned(),
            by: None,
            device: None,
            data: text("end_data"),
        }),
        members: Vec::new(),
    }
}

fn member(row: &Row<'_>) -> Member {
    let number = |name: &str| row.get::<_, i64>(name).expect("a number");
    let text = |name: &str| row.get::<_, String>(name).expect("a text");
    let maybe = |name: &str| row.get::<_, Option<String>>(name).expect("a text");
    let small = |name: &str| u32::try_from(number(name)).expect("small");
    Member {
        user: UserId::trusted(text("user")),
        inviter: maybe("inviter").map(UserId::trusted),
        invitation: small("invitation"),
        invited_at: number("invited_at_ms"),
        timeout_s: small("timeout_s"),
        deadline: number("deadline_ms"),
        check_at: 0,
        invite_data: text("invite_data"),
        state: UserState::Accepted,
        state_revision: number("state_revision").cast_unsigned(),
        state_time: number("state_time_ms"),
        data: text("data"),
        changed_by: maybe("changed_by").map(UserId::trusted),
        acting_device: None,
        accept_time: number("accept_time_ms"),
        join_time: number("join_time_ms"),
        quit_time: number("quit_time_ms"),
        participation: small("participation"),
        own: None,
    }
}

/// Writes new calls into a device's database by hand.
pub struct Rows {
    connection: Connection,
}

impl Rows {
    pub fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// One synced transaction. The calls are of different milliseconds.
    pub fn put(&mut self, calls: &[Call]) {
        let transaction = self.connection.transaction().expect("a transaction");
        let run = |sql: &str, params: &[&dyn ToSql]| {
            let mut statement = transaction.prepare_cached(sql).expect("a statement");
            statement.execute(params).expect("a row");
        };
        for call in calls {
            let key = call.create_time << 11;
            let ending = call.ending.as_ref().expect("one that is over");
            run(
                "INSERT INTO calls (sort_key, call_id, epoch, revision, mode, caller, \
                 create_time_ms, timeout_s, extended_data, not_received_check, state, end_kind, \
                 end_time_ms, end_revision, end_data, my_state) \
                 VALUES (?1, ?2, 7, ?3, ?4, ?5, ?6, ?7, ?8, 0, 'ended', ?9, ?10, ?11, '', \
                 'accepted')",
                params![
                    key,
                    call.id.as_str(),
                    call.revision.cast_signed(),
                    call.mode.word(),
                    call.caller.as_str(),
                    call.create_time,
                    call.timeout_s,
                    call.extended_data,
                    ending.kind.word(),
                    ending.time,
                    ending.revision.cast_signed()
                ],
            );
            for (position, member) in (0_i64..).zip(&call.members) {
                put_member(&run, (key, position), member);
                let change = (member.state_time, member.user.as_str(), member.state.word());
                put_change(&run, call, change);
            }
            put_change(&run, call, (ending.time, "", ending.kind.word()));
        }
        run(
            "UPDATE feed SET cursor = cursor + ?1, heard_at_ms = heard_at_ms + 1",
            params![i64::try_from(calls.len()).expect("not so many")],
        );
        transaction.commit().expect("a commit");
    }
}

/// Runs a statement.
type Run<'a> = dyn Fn(&str, &[&dyn ToSql]) + 'a;

fn put_member(run: &Run<'_>, (key, position): (i64, i64), member: &Member) {
    run(
        "INSERT INTO members VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, \
         ?14, NULL, ?15, ?16, ?17, ?18)",
        params![
            key,
            position,
            member.user.as_str(),
            member.inviter.as_ref().map(UserId::as_str),
            member.invitation,
            member.invited_at,
            member.timeout_s,
            member.deadline,
            member.invite_data,
            member.state.word(),
            member.state_revision.cast_signed(),
            member.state_time,
            member.data,
            member.changed_by.as_ref().map(UserId::as_str),
            member.accept_time,
            member.join_time,
            member.quit_time,
            member.participation
        ],
    );
}

fn put_change(run: &Run<'_>, call: &Call, (at, user, state): (i64, &str, &str)) {
    run(
        "INSERT INTO changes (call_id, at_ms, learned_ms, user_id, state) \
         VALUES (?1, ?2, ?2, ?3, ?4)",
        params![call.id.as_str(), at, user, state],
    );
}
