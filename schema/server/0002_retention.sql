-- Version 2: calls that ended long ago are removed.

CREATE TABLE trimmed (
    -- How far each feed was cleared of what was removed: a device that was last here before that may
    -- have missed it, and reads its feed from the beginning.
    user TEXT    NOT NULL PRIMARY KEY,
    seq  INTEGER NOT NULL -- the largest number that is in the feed no more
) STRICT, WITHOUT ROWID;
