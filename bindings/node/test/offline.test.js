'use strict';
// What is beyond the document: commands without a network, the journal, the file.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');

const { ZIM, ZIMCallUserState: State, ZIMConnectionState: Connection, ZIMErrorCode: Code } = require('..');
const { Phone, eventually, phone } = require('./support/phone.js');
const { after, folder, offhook, serve } = require('./support/server.js');

test('a command without a network is on disk at once, waits, and has its verdict later', async (t) => {
  const server = await serve(t);
  const alice = await phone(t, server, 'alice');
  const bob = await phone(t, server, 'bob');
  await alice.zim.setNetwork(false);
  const queued = await alice.zim.callInvite(['bob'], { timeout: 60, wait: 'disk' });
  assert.equal(queued.pending, true);
  const [pending] = await alice.zim.pending();
  assert.equal(pending.op, queued.op);
  assert.equal(pending.command, 'callInvite');
  assert.deepEqual(pending.params.invitees, ['bob']);
  assert.equal(pending.sent, false);
  const page = await alice.zim.queryCallInvitationList({ count: 5 });
  assert.deepEqual([page.callList, page.pending.map(({ op }) => op)], [[], [queued.op]]);

  await alice.zim.setNetwork(true);
  const settled = await alice.event('commandSettled');
  assert.deepEqual([settled.op, settled.callID, settled.result.timeout], [queued.op, queued.callID, 60]);
  assert.equal((await bob.event('callInvitationReceived')).callID, queued.callID);
  assert.deepEqual(await alice.zim.pending(), []);
});

test('a promise waits for as long as the network is away', async (t) => {
  const server = await serve(t);
  const alice = await phone(t, server, 'alice');
  await alice.zim.setNetwork(false);
  let verdict = null;
  const invited = alice.zim.callInvite(['bob']).then((result) => (verdict = result));
  await alice.zim.status();
  assert.equal(verdict, null);
  await alice.zim.setNetwork(true);
  assert.equal((await invited).errorInvitees.length, 0);
});

test('an invite that is cancelled before it was sent ends withdrawn', async (t) => {
  const { zim } = await phone(t, { address: '127.0.0.1:9' }, 'alice', { login: { isOfflineLogin: true } });
  const { callID } = await zim.callInvite(['bob'], { wait: 'disk' });
  assert.equal((await zim.callCancel([], callID)).callID, callID);
  const { events } = await zim.eventsSince(0);
  const { params } = events.find(({ name }) => name === 'commandSettled');
  assert.deepEqual([params.callID, params.error.code], [callID, Code.CommandWithdrawn]);
});

test('a start that may not wait is refused at once', async (t) => {
  const { zim } = await phone(t, { address: '127.0.0.1:9' }, 'alice', { login: { isOfflineLogin: true }, wait: 0 });
  await assert.rejects(zim.callInvite(['bob']), { code: Code.CommandExpired, name: 'Expired' });
});

test('a verdict that comes after the app went away is there in the next run', async (t) => {
  const server = await serve(t);
  const database = path.join(folder(t), 'alice.db');
  const first = await phone(t, server, 'alice', { database });
  await first.zim.setNetwork(false);
  const waiting = first.zim.callInvite(['bob'], {});
  const [{ op }] = await first.zim.pending();
  await first.zim.destroy();
  await assert.rejects(waiting, { code: Code.EngineClosed });

  const second = await phone(t, server, 'alice', { database });
  const settled = await second.event('commandSettled');
  assert.equal(settled.op, op);
  assert.equal(second.zim.inspectPath(), database);
});

test('a verdict that a promise took is not told again', async (t) => {
  const server = await serve(t);
  const database = path.join(folder(t), 'alice.db');
  const first = await phone(t, server, 'alice', { database });
  const { callID } = await first.zim.callInvite(['bob']);
  await first.event('callInvitationCreated');
  await first.zim.destroy();
  const second = await phone(t, server, 'alice', { database });
  const { events } = await second.zim.eventsSince(0);
  assert.deepEqual(events.map(({ name, params }) => [name, params.callID]), [['callInvitationCreated', callID]]);
});

test('an app reads on in the journal from what it acknowledged, and an old ring says that it is over', async (t) => {
  const server = await serve(t);
  const alice = await phone(t, server, 'alice');
  const database = path.join(folder(t), 'bob.db');
  const bob = await phone(t, server, 'bob', { database });
  const { callID } = await alice.zim.callInvite(['bob']);
  const { position } = await bob.event('callInvitationReceived');
  await alice.zim.callCancel([], callID);
  await bob.event('callInvitationCancelled');
  await bob.zim.destroy();

  const again = await phone(t, server, 'bob', { database });
  const { events, more } = await again.zim.eventsSince(position - 1);
  assert.equal(more, false);
  assert.deepEqual(
    [events[0].name, events[0].position, events[0].params.over],
    ['callInvitationReceived', position, true],
  );
  assert.equal(events.at(-1).name, 'callInvitationCancelled');
  const positions = events.map((event) => event.position);
  assert.deepEqual(positions, [...new Set(positions)].sort((a, b) => a - b));
  await again.zim.acknowledge(positions.at(-1));
  assert.deepEqual((await again.zim.eventsSince(positions.at(-1))).events, []);
});

