CREATE TABLE calls (
    -- A call, without its members.
    call_key           INTEGER NOT NULL PRIMARY KEY, -- this file's own; grows with every call
    call_id            TEXT    NOT NULL UNIQUE,
    revision           INTEGER NOT NULL, -- counts the changes of the call, from 1
    mode               TEXT    NOT NULL, -- general, advanced
    caller             TEXT    NOT NULL,
    create_time_ms     INTEGER NOT NULL,
    timeout_s          INTEGER NOT NULL, -- how long an invitation lasts unless it says otherwise
    extended_data      TEXT    NOT NULL,
    not_received_check INTEGER NOT NULL CHECK (not_received_check IN (0, 1)),
    state              TEXT    NOT NULL, -- started, ended
    end_kind           TEXT,    -- completed, cancelled, ended, abandoned, forgotten; NULL: goes on
    end_time_ms        INTEGER,
    end_revision       INTEGER, -- the revision at which it ended
    ended_by           TEXT,    -- a user; NULL: the server
    end_device         TEXT,
    end_data           TEXT,
    due_ms             INTEGER, -- when time next does something to it; NULL: never
    CHECK ((end_kind IS NULL) = (end_time_ms IS NULL)),
    CHECK ((end_kind IS NULL) = (end_revision IS NULL)),
    CHECK ((end_kind IS NULL) = (end_data IS NULL))
) STRICT;

CREATE INDEX calls_by_due ON calls (due_ms) WHERE due_ms IS NOT NULL;

CREATE TABLE devices (
    -- Every device that ever said hello.
    user                   TEXT    NOT NULL,
    device                 TEXT    NOT NULL,
    capabilities           INTEGER NOT NULL, -- what its build can do; bits
    build                  TEXT    NOT NULL,
    last_number            INTEGER NOT NULL, -- of the last command that was decided; 0: none
    settled_number         INTEGER NOT NULL, -- verdicts up to here are on the device's disk
    welcome_token          TEXT    NOT NULL,
    previous_welcome_token TEXT,             -- good until the newest is shown; NULL: none
    hello_at_ms            INTEGER NOT NULL,
    PRIMARY KEY (user, device)
) STRICT, WITHOUT ROWID;

CREATE TABLE epochs (
    -- Every start of the server, in order. What a device holds of its feed is good only if it was
    -- counted in one of these, and not beyond where the next one begins.
    epoch_key INTEGER NOT NULL PRIMARY KEY,
    epoch     TEXT    NOT NULL UNIQUE, -- a random number, in decimal
    first_seq INTEGER NOT NULL         -- the first number in a feed that belongs to it
) STRICT;

CREATE TABLE feed (
    -- The log of each user, in which a call stands once: at its last change. Kept by call, because
    -- the calls that change are the newest ones: their rows are together, whoever the users are.
    call_key INTEGER NOT NULL REFERENCES calls (call_key),
    user     TEXT    NOT NULL,
    seq      INTEGER NOT NULL,
    PRIMARY KEY (call_key, user)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX feed_by_seq ON feed (user, seq);

CREATE TABLE members (
    -- The users of a call: the creator first, then in the order in which they came in.
    call_key         INTEGER NOT NULL REFERENCES calls (call_key),
    position         INTEGER NOT NULL, -- from 0
    user             TEXT    NOT NULL,
    inviter          TEXT,             -- who invited them last; NULL: nobody
    invitation       INTEGER NOT NULL, -- the number of their last invitation; 0: none
    invited_at_ms    INTEGER NOT NULL,
    timeout_s        INTEGER NOT NULL,
    deadline_ms      INTEGER NOT NULL,
    check_at_ms      INTEGER NOT NULL, -- when the not-received check is due; 0: none, or done
    invite_data      TEXT    NOT NULL,
    state            TEXT    NOT NULL, -- inviting, not_yet_received, received, accepted, …
    state_revision   INTEGER NOT NULL, -- the revision of the call at which that state came about
    state_time_ms    INTEGER NOT NULL,
    data             TEXT    NOT NULL,
    changed_by       TEXT,             -- whose doing that state is; NULL: the server or time
    acting_device    TEXT,
    accept_time_ms   INTEGER NOT NULL,
    join_time_ms     INTEGER NOT NULL,
    quit_time_ms     INTEGER NOT NULL,
    participation    INTEGER NOT NULL, -- the number of their last stay in the call; 0: none
    -- What only the user themselves may see; without it, `seen` is NULL.
    primary_device   TEXT,
    primary_op       TEXT,             -- the command that made it the primary device
    primary_revision INTEGER,
    seen             INTEGER CHECK (seen IN (0, 1)), -- whether they saw that they missed the call
    closings         TEXT,             -- how their last invitations ended, as JSON, oldest first
    PRIMARY KEY (call_key, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE meta (
    -- One row: what the whole store has one of.
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    clock_ms INTEGER NOT NULL, -- the server's clock as last stored; never goes back
    feed_seq INTEGER NOT NULL  -- the number given last in any user's feed; only grows
) STRICT;

CREATE TABLE places (
    -- Who is pending or in a call that goes on: drawn from `calls` and `members` and written with
    -- them, so that what a user is busy with is found without reading their history.
    user     TEXT    NOT NULL,
    call_key INTEGER NOT NULL REFERENCES calls (call_key),
    place    TEXT    NOT NULL CHECK (place IN ('pending', 'in')),
    inviter  TEXT, -- of the member's last invitation
    PRIMARY KEY (user, call_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE trimmed (
    -- How far each feed was cleared of what was removed: a device that was last here before that may
    -- have missed it, and reads its feed from the beginning.
    user TEXT    NOT NULL PRIMARY KEY,
    seq  INTEGER NOT NULL -- the largest number that is in the feed no more
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    -- Every user who ever connected.
    user            TEXT    NOT NULL PRIMARY KEY,
    capabilities    INTEGER NOT NULL, -- what the build can do with which they last connected; bits
    connected_at_ms INTEGER NOT NULL  -- when that was
) STRICT, WITHOUT ROWID;

CREATE TABLE verdicts (
    -- What became of a command, until the device has it on disk.
    user    TEXT    NOT NULL,
    device  TEXT    NOT NULL,
    number  INTEGER NOT NULL, -- of the command
    op      TEXT    NOT NULL, -- the command's identity
    call_id TEXT    NOT NULL, -- there need not be such a call
    digest  BLOB    NOT NULL CHECK (length(digest) = 32), -- of the command
    result  TEXT    NOT NULL, -- JSON: what it gave back, or why it was refused
    PRIMARY KEY (user, device, number)
) STRICT, WITHOUT ROWID;
