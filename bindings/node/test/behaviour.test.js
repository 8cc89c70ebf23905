'use strict';
// What a JavaScript developer expects of any package.

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');

const offhook = require('..');
const { ZIM, ZIMCallUserState: State, ZIMConnectionState: Connection, ZIMError, ZIMErrorCode: Code } = offhook;
const { phone } = require('./support/phone.js');
const { after, folder, serve } = require('./support/server.js');

/** One that is logged in without a server. */
async function alone(t, config) {
  return phone(t, { address: '127.0.0.1:9', ca: undefined }, 'alice', { login: { isOfflineLogin: true }, ...config });
}

test('what is refused is an Error with code, name, message and a reason', async (t) => {
  const { zim } = await alone(t);
  const error = await zim.callInvite(['bob'], { timeout: 601 }).then(assert.fail, (error) => error);
  assert.ok(error instanceof Error && error instanceof ZIMError);
  assert.equal(error.code, Code.CommonModuleParamsInvalid);
  assert.equal(error.name, 'InvalidParameter');
  assert.equal(error.reason, 'timeout');
  assert.equal(error.retryable, false);
  assert.match(error.message, /601/);
  assert.match(error.stack, /InvalidParameter: timeout/);
  assert.match(String(error), /^InvalidParameter: timeout/);
});

test('what is missing or of the wrong type is refused by its name, whatever it is', async (t) => {
  const { zim } = await alone(t);
  const refused = (promise, reason) => assert.rejects(promise, { code: Code.CommonModuleParamsInvalid, reason });
  const circular = {};
  circular.self = circular;
  await refused(zim.callInvite(), 'invitees');
  await refused(zim.callInvite('bob'), 'invitees');
  await refused(zim.callInvite([7]), 'invitees');
  await refused(zim.callInvite(['bob'], 'soon'), 'config');
  await refused(zim.callInvite(['bob'], { timeout: 1.5 }), 'timeout');
  await refused(zim.callInvite(['bob'], { timeout: 5n }), 'params');
  await refused(zim.callInvite(['bob'], { extendedData: circular }), 'params');
  await refused(zim.callInvite(['bob'], { extendedData: '\ud800' }), 'params');
  await refused(zim.callInvite(['bob'], { extendedData: 'x'.repeat(2 << 20) }), 'params');
  await refused(zim.callInvite(['bob'], { wait: 'forever' }), 'wait');
  await refused(zim.callAccept(), 'callID');
  await refused(zim.callAccept(null), 'callID');
  await refused(zim.setNetwork('off'), 'online');
  await refused(zim.handlePush('nonsense'), 'payload');
  await refused(zim.queryCallInvitationList({ count: 0 }), 'count');
  assert.deepEqual(await zim.pending(), [], 'nothing was kept');
});

test('text arrives as it is, also what JSON has to escape', async (t) => {
  const { zim } = await alone(t);
  const extendedData = '\\ud83d "\u0000\u2028\n" 呼叫 👋 \\\\udc00';
  await zim.callInvite(['bob'], { extendedData, wait: 'disk' });
  const [{ params }] = await zim.pending();
  assert.equal(params.config.extendedData, extendedData);
});

test('an instance says what it needs, and what it is asked too early or too late', async (t) => {
  assert.throws(() => ZIM.create(5), { code: Code.CommonModuleParamsInvalid, reason: 'config' });
  assert.throws(() => ZIM.create({ server: 'localhost:1' }), { reason: 'database' });
  assert.throws(() => ZIM.create({ database: 'a.db' }), { reason: 'server' });
  const zim = ZIM.create({ server: 'localhost', database: path.join(folder(t), 'a.db') });
  await assert.rejects(zim.callAccept('x'), { code: Code.NetworkModuleUserIsNotLogged, name: 'NotLoggedIn' });
  await assert.rejects(zim.login('alice'), { code: Code.CommonModuleParamsInvalid, reason: 'server' });
  assert.throws(() => zim.on('callInvited', () => {}), { reason: 'type' });
  assert.throws(() => zim.on('callInvitationReceived'), { reason: 'listener' });
  await zim.destroy();
  await zim.destroy();
  await assert.rejects(zim.login('alice'), { code: Code.EngineClosed, name: 'Closed' });
  await assert.rejects(zim.callAccept('x'), { code: Code.EngineClosed });
});