test('missed calls are counted until they are seen', async (t) => {
  const server = await serve(t);
  const alice = await phone(t, server, 'alice');
  const bob = await phone(t, server, 'bob');
  const { callID } = await alice.zim.callInvite(['bob'], { timeout: 1 });
  await bob.event('callInvitationTimeout');
  await alice.state(callID, 'bob', State.Timeout);
  // The ring ends by the device's own timer; that it was missed is the server's word.
  const { callList } = await eventually(
    () => bob.zim.queryCallInvitationList({ missed: true }),
    (page) => page.callList.length > 0,
  );
  assert.deepEqual(callList.map((call) => [call.callID, call.missed]), [[callID, true]]);
  assert.deepEqual(await bob.zim.markSeen([callID]), { missed: 0 });
});

test('what rings is listed with what is left of it', async (t) => {
  const server = await serve(t);
  const alice = await phone(t, server, 'alice');
  const bob = await phone(t, server, 'bob');
  const { callID } = await alice.zim.callInvite(['bob'], { timeout: 100, extendedData: 'x' });
  const received = await bob.event('callInvitationReceived');
  const [ring] = await bob.zim.ringing();
  assert.deepEqual([ring.callID, ring.inviter, ring.deadline, ring.extendedData], [callID, 'alice', received.deadline, 'x']);
  assert.ok(ring.remaining > 0 && ring.remaining <= 100_000);
});

test('the file can be looked into while the app runs', async (t) => {
  const server = await serve(t);
  const alice = await phone(t, server, 'alice');
  const { callID } = await alice.zim.callInvite(['bob']);
  const { calls } = JSON.parse(offhook('inspect', alice.zim.inspectPath(), 'calls', '--json'));
  assert.deepEqual(calls.map((call) => call.call_id), [callID]);
});

test('the status tells the epoch to the last digit', async (t) => {
  const server = await serve(t);
  const { zim } = await phone(t, server, 'alice');
  const { epoch, cursor } = await zim.status();
  const [, stored] = /"epoch":\s*(\d+)/.exec(offhook('inspect', zim.inspectPath(), 'stats', '--json'));
  assert.equal(epoch, stored);
  assert.ok(BigInt(epoch) > 0n);
  assert.equal(typeof cursor, 'number');
});

test('a copy is made while the database is in use, and put in place as another device', async (t) => {
  const server = await serve(t);
  const made = folder(t);
  const alice = await phone(t, server, 'alice');
  const { callID } = await alice.zim.callInvite(['bob']);
  const { deviceID } = await alice.zim.status();
  const copy = path.join(made, 'copy.db');
  const { bytes } = await alice.zim.backup(copy);
  assert.equal(bytes, fs.statSync(copy).size);
  await assert.rejects(alice.zim.backup(copy), { code: Code.CommonModuleParamsInvalid });
  assert.ok((await alice.zim.storage()).bytes > 0);
  const { bytesBefore, bytesAfter } = await alice.zim.compact();
  assert.ok(bytesAfter <= bytesBefore);
  await alice.zim.destroy();

  const database = path.join(made, 'restored.db');
  const restored = await phone(t, server, 'alice', { database, login: { restore: copy } });
  const { callList } = await restored.zim.queryCallInvitationList();
  assert.deepEqual(callList.map((call) => call.callID), [callID]);
  assert.notEqual((await restored.zim.status()).deviceID, deviceID);
  await restored.zim.logout();
  await assert.rejects(restored.zim.login('alice', { restore: copy }), { code: Code.CommonModuleParamsInvalid });
  await restored.zim.login('alice');
  const missing = ZIM.create({ server: server.address, ca: server.ca, database: path.join(made, 'none.db') });
  after(t, () => missing.destroy());
  await assert.rejects(missing.login('alice', { restore: path.join(made, 'no copy') }));
  assert.ok(!fs.existsSync(path.join(made, 'none.db')), 'nothing is begun in its place');
});

