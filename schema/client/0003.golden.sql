CREATE TABLE calls (
    -- One row a call, as the server last told it to this user. A call enters once, with the
    -- server's time, and never moves. What the server has not taken yet is in commands.
    sort_key             INTEGER PRIMARY KEY,       -- creation time in ms << 11 | n; also nextFlag
    call_id              TEXT    NOT NULL UNIQUE,
    epoch                INTEGER NOT NULL,          -- life of the server that told this revision
    revision             INTEGER NOT NULL,          -- counts the call's changes; 0: known by push only
    mode                 TEXT    NOT NULL,          -- general, advanced
    caller               TEXT    NOT NULL,          -- who created it
    create_time_ms       INTEGER NOT NULL,
    timeout_s            INTEGER NOT NULL,          -- how long an invitation lasts unless it says otherwise
    extended_data        TEXT    NOT NULL,          -- what the creator gave along
    not_received_check   INTEGER NOT NULL,          -- 1: unreached invitees become not_yet_received
    state                TEXT    NOT NULL,          -- started, ended
    end_kind             TEXT,                      -- completed, cancelled, ended, abandoned, forgotten
    end_time_ms          INTEGER NOT NULL DEFAULT 0,
    end_revision         INTEGER NOT NULL DEFAULT 0,
    ended_by             TEXT,                      -- the user who ended it; null: the server
    end_device           TEXT,                      -- with which of this user's devices
    end_data             TEXT    NOT NULL DEFAULT '',
    -- The part of this database's own user:
    my_state             TEXT    NOT NULL,          -- same as their row in members; unknown: not a member
    my_primary_device    TEXT,                      -- the device that last invited, accepted or joined
    my_primary_op        TEXT,                      -- the command that made it so
    my_primary_revision  INTEGER NOT NULL DEFAULT 0,
    my_closings          TEXT    NOT NULL DEFAULT '[]', -- how the last invitations ended, JSON
    missed               INTEGER NOT NULL DEFAULT 0,-- 1: invited, over, and answered on no device
    seen                 INTEGER NOT NULL DEFAULT 0,-- 1: the server knows that the user saw the miss
    seen_here            INTEGER NOT NULL DEFAULT 0 -- 1: marked on this device, the server not yet told
) STRICT;

CREATE INDEX calls_missed ON calls (sort_key) WHERE missed = 1;

CREATE INDEX calls_not_missed ON calls (sort_key) WHERE missed = 0;

CREATE INDEX calls_open ON calls (sort_key) WHERE state = 'started';

CREATE INDEX calls_seen_here ON calls (sort_key) WHERE seen_here = 1;

CREATE INDEX calls_unseen ON calls (sort_key) WHERE missed = 1 AND seen = 0 AND seen_here = 0;

CREATE VIEW calls_view AS
    -- Calls, newest first, in words.
    SELECT call_id, caller, mode, state, my_state,
           CASE WHEN missed = 1 AND seen = 0 AND seen_here = 0 THEN 'missed'
                WHEN missed = 1 THEN 'missed, seen' ELSE '' END AS missed,
           strftime('%Y-%m-%dT%H:%M:%fZ', create_time_ms / 1000.0, 'unixepoch') AS created,
           CASE end_time_ms WHEN 0 THEN '' ELSE
               strftime('%Y-%m-%dT%H:%M:%fZ', end_time_ms / 1000.0, 'unixepoch') END AS ended,
           coalesce(end_kind, '') AS end_kind,
           (SELECT group_concat(who, ', ')
              FROM (SELECT user_id || ' ' || members.state AS who FROM members
                     WHERE members.sort_key = calls.sort_key ORDER BY position)) AS members,
           extended_data, revision
      FROM calls ORDER BY calls.sort_key DESC;

CREATE TABLE changes (
    -- Every change of a member that this device learned of, in the order in which it did.
    n           INTEGER PRIMARY KEY AUTOINCREMENT,
    call_id     TEXT    NOT NULL,
    at_ms       INTEGER NOT NULL,               -- when it came about
    learned_ms  INTEGER NOT NULL,               -- when this device learned of it
    user_id     TEXT    NOT NULL,               -- who changed; '' : the call itself
    state       TEXT    NOT NULL,
    by_user     TEXT,                           -- whose doing; null: the server, or time
    device      TEXT
) STRICT;

