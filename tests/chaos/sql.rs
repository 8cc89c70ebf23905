//! What the files say in the end, in plain SQL: each rule is a question to which the answer is no
//! rows. The server's file is attached as `s`, a device's as `d`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use serde_json::Value;

/// A rule in words, and the question for what breaks it.
type Rule = (&'static str, &'static str);

/// About a device's file beside the server's. `me` is its user and its device.
const OF_A_DEVICE: &[Rule] = &[
    (
        "its calls are the server's, as its user may see them",
        "WITH theirs AS (
             SELECT c.call_id, c.mode, c.caller, c.create_time_ms, c.timeout_s,
                    c.extended_data, c.not_received_check, c.state, c.end_kind,
                    coalesce(c.end_time_ms, 0), coalesce(c.end_revision, 0), c.ended_by,
                    CASE WHEN c.ended_by = me.user THEN c.end_device END,
                    coalesce(c.end_data, ''), coalesce(m.state, 'unknown'), m.primary_device,
                    m.primary_op, coalesce(m.primary_revision, 0), coalesce(m.seen, 0), 0
               FROM me JOIN s.feed f ON f.user = me.user JOIN s.calls c USING (call_key)
                    LEFT JOIN s.members m ON m.call_key = c.call_key AND m.user = me.user),
         ours AS (
             SELECT call_id, mode, caller, create_time_ms, timeout_s, extended_data,
                    not_received_check, state, end_kind, end_time_ms, end_revision, ended_by,
                    end_device, end_data, my_state, my_primary_device, my_primary_op,
                    my_primary_revision, seen, seen_here
               FROM d.calls)
         SELECT 'server', * FROM (SELECT * FROM theirs EXCEPT SELECT * FROM ours)
         UNION ALL SELECT 'device', * FROM (SELECT * FROM ours EXCEPT SELECT * FROM theirs)",
    ),
    (
        "its members are the server's, as its user may see them",
        "WITH theirs AS (
             SELECT c.call_id, m.position, m.user, m.inviter, m.invitation, m.invited_at_ms,
                    m.timeout_s, m.deadline_ms, m.invite_data, m.state, m.state_revision,
                    m.state_time_ms, m.data, m.changed_by,
                    CASE WHEN m.changed_by = me.user THEN m.acting_device END,
                    m.accept_time_ms, m.join_time_ms, m.quit_time_ms, m.participation
               FROM me JOIN s.feed f ON f.user = me.user JOIN s.calls c USING (call_key)
                    JOIN s.members m USING (call_key)),
         ours AS (
             SELECT call_id, position, user_id, inviter, invitation, invited_at_ms,
                    members.timeout_s, deadline_ms, invite_data, members.state, state_revision,
                    state_time_ms, members.extended_data, changed_by, acting_device,
                    accept_time_ms, join_time_ms, quit_time_ms, participation
               FROM d.calls JOIN d.members USING (sort_key))
         SELECT 'server', * FROM (SELECT * FROM theirs EXCEPT SELECT * FROM ours)
         UNION ALL SELECT 'device', * FROM (SELECT * FROM ours EXCEPT SELECT * FROM theirs)",
    ),
    (
        "how its user's invitations ended is what the server says",
        "WITH theirs AS (
             SELECT c.call_id, j.value ->> 'invitation', j.value ->> 'state', j.value ->> 'device'
               FROM me JOIN s.members m ON m.user = me.user JOIN s.calls c USING (call_key),
                    json_each(m.closings) j),
         ours AS (
             SELECT call_id, j.value ->> 'invitation',
                    CASE j.value ->> 'state' WHEN 1 THEN 'accepted' WHEN 2 THEN 'rejected'
                         WHEN 3 THEN 'cancelled' WHEN 6 THEN 'timeout' END,
                    j.value ->> 'device'
               FROM d.calls, json_each(my_closings) j)
         SELECT 'server', * FROM (SELECT * FROM theirs EXCEPT SELECT * FROM ours)
         UNION ALL SELECT 'device', * FROM (SELECT * FROM ours EXCEPT SELECT * FROM theirs)",
    ),
    (
        // What only concerns another user, such as what they have seen, counts there as well.
        "it knows no revision that is yet to come",
        "SELECT call_id, d.calls.revision, c.revision FROM d.calls
           LEFT JOIN s.calls c USING (call_id)
          WHERE d.calls.revision NOT BETWEEN 1 AND coalesce(c.revision, 0)",
    ),
    (
        "missed is what the states of the members make so",
        "SELECT c.call_id, c.missed, m.state, c.state
           FROM me JOIN s.members m ON m.user = me.user JOIN s.calls s USING (call_key)
                JOIN d.calls c USING (call_id)
          WHERE c.missed <> (m.invitation > 0 AND (m.state IN ('timeout', 'cancelled')
                OR s.state = 'ended' AND m.state IN ('inviting', 'not_yet_received', 'received')))",
    ),
    (
        "every command has one verdict, of those that an undamaged file can have",
        "SELECT op, command, verdict FROM d.commands
          WHERE coalesce(verdict, '') NOT IN ('accepted', 'refused', 'expired', 'withdrawn')",
    ),
    (
        "what was never sent has no verdict of the server",
        "SELECT op, command, verdict FROM d.commands
          WHERE number IS NULL AND (verdict = 'refused' OR verdict = 'accepted' AND NOT (
                command = 'callCancel' AND EXISTS (
                    SELECT 1 FROM d.commands i WHERE i.call_id = commands.call_id
                       AND i.command = 'callInvite' AND i.verdict = 'withdrawn')))",
    ),
    (
        "the numbers of its commands have no gap and end where the server's count ends",
        "SELECT count(number), max(number), last_number, next.value
           FROM me JOIN s.devices USING (user, device), d.commands,
                (SELECT value FROM d.meta WHERE key = 'next_number') next
         HAVING count(number) <> coalesce(max(number), 0) OR count(number) <> last_number
             OR CAST(next.value AS INTEGER) <> last_number + 1",
    ),
    (
        "what the server keeps of verdicts is what is in the file",
        "SELECT v.number, v.op FROM me JOIN s.verdicts v USING (user, device)
           LEFT JOIN d.commands c ON c.op = v.op
          WHERE c.number IS NOT v.number OR c.call_id IS NOT v.call_id",
    ),
    (
        "every ring is closed, in a word that says how",
        "SELECT * FROM d.rings
          WHERE closed_at_ms = 0 OR coalesce(closed_how, '') NOT IN
                ('verdict', 'elsewhere', 'cancelled', 'timeout', 'timeout_local', 'ended')",
    ),
    (
        "each invitation that rang was told once",
        "WITH told AS (SELECT call_id, count(*) FROM d.journal
                        WHERE name = 'callInvitationReceived' GROUP BY call_id),
              rang AS (SELECT call_id, count(*) FROM d.rings
                        WHERE invitation > 0 GROUP BY call_id)
         SELECT 'told', * FROM (SELECT * FROM told EXCEPT SELECT * FROM rang)
         UNION ALL SELECT 'rang', * FROM (SELECT * FROM rang EXCEPT SELECT * FROM told)",
    ),
    (
        "no invitation rang that the server does not know",
        "SELECT r.call_id, r.invitation FROM me, d.rings r
          WHERE r.invitation > coalesce((
                SELECT m.invitation FROM s.calls c JOIN s.members m USING (call_key)
                 WHERE c.call_id = r.call_id AND m.user = me.user), -1)",
    ),
    (
        "a ring that ended by an event was told of by that event, and handled elsewhere by no more",
        "WITH words (how, name) AS (VALUES
                  ('cancelled', 'callInvitationCancelled'), ('timeout', 'callInvitationTimeout'),
                  ('timeout_local', 'callInvitationTimeout'), ('ended', 'callInvitationEnded'),
                  ('elsewhere', 'callHandledElsewhere')),
              closed AS (SELECT call_id, name, count(*) AS n
                           FROM d.rings JOIN words ON how = closed_how GROUP BY call_id, name),
              told AS (SELECT call_id, name, count(*) AS n FROM d.journal GROUP BY call_id, name)
         SELECT * FROM (
             SELECT call_id, name, coalesce(closed.n, 0) AS rings, coalesce(told.n, 0) AS events
               FROM closed FULL JOIN told USING (call_id, name))
          WHERE rings > events OR name = 'callHandledElsewhere' AND rings <> events",
    ),
    (
        "no invitation timed out twice, no call ended twice",
        "SELECT j.call_id, j.name, count(*), m.invitation
           FROM me, d.journal j JOIN s.calls c USING (call_id) JOIN s.members m USING (call_key)
          WHERE m.user = me.user
          GROUP BY j.call_id, j.name
         HAVING j.name = 'callInvitationTimeout' AND count(*) > m.invitation
             OR j.name = 'callInvitationEnded' AND count(*) > 1",
    ),
    (
        "who invited nobody was cancelled no oftener than they were invited",
        "SELECT j.call_id, count(*), m.invitation
           FROM me, d.journal j JOIN s.calls c USING (call_id) JOIN s.members m USING (call_key)
          WHERE m.user = me.user AND j.name = 'callInvitationCancelled' AND c.caller <> me.user
            AND NOT EXISTS (SELECT 1 FROM s.members o
                             WHERE o.call_key = c.call_key AND o.inviter = me.user)
            AND NOT EXISTS (SELECT 1 FROM d.commands k
                             WHERE k.call_id = c.call_id AND k.command = 'callingInvite')
          GROUP BY j.call_id HAVING count(*) > m.invitation",
    ),
    (
        "a ring that a verdict closed has a command with such a verdict",
        "SELECT * FROM d.rings r
          WHERE closed_how = 'verdict' AND NOT EXISTS (
                SELECT 1 FROM d.commands c WHERE c.call_id = r.call_id AND verdict = 'accepted'
                   AND (r.invitation = 0
                        OR command IN ('callAccept', 'callReject', 'callJoin')))",
    ),
    (
        "a ring ended as its invitation did, or before that by the device's own timer",
        "WITH ended AS (
             SELECT r.call_id, r.invitation, r.closed_how AS how, e.state, e.device,
                    e.device = me.device AS here,
                    EXISTS (SELECT 1 FROM d.commands k WHERE k.call_id = r.call_id
                               AND k.verdict = 'accepted'
                               AND k.command IN ('callAccept', 'callJoin')) AS came_in
               FROM me, d.rings r JOIN d.calls c USING (call_id)
                    LEFT JOIN (
                        SELECT call_id, j.value ->> 'invitation' AS invitation,
                               j.value ->> 'state' AS state, j.value ->> 'device' AS device
                          FROM me, s.calls JOIN s.members m USING (call_key), json_each(closings) j
                         WHERE m.user = me.user) e USING (call_id, invitation)
              WHERE r.invitation > 0)
         SELECT * FROM ended
          WHERE how NOT IN (CASE WHEN state IS NULL THEN 'ended'
                                 WHEN state IN ('timeout', 'cancelled') THEN state
                                 WHEN here THEN 'verdict' ELSE 'elsewhere' END,
                            iif(here, '', 'timeout_local'), iif(came_in, 'verdict', ''))",
    ),
    (
        "each verdict was told once at most, and is the one that is in the file",
        "SELECT j.op, count(*), j.accepted, c.verdict
           FROM (SELECT params ->> 'op' AS op, params ->> 'result' IS NOT NULL AS accepted
                   FROM d.journal WHERE name = 'commandSettled') j
                LEFT JOIN d.commands c USING (op)
          GROUP BY j.op HAVING count(*) <> 1 OR c.op IS NULL
             OR j.accepted <> (c.verdict = 'accepted')",
    ),
    (
        "no call, member or verdict is left over of what the server never had",
        "SELECT call_id FROM d.calls WHERE end_kind = 'forgotten' OR epoch = 0 OR revision = 0",
    ),
];

