-- Alice's database on her phone, in the evening of 1 January 2026. Every call is a case.

INSERT INTO meta VALUES ('user_id', 'alice'), ('device_id', 'phone'), ('clock_offset_ms', '-120');

-- Bob rang while the phone was off. Nobody answered: missed, and not yet seen. The answer that
-- Alice gave too late was never sent.
INSERT INTO calls (sort_key, call_id, epoch, revision, mode, caller, create_time_ms, timeout_s,
    extended_data, not_received_check, state, end_kind, end_time_ms, end_revision, my_state,
    my_closings, missed)
VALUES (1767225600000 << 11, 'call-missed', 7, 2, 'general', 'bob', 1767225600000, 60,
    'lunch?', 1, 'ended', 'completed', 1767225660000, 2, 'timeout',
    '[{"invitation":1,"state":"timeout","device":null}]', 1);
INSERT INTO members VALUES
    (1767225600000 << 11, 0, 'bob', NULL, 0, 0, 0, 0, '', 'accepted', 1, 1767225600000, '', 'bob',
     NULL, 1767225600000, 0, 0, 1),
    (1767225600000 << 11, 1, 'alice', 'bob', 1, 1767225600000, 60, 1767225660000, 'lunch?',
     'timeout', 2, 1767225660000, '', NULL, NULL, 0, 0, 0, 0);
INSERT INTO changes (call_id, at_ms, learned_ms, user_id, state, by_user, device) VALUES
    ('call-missed', 1767225660000, 1767229200500, 'alice', 'timeout', NULL, NULL),
    ('call-missed', 1767225660000, 1767229200500, '', 'ended', NULL, NULL);
INSERT INTO commands (op, call_id, command, arguments, queued_at_ms, expires_at_ms, verdict, code,
    settled_at_ms)
VALUES ('op-1', 'call-missed', 'callAccept', '{"extendedData":""}', 1767225659000, 1767225660000,
    'expired', 6100001, 1767225660000);

-- Alice rang Bob and Carol, who declined; then she rang Dave too, and ended it. In the same ms
-- another call was made.
INSERT INTO calls (sort_key, call_id, epoch, revision, mode, caller, create_time_ms, timeout_s,
    extended_data, not_received_check, state, end_kind, end_time_ms, end_revision, ended_by,
    end_device, end_data, my_state, my_primary_device, my_primary_op, my_primary_revision)
VALUES (1767229200000 << 11, 'call-team', 7, 6, 'advanced', 'alice', 1767229200000, 90,
    '{"room":12}', 0, 'ended', 'ended', 1767229800250, 6, 'alice', 'phone', 'bye', 'accepted',
    'phone', 'op-2', 1);
INSERT INTO members VALUES
    (1767229200000 << 11, 0, 'alice', NULL, 0, 0, 0, 0, '', 'accepted', 1, 1767229200000, '',
     'alice', 'phone', 1767229200000, 0, 0, 1),
    (1767229200000 << 11, 1, 'bob', 'alice', 1, 1767229200000, 90, 1767229290000, '{"room":12}',
     'accepted', 3, 1767229210125, 'coming', 'bob', NULL, 1767229210125, 0, 0, 1),
    (1767229200000 << 11, 2, 'carol', 'alice', 1, 1767229200000, 90, 1767229290000, '{"room":12}',
     'rejected', 4, 1767229212000, 'busy', 'carol', NULL, 0, 0, 0, 0),
    (1767229200000 << 11, 3, 'dave', 'alice', 1, 1767229700000, 90, 1767229790000, '通话',
     'received', 5, 1767229700300, '', 'dave', NULL, 0, 0, 0, 0);
INSERT INTO commands (op, call_id, command, arguments, queued_at_ms, expires_at_ms, number,
    attempts, verdict, code, result, settled_at_ms) VALUES
    ('op-2', 'call-team', 'callInvite', '{"invitees":["bob","carol"],"config":{"mode":1}}',
     1767229199900, 1767229229900, 1, 1, 'accepted', 0,
     '{"callID":"call-team","timeout":90,"errorUserList":[],"errorInvitees":[]}', 1767229200080),
    ('op-3', 'call-team', 'callingInvite', '{"invitees":["dave"],"callID":"call-team"}',
     1767229699950, 1767229729950, 2, 3, 'accepted', 0, '{"callID":"call-team","errorUserList":[]}',
     1767229700050),
    ('op-4', 'call-team', 'callCancel', '{"invitees":["bob"],"callID":"call-team"}',
     1767229750000, 1767229790000, 3, 1, 'refused', 6000270,
     '{"code":6000270,"message":"bob has accepted already; end the call instead","reason":"state"}', 1767229750090),
    ('op-5', 'call-team', 'callEnd', '{"callID":"call-team"}', 1767229800200, 0, 4, 1, 'accepted',
     0, '{"callID":"call-team","endTime":1767229800250}', 1767229800250);
