-- Version 3: pages of a long history.
--
-- What an app filters its list by, and the count beside it, have indexes, so that a page costs the
-- same however rarely the filter fits.

CREATE INDEX members_user ON members (user_id, sort_key);

CREATE INDEX calls_not_missed ON calls (sort_key) WHERE missed = 0;

CREATE INDEX calls_unseen ON calls (sort_key) WHERE missed = 1 AND seen = 0 AND seen_here = 0;
