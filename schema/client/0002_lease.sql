-- Version 2: several processes on one file.
--
-- An app and its notification extension may have the same file open. All of them read it and give
-- commands; one of them syncs with the server. Which one, the lock on the file beside this one
-- (NAME.lock) says; this table fences the one before.

CREATE TABLE lease (
    -- Who syncs, or did last. One row.
    only_row     INTEGER PRIMARY KEY CHECK (only_row = 1),
    generation   INTEGER NOT NULL,              -- counts who took it; whoever has another one writes
                                                -- nothing that the server said; 0: nobody yet
    holder       TEXT    NOT NULL,              -- the build and process that took it, for people
    taken_at_ms  INTEGER NOT NULL               -- since when
) STRICT;

INSERT INTO lease VALUES (1, 0, '', 0);