/// The first rules are about records.
const RECORDS: usize = 3;

/// About all of them together. `commands`, `calls` are those of all devices, with `user` and
/// `device`; what a client did by itself has no number.
const OF_ALL: &[Rule] = &[
    (
        "all is over",
        "SELECT call_id, state, end_kind FROM s.calls WHERE state <> 'ended' OR end_kind IS NULL
          UNION ALL SELECT user, place, call_key FROM s.places",
    ),
    (
        "every file kept its identity",
        "SELECT user, device FROM s.devices EXCEPT SELECT user, device FROM devices
          UNION ALL SELECT user, device FROM devices EXCEPT SELECT user, device FROM s.devices",
    ),
    (
        "each call was made by one accepted invite of its caller",
        "SELECT c.call_id, c.caller, count(k.op) FROM s.calls c
           LEFT JOIN commands k ON k.call_id = c.call_id AND k.user = c.caller
                AND k.command = 'callInvite' AND k.verdict = 'accepted'
          GROUP BY c.call_id HAVING count(k.op) <> 1",
    ),
    (
        "an invite that was accepted has its call, any other has none",
        "SELECT k.op, k.verdict, c.call_id FROM commands k LEFT JOIN s.calls c USING (call_id)
          WHERE k.command = 'callInvite' AND (k.verdict = 'accepted') <> (c.call_id IS NOT NULL)",
    ),
    (
        "each member was invited as often as accepted invites asked them",
        "WITH asked AS (
             SELECT k.call_id, i.value AS user, count(*) AS times
               FROM commands k, json_each(k.arguments, '$.invitees') i
              WHERE k.command IN ('callInvite', 'callingInvite') AND k.verdict = 'accepted'
                AND i.value NOT IN (
                    SELECT e.value ->> 'user' FROM json_each(coalesce(
                        k.result -> '$.Invited.errors', k.result -> '$.CallingInvited.errors')) e)
              GROUP BY k.call_id, i.value)
         SELECT c.call_id, m.user, m.invitation, asked.times
           FROM s.calls c JOIN s.members m USING (call_key)
                LEFT JOIN asked ON asked.call_id = c.call_id AND asked.user = m.user
          WHERE m.invitation <> coalesce(asked.times, 0)",
    ),
    (
        "nobody was asked of whom the call knows nothing",
        "SELECT k.call_id, i.value FROM commands k, json_each(k.arguments, '$.invitees') i
          WHERE k.command = 'callInvite' AND k.verdict = 'accepted' AND NOT EXISTS (
                SELECT 1 FROM s.calls c JOIN s.members m USING (call_key)
                 WHERE c.call_id = k.call_id AND m.user = i.value)",
    ),
    (
        "each stay in a call was begun by an accepted command and ended by at most one",
        "WITH did AS (
             SELECT c.call_id, m.user, m.state, m.participation, m.user = c.caller AS created,
                    count(*) FILTER (WHERE k.command = 'callAccept') AS accepts,
                    count(*) FILTER (WHERE k.command = 'callJoin') AS joins,
                    count(*) FILTER (WHERE k.command = 'callQuit') AS quits
               FROM s.calls c JOIN s.members m USING (call_key)
                    LEFT JOIN commands k ON k.call_id = c.call_id AND k.user = m.user
                         AND k.verdict = 'accepted'
              GROUP BY c.call_id, m.user)
         SELECT * FROM did
          WHERE participation < created + accepts OR participation > created + accepts + joins
             OR quits <> participation - (state = 'accepted')",
    ),
    (
        "each invitation ended once, a reject of it was accepted once",
        "WITH ends AS (
             SELECT c.call_id, m.user, m.invitation,
                    m.state IN ('inviting', 'not_yet_received', 'received') AS open,
                    (SELECT count(*) FROM json_each(m.closings)) AS n,
                    (SELECT count(*) FROM json_each(m.closings) j
                      WHERE j.value ->> 'state' = 'rejected') AS rejected,
                    (SELECT count(*) FROM commands k WHERE k.call_id = c.call_id
                        AND k.user = m.user AND k.command = 'callReject'
                        AND k.verdict = 'accepted') AS rejects
               FROM s.calls c JOIN s.members m USING (call_key) WHERE m.invitation <= 8)
         SELECT * FROM ends WHERE n <> invitation - open OR rejected <> rejects",
    ),
    (
        "no invitation ended twice",
        "SELECT c.call_id, m.user, j.value ->> 'invitation', count(*)
           FROM s.calls c JOIN s.members m USING (call_key), json_each(m.closings) j
          GROUP BY 1, 2, 3 HAVING count(*) <> 1",
    ),
    (
        "who answered an invitation has a device with an accepted answer",
        "SELECT c.call_id, m.user, j.value FROM s.calls c JOIN s.members m USING (call_key),
                json_each(m.closings) j
          WHERE j.value ->> 'state' IN ('accepted', 'rejected') AND NOT EXISTS (
                SELECT 1 FROM commands k WHERE k.call_id = c.call_id AND k.user = m.user
                   AND k.device = j.value ->> 'device' AND k.verdict = 'accepted'
                   AND k.command IN ('callAccept', 'callReject', 'callJoin'))",
    ),
    (
        "a call that was ended was ended by one accepted command, and no other was",
        "SELECT c.call_id, c.end_kind, c.ended_by, count(k.op) FROM s.calls c
           LEFT JOIN commands k ON k.call_id = c.call_id AND k.command = 'callEnd'
                AND k.verdict = 'accepted'
          GROUP BY c.call_id
         HAVING count(k.op) <> (c.end_kind = 'ended')
             OR c.end_kind = 'ended' AND (k.user <> c.ended_by OR k.device <> c.end_device
                OR k.result ->> '$.Ended.end_time' <> c.end_time_ms)",
    ),
    (
        "a call that a user cancelled was cancelled by an accepted command of theirs",
        "SELECT c.call_id, c.ended_by FROM s.calls c
          WHERE c.end_kind = 'cancelled' AND c.ended_by IS NOT NULL
            AND c.end_device IS NOT NULL AND NOT EXISTS (
                SELECT 1 FROM commands k WHERE k.call_id = c.call_id AND k.user = c.ended_by
                   AND k.device = c.end_device AND k.verdict = 'accepted'
                   AND k.command IN ('callCancel', 'callQuit'))",
    ),
    (
        "an accepted cancel of a whole call has cancelled it, once",
        "SELECT c.call_id, c.mode, c.end_kind, count(*) FROM s.calls c
           JOIN commands k ON k.call_id = c.call_id AND k.command = 'callCancel'
                AND k.verdict = 'accepted'
          WHERE c.mode = 'general' OR json_array_length(k.arguments, '$.invitees') = 0
          GROUP BY c.call_id HAVING count(*) <> 1 OR c.end_kind <> 'cancelled'",
    ),
    (
        "who was in a call has one primary device, made so by an accepted command of its own",
        "SELECT c.call_id, m.user, m.primary_device, m.primary_op FROM s.calls c
           JOIN s.members m USING (call_key)
          WHERE m.participation > 0 AND (SELECT count(*) FROM commands k
                WHERE k.op = m.primary_op AND k.user = m.user AND k.device = m.primary_device
                  AND k.call_id = c.call_id AND k.verdict = 'accepted'
                  AND k.command IN ('callInvite', 'callAccept', 'callJoin')) <> 1",
    ),
    (
        "a call is missed and seen, or not, on every device of a user alike",
        "SELECT user, call_id, count(*), group_concat(missed || seen || device, ' ') FROM calls
          GROUP BY user, call_id
         HAVING count(DISTINCT missed) <> 1 OR count(DISTINCT seen) <> 1
             OR count(*) <> (SELECT count(*) FROM devices d WHERE d.user = calls.user)",
    ),
    (
        "one command has one identity",
        "SELECT op, count(*) FROM commands GROUP BY op HAVING count(*) <> 1",
    ),
];