CREATE INDEX changes_call ON changes (call_id, n);

CREATE TABLE commands (
    -- The outbox, and what became of what was in it. A command is here before it is sent.
    n             INTEGER PRIMARY KEY AUTOINCREMENT,
    op            TEXT    NOT NULL UNIQUE,      -- its identity, however often it is sent
    call_id       TEXT    NOT NULL,
    command       TEXT    NOT NULL,             -- callInvite, callCancel, …
    arguments     TEXT    NOT NULL,             -- JSON
    queued_at_ms  INTEGER NOT NULL,             -- the server's clock as this device knew it
    expires_at_ms INTEGER NOT NULL,             -- after that it can mean nothing any more; 0: never
    number        INTEGER UNIQUE,               -- on the wire; null: never sent
    attempts      INTEGER NOT NULL DEFAULT 0,   -- how often it was sent
    last_error    TEXT,
    verdict       TEXT,                         -- null: pending; accepted, refused, expired, withdrawn,
                                                -- dropped, unknown
    code          INTEGER NOT NULL DEFAULT 0,   -- of the refusal
    result        TEXT,                         -- what the verdict said, JSON
    settled_at_ms INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX commands_call ON commands (call_id);

CREATE INDEX commands_pending ON commands (n) WHERE verdict IS NULL;

CREATE TABLE feed (
    -- How far this file is with the server. One row.
    only_row     INTEGER PRIMARY KEY CHECK (only_row = 1),
    epoch        INTEGER NOT NULL,              -- life of the server that counted the cursor; 0: none
    cursor       INTEGER NOT NULL,              -- the last change of the feed that is in this file
    heard_at_ms  INTEGER NOT NULL               -- when the server was last heard
) STRICT;

CREATE TABLE journal (
    -- What the app was told, in order. Positions are never used again.
    position  INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms     INTEGER NOT NULL,
    call_id   TEXT    NOT NULL,
    name      TEXT    NOT NULL,                 -- callInvitationReceived, …
    params    TEXT    NOT NULL                  -- JSON
) STRICT;

CREATE INDEX journal_call ON journal (call_id, position);

CREATE TABLE journal_readers (
    -- How far each reader of the journal has come.
    reader    TEXT    PRIMARY KEY,
    position  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE lease (
    -- Who syncs, or did last. One row.
    only_row     INTEGER PRIMARY KEY CHECK (only_row = 1),
    generation   INTEGER NOT NULL,              -- counts who took it; whoever has another one writes
                                                -- nothing that the server said; 0: nobody yet
    holder       TEXT    NOT NULL,              -- the build and process that took it, for people
    taken_at_ms  INTEGER NOT NULL               -- since when
) STRICT;

CREATE TABLE members (
    -- Who is or was in a call, the creator first, then in the order in which they came in.
    sort_key         INTEGER NOT NULL REFERENCES calls (sort_key) ON DELETE CASCADE,
    position         INTEGER NOT NULL,
    user_id          TEXT    NOT NULL,
    inviter          TEXT,                      -- null: the creator, or joined from outside
    invitation       INTEGER NOT NULL,          -- number of the last invitation; 0: never invited
    invited_at_ms    INTEGER NOT NULL,
    timeout_s        INTEGER NOT NULL,
    deadline_ms      INTEGER NOT NULL,          -- when that invitation is over
    invite_data      TEXT    NOT NULL,          -- what it gave along
    state            TEXT    NOT NULL,          -- inviting, not_yet_received, received, accepted, rejected,
                                                -- cancelled, timeout, quit
    state_revision   INTEGER NOT NULL,          -- revision of the call at which that state came about
    state_time_ms    INTEGER NOT NULL,
    extended_data    TEXT    NOT NULL,          -- of the last accept, reject, join, quit, or the cancel
    changed_by       TEXT,                      -- whose doing the state is; null: the server, or time
    acting_device    TEXT,                      -- with which device, where it was one of this user's
    accept_time_ms   INTEGER NOT NULL,
    join_time_ms     INTEGER NOT NULL,
    quit_time_ms     INTEGER NOT NULL,
    participation    INTEGER NOT NULL,          -- number of the last stay in the call; 0: never was in
    PRIMARY KEY (sort_key, position)
) STRICT, WITHOUT ROWID;

CREATE INDEX members_user ON members (user_id, sort_key);

CREATE TABLE meta (
    -- user_id, device_id, welcome_token, next_number, clock_offset_ms (server's clock minus this
    -- device's wall clock), …
    key    TEXT PRIMARY KEY,
    value  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE VIEW pending_view AS
    -- Commands that have no verdict yet, oldest first.
    SELECT op, call_id, command,
           strftime('%Y-%m-%dT%H:%M:%fZ', queued_at_ms / 1000.0, 'unixepoch') AS queued,
           CASE expires_at_ms WHEN 0 THEN 'never' ELSE
               strftime('%Y-%m-%dT%H:%M:%fZ', expires_at_ms / 1000.0, 'unixepoch') END AS expires,
           CASE WHEN number IS NULL THEN 'no' ELSE 'yes' END AS sent,
           attempts, coalesce(last_error, '') AS last_error, arguments
      FROM commands WHERE verdict IS NULL ORDER BY n;

CREATE TABLE rings (
    -- What this device showed: each invitation that rang here, once, and how that was closed.
    call_id       TEXT    NOT NULL,
    invitation    INTEGER NOT NULL,             -- 0: dialling, shown by callInvitationCreated on a
                                                -- device that is not the primary one
    opened_at_ms  INTEGER NOT NULL,
    deadline_ms   INTEGER NOT NULL,             -- 0: none
    closed_at_ms  INTEGER NOT NULL DEFAULT 0,   -- 0: still shown
    closed_how    TEXT,                         -- verdict, elsewhere, cancelled, timeout, timeout_local, ended
    PRIMARY KEY (call_id, invitation)
) STRICT, WITHOUT ROWID;

CREATE INDEX rings_open ON rings (deadline_ms) WHERE closed_at_ms = 0;

CREATE TABLE sqlite_sequence(name,seq);

CREATE VIEW timeline_view AS
    -- All that happened, in order: what the user did, what the server said, what this device
    -- decided by itself, what the app was told. (at_ms, rank, n) is a total order.
    SELECT strftime('%Y-%m-%dT%H:%M:%fZ', at_ms / 1000.0, 'unixepoch') AS at,
           source, what, who, call_id, device, detail, at_ms, learned_ms, rank, n
      FROM (
        SELECT queued_at_ms AS at_ms, queued_at_ms AS learned_ms, 1 AS rank, n,
               'user' AS source, command AS what,
               (SELECT value FROM meta WHERE key = 'user_id') AS who, call_id,
               (SELECT value FROM meta WHERE key = 'device_id') AS device, arguments AS detail
          FROM commands
        UNION ALL
        -- What was never sent, or was given up, did not end by a word of the server.
        SELECT settled_at_ms, settled_at_ms, 3, n,
               CASE WHEN number IS NULL OR verdict = 'dropped' THEN 'device' ELSE 'server' END,
               command || ' ' || verdict,
               (SELECT value FROM meta WHERE key = 'user_id'), call_id,
               (SELECT value FROM meta WHERE key = 'device_id'), coalesce(result, '')
          FROM commands WHERE verdict IS NOT NULL
        UNION ALL
        SELECT at_ms, learned_ms, 2, n, 'server',
               CASE user_id WHEN '' THEN 'call ' || state ELSE state END,
               CASE user_id WHEN '' THEN coalesce(by_user, '') ELSE user_id END, call_id,
               coalesce(device, ''),
               CASE WHEN by_user IS NULL OR user_id IN ('', by_user) THEN ''
                    ELSE 'by ' || by_user END
          FROM changes
        UNION ALL
        SELECT at_ms, at_ms, 4, position, 'app', name,
               (SELECT value FROM meta WHERE key = 'user_id'), call_id,
               (SELECT value FROM meta WHERE key = 'device_id'), params
          FROM journal
      ) ORDER BY at_ms, rank, n;