test('what the database keeps can be said, and what is wrong of it is named', async (t) => {
  const at = { address: '127.0.0.1:9' };
  const login = { isOfflineLogin: true };
  const wrong = { callsKept: 'none', callsKeptDays: -1, eventsKept: 1.5, eventsUnacknowledgedKept: 'all' };
  for (const [field, value] of Object.entries(wrong)) {
    const refused = phone(t, at, 'alice', { login, retention: { [field]: value } });
    await assert.rejects(refused, { code: Code.CommonModuleParamsInvalid, reason: `retention.${field}` });
  }
  await assert.rejects(phone(t, at, 'alice', { login, retention: new Map() }), { reason: 'retention' });
  const retention = { callsKept: 'all', callsKeptDays: 'forever', eventsKept: 0, eventsUnacknowledgedKept: 1000 };
  const { zim } = await phone(t, at, 'alice', { login, retention });
  assert.equal((await zim.status()).userID, 'alice');
});

test('an app that is paused hears nothing, and what rings when it wakes', async (t) => {
  const server = await serve(t);
  const alice = await phone(t, server, 'alice');
  const bob = await phone(t, server, 'bob');
  await bob.zim.pause();
  await assert.rejects(bob.zim.status(), { code: Code.EngineClosed });
  const { callID } = await alice.zim.callInvite(['bob']);
  await bob.zim.resume();
  assert.equal((await bob.event('callInvitationReceived')).callID, callID);
  await bob.zim.networkChanged();
  await bob.zim.callReject(callID);
});

test('somebody who logs in again goes on where they were', async (t) => {
  const server = await serve(t);
  const alice = await phone(t, server, 'alice');
  const { callID } = await alice.zim.callInvite(['bob']);
  await assert.rejects(alice.zim.login('alice'), { code: Code.CallModuleCommonError, reason: 'loggedIn' });
  await alice.zim.logout();
  await assert.rejects(alice.zim.callCancel([], callID), { code: Code.NetworkModuleUserIsNotLogged });
  await alice.zim.login({ userID: 'alice', userName: 'Alice' }, '');
  const { callList } = await alice.zim.queryCallInvitationList();
  assert.deepEqual(callList.map((call) => call.callID), [callID]);
  await alice.zim.logout();
  await assert.rejects(alice.zim.login('bob'), { code: Code.CommonModuleParamsInvalid }, 'the file is alice\'s');
});

test('each user can have a file of their own', async (t) => {
  const made = folder(t);
  const asked = [];
  const zim = ZIM.create({
    server: '127.0.0.1:9',
    database: (userID) => {
      asked.push(userID);
      return path.join(made, `${asked.length}.db`);
    },
  });
  after(t, () => zim.destroy());
  await zim.login('alice', { isOfflineLogin: true });
  await zim.setNetwork(false);
  await zim.logout();
  await zim.login('bob', { isOfflineLogin: true });
  assert.deepEqual(asked, ['alice', 'bob']);
  assert.equal(zim.inspectPath(), path.join(made, '2.db'));
});

test('a server that cannot be reached is no reason not to log in', async (t) => {
  const server = await serve(t);
  await server.kill();
  const alice = await phone(t, server, 'alice');
  const { callID } = await alice.zim.callInvite(['bob'], { wait: 'disk' });
  assert.equal((await alice.zim.status()).connection.state === Connection.Connected, false);
  await server.start();
  await alice.zim.networkChanged();
  assert.equal((await alice.event('commandSettled')).callID, callID);
});

test('a token that is not taken is told at login, and a good one is taken after it', async (t) => {
  const made = folder(t);
  const key = path.join(made, 'jwt.pem');
  offhook('keygen', key);
  const token = (...args) => offhook('token', '--user', 'alice', '--jwt-key', key, ...args).trim();
  const server = await serve(t, { args: ['--jwt-key', `${key}.pub`] });
  const zim = ZIM.create({ server: server.address, ca: server.ca, database: path.join(made, 'alice.db') });
  const heard = new Phone(zim);
  after(t, () => zim.destroy());
  const invalid = { code: Code.NetworkModuleTokenInvalid, name: 'TokenInvalid', message: /^(?!\d+ )/ };
  await assert.rejects(zim.login('alice', { token: 'nonsense' }), invalid);
  await assert.rejects(zim.login('bob', { token: token() }), { code: Code.CommonModuleParamsInvalid });
  const expired = { code: Code.NetworkModuleTokenExpired, name: 'TokenExpired', message: /^(?!\d+ )/ };
  await assert.rejects(zim.login('alice', { token: token('--ttl', '0') }), expired);

  await zim.login('alice', { token: token('--ttl', '31') });
  assert.ok((await heard.event('tokenWillExpire')).second <= 31);
  assert.deepEqual(Object.keys(await zim.renewToken(token())), ['token']);
  await assert.rejects(zim.renewToken('nonsense'), invalid);
  assert.equal((await zim.status()).connection.state, Connection.Connected);
  assert.ok(fs.existsSync(path.join(made, 'alice.db')));
});