/// The files of a world that stands still.
pub struct Files {
    pub server: PathBuf,
    /// By name.
    pub devices: Vec<(String, PathBuf)>,
}

impl Files {
    /// All that breaks a rule; nothing if all holds.
    pub fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        let mut sound = |who: &str, path: &Path| {
            let connection = Connection::open(path).expect("the file opens");
            let answer = lines(&connection, "PRAGMA integrity_check");
            if answer != ["ok"] {
                findings.push(format!("{who}: integrity: {answer:?}"));
            }
            for line in lines(&connection, "PRAGMA foreign_key_check") {
                findings.push(format!("{who}: foreign keys: {line}"));
            }
        };
        sound("the server", &self.server);
        for (name, path) in &self.devices {
            sound(name, path);
        }
        for (name, path) in &self.devices {
            let connection = beside(&self.server, path);
            broken(&connection, name, OF_A_DEVICE, &mut findings);
        }
        broken(&self.together(), "all", OF_ALL, &mut findings);
        findings
    }

    /// A connection that has the rows of all devices in views.
    fn together(&self) -> Connection {
        let connection = Connection::open_in_memory().expect("memory");
        attach(&connection, &self.server, "s");
        let mut parts: [Vec<String>; 3] = Default::default();
        for (index, (_, path)) in self.devices.iter().enumerate() {
            let schema = format!("d{index}");
            attach(&connection, path, &schema);
            let meta = |key, name| {
                format!("(SELECT value FROM {schema}.meta WHERE key = '{key}') AS {name}")
            };
            let me = format!(
                "{}, {}",
                meta("user_id", "user"),
                meta("device_id", "device")
            );
            parts[0].push(format!("SELECT {me}"));
            parts[1].push(format!("SELECT {me}, * FROM {schema}.commands"));
            parts[2].push(format!("SELECT {me}, * FROM {schema}.calls"));
        }
        for (view, parts) in ["devices", "commands", "calls"].iter().zip(parts) {
            let all = parts.join(" UNION ALL ");
            let sql = format!("CREATE TEMP VIEW {view} AS {all}");
            connection.execute_batch(&sql).expect("a view");
        }
        connection
    }

    /// How many commands ended how, over all devices.
    pub fn verdicts(&self) -> BTreeMap<String, u64> {
        let sql = "SELECT command || ' ' || verdict, count(*) FROM commands GROUP BY 1";
        let connection = self.together();
        let mut statement = connection.prepare(sql).expect("a question");
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        let rows = rows.expect("an answer");
        rows.map(|row: rusqlite::Result<(String, i64)>| row.expect("a row"))
            .map(|(name, count)| (name, count.cast_unsigned()))
            .collect()
    }
}

