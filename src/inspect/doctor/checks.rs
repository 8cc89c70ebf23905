//! What must not be in a file, and what should not stay in it: each check in SQL.

use super::Severity::{self, Error, Warning};

/// Something that can be wrong with the rows.
pub(super) struct Check {
    /// A word for it that stays the same.
    pub code: &'static str,
    pub severity: Severity,
    /// What the query reads. In files without one of these the check is left out.
    pub tables: &'static [&'static str],
    /// Names what is wrong, a row each; nothing if all is well. `?1` is the time, if it has any.
    pub sql: &'static str,
    /// What is wrong with all that the query names.
    pub text: &'static str,
    pub advice: &'static str,
}

const REPORT: &str = "A defect of the engine, or somebody wrote to the file: report it with a copy (`export --copy`)";
const CONNECT: &str = "The server's word has not come: see when it was last heard (`stats`), and bring the app online";

pub(super) const CHECKS: &[Check] = &[
    Check {
        code: "identity",
        severity: Error,
        tables: &["meta"],
        sql: "SELECT value FROM (SELECT 'user_id' AS value UNION SELECT 'device_id')
               WHERE value NOT IN (SELECT key FROM meta)",
        text: "The file does not say whose it is",
        advice: "The app gives it a user and a device when it opens it; a copy is of no use without",
    },
    Check {
        code: "one_row",
        severity: Error,
        tables: &["feed"],
        sql: "SELECT 'feed has ' || n FROM (SELECT count(*) AS n FROM feed) WHERE n <> 1",
        text: "A table of one row has another number",
        advice: REPORT,
    },
    Check {
        code: "one_row",
        severity: Error,
        tables: &["lease"],
        sql: "SELECT 'lease has ' || n FROM (SELECT count(*) AS n FROM lease) WHERE n <> 1",
        text: "A table of one row has another number",
        advice: REPORT,
    },
    Check {
        code: "orphans",
        severity: Error,
        tables: &["members", "calls"],
        sql: "SELECT user_id || ' of ' || sort_key FROM members
               WHERE sort_key NOT IN (SELECT sort_key FROM calls)",
        text: "Members without their call",
        advice: REPORT,
    },
    Check {
        code: "orphans",
        severity: Warning,
        tables: &["rings", "calls"],
        sql: "SELECT call_id || ' ' || invitation FROM rings
               WHERE call_id NOT IN (SELECT call_id FROM calls)",
        text: "Rings without their call",
        advice: "They do no harm; they take up room",
    },
    Check {
        code: "orphans",
        severity: Warning,
        tables: &["changes", "calls"],
        sql: "SELECT DISTINCT call_id FROM changes
               WHERE call_id NOT IN (SELECT call_id FROM calls)",
        text: "Changes without their call",
        advice: "They do no harm; they take up room",
    },
    Check {
        code: "no_members",
        severity: Error,
        tables: &["members", "calls"],
        sql: "SELECT call_id FROM calls WHERE NOT EXISTS
                  (SELECT 1 FROM members WHERE members.sort_key = calls.sort_key)",
        text: "Calls that nobody is in",
        advice: REPORT,
    },
    Check {
        code: "member_twice",
        severity: Error,
        tables: &["members", "calls"],
        sql: "SELECT user_id || ' in ' || call_id FROM members JOIN calls USING (sort_key)
               GROUP BY sort_key, user_id HAVING count(*) > 1",
        text: "Users who are twice in a call",
        advice: REPORT,
    },
    Check {
        code: "my_state",
        severity: Error,
        tables: &["members", "calls", "meta"],
        sql: "SELECT call_id || ' (' || my_state || ')' FROM calls
               WHERE my_state IS NOT coalesce(
                   (SELECT state FROM members WHERE members.sort_key = calls.sort_key
                       AND user_id = (SELECT value FROM meta WHERE key = 'user_id')), 'unknown')",
        text: "Calls in which the user's state is not that of their row in members",
        advice: REPORT,
    },
    Check {
        code: "call_end",
        severity: Error,
        tables: &["calls"],
        sql: "SELECT call_id FROM calls
               WHERE state = 'ended' AND (end_kind IS NULL OR end_time_ms = 0)
                  OR state = 'started' AND (end_kind IS NOT NULL OR end_time_ms <> 0)",
        text: "Calls that have ended without a kind or time, or have those and have not ended",
        advice: REPORT,
    },
    Check {
        code: "sort_key",
        severity: Warning,
        tables: &["calls"],
        // A place is moved on where those of a millisecond are taken, and where times are absurd.
        sql: "SELECT call_id FROM calls
               WHERE create_time_ms BETWEEN 1 AND 4000000000000
                 AND (sort_key >> 11) - create_time_ms NOT BETWEEN 0 AND 1000",
        text: "Calls whose place in the list is not that of their creation",
        advice: "They came by a push with another time than the server's; the list shows them out of order",
    },
    Check {
        code: "ring_end",
        severity: Error,
        tables: &["rings"],
        sql: "SELECT call_id || ' ' || invitation FROM rings
               WHERE (closed_at_ms = 0) <> (closed_how IS NULL)",
        text: "Rings that were closed without a time or a way, or have those and are open",
        advice: REPORT,
    },
    Check {
        code: "ring_of_ended",
        severity: Error,
        tables: &["rings", "calls"],
        sql: "SELECT call_id || ' ' || invitation FROM rings JOIN calls USING (call_id)
               WHERE closed_at_ms = 0 AND state = 'ended'",
        text: "Rings that are shown although their call has ended",
        advice: REPORT,
    },
    Check {
        code: "verdict",
        severity: Error,
        tables: &["commands"],
        sql: "SELECT op FROM commands WHERE (verdict IS NULL) <> (settled_at_ms = 0)",
        text: "Commands with a verdict but no time of it, or the other way round",
        advice: REPORT,
    },
    Check {
        code: "number",
        severity: Error,
        tables: &["commands", "meta"],
        sql: "SELECT op FROM commands
               WHERE number IS NOT NULL AND attempts = 0
                  OR number >= (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'next_number')",
        text: "Commands with a number on the wire that was never given",
        advice: REPORT,
    },
    Check {
        code: "next_number",
        severity: Error,
        tables: &["meta"],
        sql: "SELECT value FROM meta WHERE key = 'next_number'
                 AND (value = '' OR value GLOB '*[^0-9]*' OR CAST(value AS INTEGER) < 1)",
        text: "The next number on the wire is none",
        advice: REPORT,
    },
    Check {
        code: "reader_ahead",
        severity: Error,
        tables: &["journal", "journal_readers"],
        sql: "SELECT reader || ' at ' || position FROM journal_readers
               WHERE position > coalesce(
                   (SELECT seq FROM sqlite_sequence WHERE name = 'journal'), 0)",
        text: "Readers that acknowledged events that there never were",
        advice: "They will miss as many events; delete their rows of journal_readers with the app closed",
    },
    Check {
        code: "json",
        severity: Error,
        tables: &["commands", "journal", "calls"],
        sql: "SELECT 'commands ' || op FROM commands
               WHERE NOT json_valid(arguments) OR NOT json_valid(coalesce(result, '0'))
              UNION ALL SELECT 'journal ' || position FROM journal WHERE NOT json_valid(params)
              UNION ALL SELECT 'calls ' || call_id FROM calls WHERE NOT json_valid(my_closings)",
        text: "Rows with text where JSON has to be",
        advice: REPORT,
    },
    Check {
        code: "words",
        severity: Warning,
        tables: &["calls", "members", "rings", "commands"],
        sql: "SELECT DISTINCT 'calls.state ' || state FROM calls
               WHERE state NOT IN ('started', 'ended')
              UNION SELECT 'calls.mode ' || mode FROM calls
               WHERE mode NOT IN ('general', 'advanced')
              UNION SELECT 'calls.end_kind ' || end_kind FROM calls
               WHERE end_kind NOT IN
                   ('completed', 'cancelled', 'ended', 'abandoned', 'forgotten')
              UNION SELECT 'members.state ' || state FROM members
               WHERE state NOT IN ('inviting', 'not_yet_received', 'received', 'accepted',
                   'rejected', 'cancelled', 'timeout', 'quit')
              UNION SELECT 'rings.closed_how ' || closed_how FROM rings
               WHERE closed_how NOT IN
                   ('verdict', 'elsewhere', 'cancelled', 'timeout', 'timeout_local', 'ended')
              UNION SELECT 'commands.command ' || command FROM commands
               WHERE command NOT IN ('callInvite', 'callCancel', 'callAccept', 'callReject',
                   'callingInvite', 'callJoin', 'callQuit', 'callEnd')
              UNION SELECT 'commands.verdict ' || verdict FROM commands
               WHERE verdict NOT IN
                   ('accepted', 'refused', 'expired', 'withdrawn', 'dropped', 'unknown')",
        text: "Words that this build does not know",
        advice: "A newer build wrote them; commands of that kind wait until it comes back, or expire",
    },
    Check {
        code: "outbox_full",
        severity: Error,
        tables: &["commands"],
        sql: "SELECT n FROM (SELECT count(*) AS n FROM commands WHERE verdict IS NULL)
               WHERE n >= 1000",
        text: "The outbox is full; commands that wait",
        advice: "New commands are refused with 6000004 until the server is reached",
    },
    Check {
        code: "stuck",
        severity: Warning,
        tables: &["commands"],
        sql: "SELECT command || ' ' || op FROM commands
               WHERE verdict IS NULL AND number IS NULL AND expires_at_ms > 0
                 AND expires_at_ms < ?1 - 60000 ORDER BY n",
        text: "Commands that were never sent and have run out, but have no verdict",
        advice: "The engine gives it when it is opened. If it is open, its log (DEBUG) tells why not",
    },
    Check {
        code: "stuck",
        severity: Warning,
        tables: &["commands"],
        sql: "SELECT command || ' ' || op || ', ' || attempts || ' attempts'
                     || coalesce(', ' || last_error, '')
                FROM commands
               WHERE verdict IS NULL AND number IS NOT NULL AND queued_at_ms < ?1 - 60000
               ORDER BY n",
        text: "Commands that were sent and have no verdict for more than a minute",
        advice: CONNECT,
    },
    Check {
        code: "stuck",
        severity: Warning,
        tables: &["commands"],
        sql: "SELECT command || ' ' || op || coalesce(', ' || last_error, '') FROM commands
               WHERE verdict IS NULL AND number IS NULL AND queued_at_ms < ?1 - 60000
                 AND (expires_at_ms = 0 OR expires_at_ms >= ?1 - 60000) ORDER BY n",
        text: "Commands that wait to be sent for more than a minute",
        advice: CONNECT,
    },
    Check {
        code: "overdue",
        severity: Warning,
        tables: &["calls", "members", "meta"],
        sql: "SELECT call_id || ' since '
                     || strftime('%Y-%m-%dT%H:%M:%fZ', deadline_ms / 1000.0, 'unixepoch')
                FROM calls JOIN members USING (sort_key)
               WHERE calls.state = 'started' AND user_id =
                         (SELECT value FROM meta WHERE key = 'user_id')
                 AND members.state IN ('inviting', 'not_yet_received', 'received')
                 AND deadline_ms BETWEEN 1 AND ?1 - 60000 ORDER BY sort_key DESC",
        text: "Invitations of the user that are past their deadline and not known to be over",
        advice: CONNECT,
    },
    Check {
        code: "ring_overdue",
        severity: Warning,
        tables: &["rings", "commands"],
        sql: "SELECT call_id || ' since '
                     || strftime('%Y-%m-%dT%H:%M:%fZ', deadline_ms / 1000.0, 'unixepoch')
                FROM rings
               WHERE closed_at_ms = 0 AND deadline_ms BETWEEN 1 AND ?1 - 60000
                 AND NOT EXISTS (SELECT 1 FROM commands
                         WHERE commands.call_id = rings.call_id AND verdict IS NULL
                           AND command IN ('callAccept', 'callReject', 'callJoin'))",
        text: "Rings that are shown although they are past their deadline",
        advice: "The engine closes them when it is opened. If it is open, report it with a copy",
    },
    Check {
        code: "doubted",
        severity: Warning,
        tables: &["calls"],
        sql: "SELECT call_id FROM calls WHERE state = 'started' AND epoch = 0 AND revision > 0",
        text: "Calls that the server has not told of since its data was put back",
        advice: CONNECT,
    },
    Check {
        code: "never_heard",
        severity: Warning,
        tables: &["feed"],
        sql: "SELECT 'no time is noted' FROM feed WHERE heard_at_ms = 0",
        text: "The server was never heard",
        advice: "As it should be in a new file. Else look at the address, the certificate and the token (`pending` tells what went wrong)",
    },
    Check {
        code: "set_aside",
        severity: Warning,
        tables: &["meta"],
        sql: "SELECT value FROM meta WHERE key = 'set_aside'",
        text: "This file took the place of a damaged one, which is",
        advice: "Look into why it was damaged (the disk, another program that wrote to it); delete it when nobody needs it",
    },
    Check {
        code: "clock",
        severity: Warning,
        tables: &["meta"],
        sql: "SELECT (CAST(value AS INTEGER) / 1000) || ' s' FROM meta
               WHERE key = 'clock_offset_ms' AND abs(CAST(value AS INTEGER)) > 300000",
        text: "The device's clock is wrong; the server's, less that one, is",
        advice: "Nothing depends on it. Times that the app takes from the device differ from those here",
    },
    Check {
        code: "lease",
        severity: Warning,
        tables: &["lease", "feed"],
        sql: "SELECT holder || ', since '
                     || strftime('%Y-%m-%dT%H:%M:%fZ', taken_at_ms / 1000.0, 'unixepoch')
                FROM lease, feed
               WHERE generation > 0 AND heard_at_ms < taken_at_ms AND taken_at_ms < ?1 - 600000",
        text: "The engine that is to sync for all has not heard the server since it took that on",
        advice: "If it is online: pause or close the app of that process, and another one takes over",
    },
];
