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
  await refused(zim.callInvite(['bob'], { timeout: 5n }), 'timeout');
  await refused(zim.callInvite(['bob'], { extendedData: circular }), 'extendedData.self');
  await refused(zim.callInvite(['bob'], { extendedData: '\ud800' }), 'extendedData');
  await refused(zim.callInvite(['bob'], { '\ud800': 1 }), 'config');
  await refused(zim.callInvite(['bob'], { extendedData: 'x'.repeat(2 << 20) }), 'params');
  await refused(zim.callInvite(['bob'], { wait: 'forever' }), 'wait');
  await refused(zim.callAccept(), 'callID');
  await refused(zim.callAccept(null), 'callID');
  await refused(zim.setNetwork('off'), 'online');
  await refused(zim.handlePush('nonsense'), 'payload');
  await refused(zim.handlePush({ v: '\ud800' }), 'payload.v');
  await refused(zim.queryCallInvitationList({ count: 0 }), 'count');
  assert.deepEqual(await zim.pending(), [], 'nothing was kept');
});

test('what is within a config is refused by its name as well, wherever JSON would make something else of it', async (t) => {
  const { zim } = await alone(t);
  class Push {
    title = 'a call';
  }
  const list = new Proxy([], {});
  const inherits = Object.create({ title: 'a call' });
  const getter = {
    get title() {
      throw new Error('thrown');
    },
  };
  const objects = [new Map(), new Set(), [], list, new Push(), new Date(), inherits];
  for (const pushConfig of [...objects, 'a call', 5, () => {}, Symbol('s')]) {
    await assert.rejects(zim.callInvite(['bob'], { pushConfig }), { name: 'InvalidParameter', reason: 'pushConfig' });
    await assert.rejects(zim.callEnd('x', { pushConfig }), { name: 'InvalidParameter', reason: 'pushConfig' });
    const voIPConfig = pushConfig;
    const reason = 'pushConfig.voIPConfig';
    await assert.rejects(zim.callInvite(['bob'], { pushConfig: { voIPConfig } }), { name: 'InvalidParameter', reason });
  }
  for (const [field, values] of Object.entries({
    title: [5, {}, () => {}, new String('x')],
    enableBadge: ['yes', 1],
    badgeIncrement: ['1', 1.5, NaN, 5n],
    'voIPConfig.iOSVoIPHandleType': ['Generic', {}],
    'voIPConfig.iOSVoIPHasVideo': [1],
  })) {
    const [outer, inner] = field.split('.');
    for (const value of values) {
      const pushConfig = { [outer]: inner ? { [inner]: value } : value };
      const told = { code: Code.CommonModuleParamsInvalid, reason: `pushConfig.${field}`, message: /^pushConfig\./ };
      await assert.rejects(zim.callInvite(['bob'], { pushConfig }), told);
    }
  }
  await assert.rejects(zim.callInvite(['bob'], { pushConfig: getter }), { reason: 'params', message: /thrown/ });
  await assert.rejects(zim.callInvite(['bob'], new Push()), { reason: 'config' });
  assert.deepEqual(await zim.pending(), [], 'nothing was kept');
  // What is plain is taken, whoever made it.
  const bare = Object.assign(Object.create(null), { title: 'a call', payload: undefined });
  const other = require('node:vm').runInNewContext("({ title: 'a call' })");
  for (const pushConfig of [bare, other, new Proxy({ title: 'a call' }, {}), null, undefined]) {
    await zim.callInvite(['bob'], { pushConfig, wait: 'disk' });
    const [{ callID, params }] = await zim.pending();
    assert.equal(params.config.pushConfig?.title, pushConfig?.title);
    await zim.callCancel([], callID);
  }
});

test('what can never be sent is refused before it is gone through', async (t) => {
  const { zim } = await alone(t);
  let invitees = ['bob'];
  // Written out, each of these has more values than there are atoms in an app.
  for (let level = 0; level < 100; level += 1) invitees = Array(10).fill(invitees);
  for (const list of [invitees, new Array(2 ** 32 - 1)]) {
    const told = { code: Code.CommonModuleParamsInvalid, reason: 'params', message: /values/ };
    await assert.rejects(zim.callInvite(list), told);
  }
  await assert.rejects(zim.callAccept('x'.repeat(300_000)), ({ message }) => message.length < 300);
});

test('what a config of the app throws is a refusal like any other', async (t) => {
  const { zim } = await alone(t);
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  const getter = {
    get wait() {
      throw new Error('thrown');
    },
  };
  for (const config of [proxy, getter]) {
    await assert.rejects(zim.callInvite(['bob'], config), { code: Code.CommonModuleParamsInvalid, reason: 'config' });
  }
  for (const type of [5n, Symbol('s'), undefined]) assert.throws(() => zim.on(type, () => {}), { reason: 'type' });
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

test('each handler has what happened for itself, whatever the one before it does to it', async (t) => {
  const server = await serve(t);
  const { zim } = await phone(t, server, 'alice');
  const heard = [];
  const all = new Promise((resolve) => {
    for (let n = 0; n < 3; n += 1) {
      zim.on('callInvitationCreated', (_, info) => {
        heard.push(structuredClone(info));
        info.callID = 'changed';
        info.callUserList.length = 0;
        if (heard.length === 3) resolve();
      });
    }
  });
  const { callID } = await zim.callInvite(['bob']);
  await all;
  assert.equal(heard[0].callID, callID);
  assert.deepEqual(heard[0].callUserList.map(({ userID }) => userID).sort(), ['alice', 'bob']);
  assert.deepEqual(heard[1], heard[0]);
  assert.deepEqual(heard[2], heard[0]);
});

test('after destroy no handler is called, neither another of the same event nor one that was told of', async (t) => {
  const { zim } = await alone(t);
  const log = t.mock.method(console, 'error', () => {});
  const heard = [];
  const destroyed = new Promise((resolve) => {
    zim.on('connectionStateChanged', () => {
      heard.push('first');
      resolve(zim.destroy());
      throw new Error('thrown');
    });
  });
  zim.on('connectionStateChanged', () => heard.push('second'));
  zim.on('error', () => heard.push('error'));
  await zim.setNetwork(false);
  await destroyed;
  assert.deepEqual(heard, ['first']);
  assert.equal(log.mock.callCount(), 1, 'what it threw is logged');
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