/// An event as a device's file has it.
pub struct Entry {
    pub name: String,
    pub call: String,
    pub params: Value,
}

/// By position.
pub fn journal(path: &Path) -> BTreeMap<u64, Entry> {
    let connection = Connection::open(path).expect("the file opens");
    let mut statement = connection
        .prepare("SELECT position, name, call_id, params FROM journal")
        .expect("a question");
    let rows = statement.query_map([], |row| {
        let (position, params): (i64, String) = (row.get(0)?, row.get(3)?);
        let entry = Entry {
            name: row.get(1)?,
            call: row.get(2)?,
            params: serde_json::from_str(&params).expect("JSON"),
        };
        Ok((position.cast_unsigned(), entry))
    });
    let rows = rows.expect("an answer");
    rows.map(|row| row.expect("a row")).collect()
}

/// An invitation that rang, in milliseconds of the server's clock.
pub struct Ring {
    pub call: String,
    pub invitation: i64,
    pub deadline_ms: i64,
    pub closed_ms: i64,
    /// Answers that were given here: since when and until when each was on its way.
    pub answers_ms: Vec<(i64, i64)>,
}

/// The rings of a device's file.
pub fn rings(path: &Path) -> Vec<Ring> {
    let connection = Connection::open(path).expect("the file opens");
    let sql = "SELECT call_id, invitation, deadline_ms, closed_at_ms, (
                      SELECT json_group_array(json_array(queued_at_ms, settled_at_ms))
                        FROM commands c WHERE c.call_id = rings.call_id
                         AND command IN ('callAccept', 'callReject', 'callJoin'))
                 FROM rings WHERE invitation > 0";
    let mut statement = connection.prepare(sql).expect("a question");
    let rows = statement.query_map([], |row| {
        let answers: String = row.get(4)?;
        Ok(Ring {
            call: row.get(0)?,
            invitation: row.get(1)?,
            deadline_ms: row.get(2)?,
            closed_ms: row.get(3)?,
            answers_ms: serde_json::from_str(&answers).expect("pairs"),
        })
    });
    let rows = rows.expect("an answer");
    rows.map(|row| row.expect("a row")).collect()
}