test('a handler that throws stops neither the others nor the process, and is told as an error', async (t) => {
  const { zim } = await alone(t);
  const order = [];
  const errors = [];
  zim.on('connectionStateChanged', () => {
    order.push('first');
    throw new Error('thrown');
  });
  zim.on('connectionStateChanged', async () => {
    order.push('second');
    throw new Error('rejected');
  });
  zim.on('connectionStateChanged', () => order.push('third'));
  const told = new Promise((resolve) => {
    zim.on('error', () => {
      throw new Error('this one as well');
    });
    zim.on('error', (from, error) => {
      assert.equal(from, zim);
      if (errors.push(error) === 2) resolve();
    });
  });
  const log = t.mock.method(console, 'error', () => {});
  await zim.setNetwork(false);
  await told;
  assert.deepEqual(order, ['first', 'second', 'third']);
  assert.deepEqual(errors.map(({ cause }) => cause.message), ['thrown', 'rejected']);
  assert.ok(errors.every((error) => error.code === Code.EngineInternal && error.reason === 'connectionStateChanged'));
  assert.equal(log.mock.callCount(), 2, 'what the handler of errors threw is only logged');

  zim.off('error');
  await zim.setNetwork(true);
  await zim.setNetwork(false);
  assert.ok(log.mock.calls.length > 2, 'without a handler of errors it is logged');
});

test('handlers are added, each once, and removed one by one or all', async (t) => {
  const server = await serve(t);
  const { zim } = await phone(t, server, 'alice');
  const heard = [];
  const [a, b] = ['a', 'b'].map((name) => () => heard.push(name));
  /** What is heard of one event, up to the handler that was added last. */
  const one = async () => {
    heard.length = 0;
    const last = new Promise((resolve) => zim.on('callInvitationCreated', resolve));
    const { callID } = await zim.callInvite(['bob']);
    await last;
    await zim.callCancel([], callID);
    return heard.join('');
  };
  zim.on('callInvitationCreated', a);
  zim.on('callInvitationCreated', a);
  zim.on('callInvitationCreated', b);
  assert.equal(await one(), 'ab');
  zim.off('callInvitationCreated', a);
  assert.equal(await one(), 'b');
  zim.off('callInvitationCreated');
  assert.equal(await one(), '');
});

test('the verdict comes before the events that it caused', async (t) => {
  const server = await serve(t);
  const { zim } = await phone(t, server, 'alice');
  const order = [];
  zim.on('callInvitationCreated', () => order.push('event'));
  const created = new Promise((resolve) => zim.on('callInvitationCreated', resolve));
  await zim.callInvite(['bob']).then(() => order.push('verdict'));
  await created;
  assert.deepEqual(order, ['verdict', 'event']);
});

test('nothing blocks the event loop while a file makes the engine wait', async (t) => {
  const server = await serve(t);
  const pipe = path.join(folder(t), 'cert.pem');
  execFileSync('mkfifo', [pipe]);
  const zim = ZIM.create({ server: server.address, ca: pipe, database: path.join(folder(t), 'a.db') });
  after(t, () => zim.destroy());
  let isIn = false;
  const login = zim.login('alice').then(() => (isIn = true));
  // The engine reads a pipe into which nobody writes; meanwhile the loop turns.
  for (let turn = 0; turn < 1000; turn += 1) await new Promise(setImmediate);
  assert.equal(isIn, false);
  fs.writeFileSync(pipe, fs.readFileSync(server.ca));
  await login;
  assert.equal((await zim.status()).connection.state, Connection.Connected);
});

test('two accounts live in one process, and the newest instance is the one to get', async (t) => {
  const server = await serve(t);
  const alice = await phone(t, server, 'alice');
  const bob = await phone(t, server, 'bob');
  assert.equal(ZIM.getInstance(), bob.zim);
  const { callID } = await alice.zim.callInvite(['bob']);
  await bob.event('callInvitationReceived');
  await bob.zim.callAccept(callID, { extendedData: 'hi' });
  await alice.state(callID, 'bob', State.Accepted);
  await bob.zim.destroy();
  assert.equal(ZIM.getInstance(), null);
  assert.equal((await alice.zim.status()).userID, 'alice');
});

test('the package is imported and required, as one', async () => {
  const imported = await import('offhook');
  const required = require('offhook');
  assert.equal(required, offhook);
  assert.equal(imported.default, offhook);
  assert.equal(imported.ZIM, ZIM);
  const { default: _, ...named } = imported;
  assert.deepEqual(Object.keys(named).sort(), Object.keys(offhook).sort());
  assert.match(ZIM.getVersion(), /^\d+\.\d+\.\d+/);
  assert.equal(ZIM.getVersion(), require('offhook/package.json').version);
});