INSERT INTO changes (call_id, at_ms, learned_ms, user_id, state, by_user, device) VALUES
    ('call-team', 1767229200000, 1767229200080, 'alice', 'accepted', 'alice', 'phone'),
    ('call-team', 1767229210125, 1767229210200, 'bob', 'accepted', 'bob', NULL),
    ('call-team', 1767229212000, 1767229212100, 'carol', 'rejected', 'carol', NULL),
    ('call-team', 1767229700000, 1767229700050, 'dave', 'inviting', 'alice', NULL),
    ('call-team', 1767229800250, 1767229800250, '', 'ended', 'alice', 'phone');
INSERT INTO journal (at_ms, call_id, name, params) VALUES
    (1767229210200, 'call-team', 'callUserStateChanged',
     '{"callID":"call-team","callUserList":[{"userID":"bob","state":1,"extendedData":"coming"}]}');

-- Erin rang and took it back. Alice has seen that she missed it; the server does not know yet.
INSERT INTO calls (sort_key, call_id, epoch, revision, mode, caller, create_time_ms, timeout_s,
    extended_data, not_received_check, state, end_kind, end_time_ms, end_revision, ended_by,
    my_state, my_closings, missed, seen_here)
VALUES ((1767229200000 << 11) + 1, 'call-erin', 7, 3, 'general', 'erin', 1767229200000, 30,
    '', 0, 'ended', 'cancelled', 1767229203000, 3, 'erin', 'cancelled',
    '[{"invitation":1,"state":"cancelled","device":null}]', 1, 1);
INSERT INTO members VALUES
    ((1767229200000 << 11) + 1, 0, 'erin', NULL, 0, 0, 0, 0, '', 'accepted', 1, 1767229200000, '',
     'erin', NULL, 1767229200000, 0, 0, 1),
    ((1767229200000 << 11) + 1, 1, 'alice', 'erin', 1, 1767229200000, 30, 1767229230000, '',
     'cancelled', 3, 1767229203000, 'sorry' || char(10) || char(27) || '[2J', 'erin', NULL, 0, 0, 0, 0);
INSERT INTO rings VALUES
    ('call-erin', 1, 1767229200500, 1767229230000, 1767229203100, 'cancelled');

-- Bob rings now. Alice accepted, but the connection is gone before the server's word.
INSERT INTO calls (sort_key, call_id, epoch, revision, mode, caller, create_time_ms, timeout_s,
    extended_data, not_received_check, state, my_state)
VALUES (1767232800000 << 11, 'call-now', 7, 2, 'general', 'bob', 1767232800000, 90, '', 1,
    'started', 'received');
INSERT INTO members VALUES
    (1767232800000 << 11, 0, 'bob', NULL, 0, 0, 0, 0, '', 'accepted', 1, 1767232800000, '', 'bob',
     NULL, 1767232800000, 0, 0, 1),
    (1767232800000 << 11, 1, 'alice', 'bob', 1, 1767232800000, 90, 1767232890000, '',
     'received', 2, 1767232800400, '', 'alice', 'phone', 0, 0, 0, 0);
INSERT INTO rings VALUES ('call-now', 1, 1767232800350, 1767232890000, 0, NULL);
INSERT INTO commands (op, call_id, command, arguments, queued_at_ms, expires_at_ms, number,
    attempts, last_error)
VALUES ('op-6', 'call-now', 'callAccept', '{"callID":"call-now"}', 1767232805000, 1767232890000, 5,
    2, 'connection lost: timed out');
INSERT INTO journal (at_ms, call_id, name, params) VALUES
    (1767232800350, 'call-now', 'callInvitationReceived', '{"callID":"call-now","inviter":"bob"}');

-- Alice rings Carol, offline: nobody but this file knows of it.
INSERT INTO commands (op, call_id, command, arguments, queued_at_ms, expires_at_ms)
VALUES ('op-7', 'call-unsent', 'callInvite', '{"invitees":["carol"],"config":{}}', 1767232810000,
    1767232840000);

INSERT INTO feed VALUES (1, 7, 41, 1767232801000)
    ON CONFLICT DO UPDATE SET epoch = 7, cursor = 41, heard_at_ms = excluded.heard_at_ms;

-- The app has acknowledged what it heard of the first of the calls.
INSERT INTO journal_readers VALUES ('app', 1);