/// The commands of a file: how often the journal has the verdict of each.
pub fn told_verdicts(path: &Path) -> BTreeMap<String, u64> {
    let connection = Connection::open(path).expect("the file opens");
    let sql = "SELECT op, (SELECT count(*) FROM journal
                            WHERE name = 'commandSettled' AND params ->> 'op' = op)
                 FROM commands";
    let mut statement = connection.prepare(sql).expect("a question");
    let rows = statement.query_map([], |row| {
        let times: i64 = row.get(1)?;
        Ok((row.get(0)?, times.cast_unsigned()))
    });
    let rows = rows.expect("an answer");
    rows.map(|row| row.expect("a row")).collect()
}

/// A look at the server's file while it runs: calls that go on, each with a user who is in it.
pub fn going_on(server: &Path) -> Vec<(String, String, Option<String>)> {
    let connection = look(server);
    let sql = "SELECT call_id, mode, (SELECT user FROM members m
                       WHERE m.call_key = calls.call_key AND m.state = 'accepted')
                 FROM calls WHERE state = 'started'";
    let mut statement = connection.prepare(sql).expect("a question");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let rows = rows.expect("an answer");
    rows.map(|row| row.expect("a row")).collect()
}

/// A look at the server's file while it runs: when a device of that user last said hello, which is
/// once a connection.
pub fn said_hello_ms(server: &Path, user: &str) -> i64 {
    let sql = "SELECT max(hello_at_ms) FROM devices WHERE user = ?";
    let answer = look(server).query_row(sql, [user], |row| row.get(0));
    answer.expect("an answer")
}

/// A look at the server's file while it runs: how often that user was invited into that call.
pub fn invitations(server: &Path, call: &str, user: &str) -> i64 {
    let sql = "SELECT invitation FROM calls JOIN members USING (call_key)
                WHERE call_id = ? AND user = ?";
    let answer = look(server).query_row(sql, [call, user], |row| row.get(0));
    answer.expect("an answer")
}

/// A look at the files while they are in use: by what that device's records differ from the server's.
pub fn differences(server: &Path, device: &Path) -> Vec<String> {
    let connection = beside(server, device);
    let wait = std::time::Duration::from_secs(10);
    connection.busy_timeout(wait).expect("it waits");
    let mut findings = Vec::new();
    let records = &OF_A_DEVICE[..RECORDS];
    broken(&connection, "now", records, &mut findings);
    findings
}

fn look(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("the file opens");
    let wait = std::time::Duration::from_secs(10);
    connection.busy_timeout(wait).expect("it waits");
    connection
        .pragma_update(None, "query_only", true)
        .expect("it only looks");
    connection
}

/// The server's file and a device's.
fn beside(server: &Path, device: &Path) -> Connection {
    let connection = Connection::open_in_memory().expect("memory");
    attach(&connection, server, "s");
    attach(&connection, device, "d");
    let me = "CREATE TEMP VIEW me AS SELECT
        (SELECT value FROM d.meta WHERE key = 'user_id') AS user,
        (SELECT value FROM d.meta WHERE key = 'device_id') AS device";
    connection.execute_batch(me).expect("a view");
    connection
}

fn attach(connection: &Connection, path: &Path, name: &str) {
    let path = path.to_str().expect("plain text");
    let sql = format!("ATTACH ? AS {name}");
    connection.execute(&sql, [path]).expect("attached");
}

fn broken(connection: &Connection, who: &str, rules: &[Rule], findings: &mut Vec<String>) {
    for (rule, question) in rules {
        for line in lines(connection, question) {
            findings.push(format!("{who}: {rule}: {line}"));
        }
    }
}

fn lines(connection: &Connection, question: &str) -> Vec<String> {
    let statement = connection.prepare(question);
    let mut statement = statement.unwrap_or_else(|error| panic!("{question}: {error}"));
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| line(row, columns));
    let rows = rows.expect("an answer");
    rows.map(|row| row.unwrap_or_else(|error| panic!("{question}: {error}")))
        .collect()
}

fn line(row: &Row<'_>, columns: usize) -> rusqlite::Result<String> {
    let mut texts = Vec::new();
    for column in 0..columns {
        texts.push(match row.get_ref(column)? {
            ValueRef::Null => "-".to_owned(),
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Real(number) => number.to_string(),
            ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            ValueRef::Blob(blob) => format!("{} bytes", blob.len()),
        });
    }
    Ok(texts.join(" | "))
}
