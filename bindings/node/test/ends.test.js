'use strict';
// Ends of all kinds: of a login, of a conversation, and of what an app throws or gives.

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');

const { ZIM, ZIMConnectionState: Connection, ZIMErrorCode: Code } = require('..');
const { phone } = require('./support/phone.js');
const { after, folder, serve } = require('./support/server.js');

const NOWHERE = { server: '127.0.0.1:9', address: '127.0.0.1:9' };
const alone = (t, config) => phone(t, NOWHERE, 'alice', { login: { isOfflineLogin: true }, ...config });

function created(t, config = {}) {
  const zim = ZIM.create({ server: NOWHERE.server, database: path.join(folder(t), 'a.db'), ...config });
  after(t, () => zim.destroy());
  return zim;
}

test('a handler may throw what has no words', async (t) => {
  const { zim } = await alone(t);
  const unspeakable = {
    get message() {
      throw new Error('again');
    },
  };
  const thrown = [Symbol('s'), Object.create(null), unspeakable];
  const causes = [];
  const all = new Promise((resolve) => {
    zim.on('error', (_, { cause }) => causes.push(cause) === 2 * thrown.length && resolve());
  });
  let others = 0;
  for (const one of thrown) {
    zim.on('connectionStateChanged', () => {
      throw one;
    });
    zim.on('connectionStateChanged', () => Promise.reject(one));
    zim.on('connectionStateChanged', () => (others += 1));
  }
  await zim.setNetwork(false);
  await all;
  assert.ok(thrown.every((one) => causes.includes(one)));
  assert.equal(others, thrown.length);
});

test('a console that throws keeps no other handler from being called', async (t) => {
  const { zim } = await alone(t);
  t.mock.method(console, 'error', () => {
    throw new Error('so does the console');
  });
  const heard = new Promise((resolve) => {
    zim.on('connectionStateChanged', () => {
      throw new Error('thrown');
    });
    zim.on('connectionStateChanged', resolve);
  });
  await zim.setNetwork(false);
  await heard;
});

test('a login that is refused before it starts keeps no process alive', () => {
  const script = `
    const { ZIM } = require(${JSON.stringify(path.join(__dirname, '..'))});
    const cyclic = { server: 'localhost:1', database: 'a.db' };
    cyclic.build = cyclic;
    const zim = ZIM.create({ server: 'localhost:1', database: 'a.db' });
    const logins = [zim.login(5n), zim.login('\\ud800'), ZIM.create(cyclic).login('alice')];
    Promise.allSettled(logins).then((all) => console.log(all.map(({ reason }) => reason.code).join()));
  `;
  const { stdout, signal } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8', timeout: 30_000 });
  assert.equal(signal, null, 'it ends by itself');
  assert.equal(stdout.trim(), [1, 2, 3].map(() => Code.CommonModuleParamsInvalid).join());
});

test('a login that is over has no timer left, and its promise is rejected at once', async (t) => {
  const timeouts = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timeouts();
  const zim = created(t);
  const order = [];
  const login = zim.login('alice').catch(({ code }) => order.push(code));
  const destroyed = zim.destroy().then(() => order.push('destroyed'));
  await Promise.all([login, destroyed]);
  assert.deepEqual(order, [Code.EngineClosed, 'destroyed']);

  await assert.rejects(created(t, { server: 'no port' }).login('alice'), { reason: 'server' });
  assert.equal(timeouts(), before);
});

test('whoever closes what is closing waits for the same end', async (t) => {
  const server = await serve(t);
  for (const [first, second] of [['logout', 'destroy'], ['destroy', 'destroy'], ['logout', 'logout']]) {
    const { zim } = await phone(t, server, 'alice');
    const order = [];
    const one = zim[first]().then(() => order.push('first'));
    const other = zim[second]().then(() => order.push('second'));
    await Promise.all([one, other]);
    assert.deepEqual(order, ['first', 'second'], `${first}, ${second}`);
  }
});

test('a closing goes through, however many requests wait', async (t) => {
  const database = path.join(folder(t), 'a.db');
  for (const way of ['destroy', 'logout']) {
    const { zim } = await alone(t, { database });
    // Else a logout would look for the server first.
    await zim.setNetwork(false);
    const codes = [];
    for (let n = 0; n < 4000; n += 1) zim.status().catch(({ code }) => codes.push(code));
    // They are given at once, so the engine cannot have taken them all: nobody listens before this.
    const closing = zim[way]();
    await closing;
    assert.ok(codes.includes(Code.CommonModuleTriggerSDKFrequencyLimit), 'the queue was full');
  }
});

test('a logout is not refused for other requests that are under way, however many', async (t) => {
  const server = await serve(t);
  const { zim } = await phone(t, server, 'alice');
  server.process.kill('SIGSTOP');
  const codes = [];
  const refused = new Promise((resolve) => {
    for (let n = 0; n < 20; n += 1) {
      zim.renewToken('t').catch(({ code }) => codes.push(code) === 4 && resolve());
    }
  });
  await refused;
  assert.deepEqual(new Set(codes), new Set([Code.CommonModuleTriggerSDKFrequencyLimit]));
  const out = zim.logout();
  server.process.kill('SIGCONT');
  await out;
});

test('a login right after a logout that nobody awaited begins when that is done, and requests wait for it', async (t) => {
  const server = await serve(t);
  const alice = await phone(t, server, 'alice');
  const before = alice.heard.length;
  const order = [];
  alice.zim.logout().then(() => order.push('out'));
  const login = alice.zim.login('alice').then(() => order.push('in'));
  const invitees = ['bob'];
  const given = [1, 2, 3].map((n) => alice.zim.callInvite(invitees, { extendedData: `${n}`, wait: 'disk' }));
  // They are what they were when they were given.
  invitees.length = 0;
  await assert.rejects(alice.zim.login('alice'), { reason: 'loggedIn' });
  await login;
  assert.deepEqual(order, ['out', 'in']);
  const ids = (await Promise.all(given)).map(({ callID }) => callID);
  assert.equal(new Set(ids).size, 3);
  const states = alice.heard.slice(before).filter(({ name }) => name === 'connectionStateChanged');
  const { Disconnected, Connecting, Connected } = Connection;
  assert.deepEqual(states.map(({ info }) => info.state), [Disconnected, Connecting, Connected]);
  // In the order in which they were given, of which only the first is let in: then alice is in a call.
  const settled = [];
  for (const callID of ids) settled.push(await alice.event('commandSettled', (info) => info.callID === callID));
  assert.deepEqual(settled.map(({ error }) => error?.data.reason), [undefined, 'inCall', 'inCall']);
});

test('a login that waits for a logout is given up with another logout, and with destroy', async (t) => {
  for (const way of ['logout', 'destroy']) {
    const { zim } = await alone(t);
    await zim.setNetwork(false);
    const out = zim.logout();
    const login = zim.login('alice', { isOfflineLogin: true });
    const given = zim.pending();
    const ended = zim[way]();
    await assert.rejects(login, { code: Code.EngineClosed });
    await assert.rejects(given, { code: way === 'logout' ? Code.NetworkModuleUserIsNotLogged : Code.EngineClosed });
    await Promise.all([out, ended]);
    if (way === 'logout') await zim.login('alice', { isOfflineLogin: true });
  }
});

test('the own logout is heard as a change of the connection', async (t) => {
  const alice = await phone(t, await serve(t), 'alice');
  const before = alice.heard.length;
  await alice.zim.logout();
  const changes = alice.heard.slice(before).filter(({ name }) => name === 'connectionStateChanged');
  assert.deepEqual(changes.map(({ info }) => info.state), [Connection.Disconnected]);
});

test('a damaged database is set aside, and that is heard', async (t) => {
  const database = path.join(folder(t), 'alice.db');
  const first = await alone(t, { database });
  await first.zim.destroy();
  fs.writeFileSync(database, Buffer.alloc(8192, 'damaged'));
  const second = await alone(t, { database });
  const told = await second.event('databaseSetAside');
  assert.deepEqual([told.pending, told.ended, told.lost], [0, 0, 0]);
  assert.ok(fs.existsSync(told.path));
});

test('what cannot be opened is refused by the name that it was given by', async (t) => {
  const missing = path.join(folder(t), 'none');
  for (const [name, value] of [['ca', missing], ['caText', 'no certificate']]) {
    await assert.rejects(created(t, { [name]: value }).login('alice'), { reason: name, message: new RegExp(`^${name}: `) });
  }
  await assert.rejects(created(t).login('alice', { restore: missing }), { reason: 'restore', message: /^restore: / });
});

test('a config that is no object, and a number that is none, are refused', async (t) => {
  const { zim } = await alone(t);
  const refused = (promise, reason) => assert.rejects(promise, { code: Code.CommonModuleParamsInvalid, reason });
  for (const config of [[], new Date(), new Map(), () => {}]) {
    await refused(zim.callInvite(['bob'], config), 'config');
    await refused(zim.queryCallInvitationList(config), 'config');
    await refused(created(t).login('alice', config), 'config');
    assert.throws(() => ZIM.create(config), { code: Code.CommonModuleParamsInvalid, reason: 'config' });
  }
  for (const number of [NaN, Infinity, -Infinity]) {
    await refused(zim.callInvite(['bob'], { timeout: number }), 'timeout');
    await refused(zim.eventsSince(number), 'position');
    await refused(created(t, { wait: number }).login('alice'), 'wait');
  }
  assert.deepEqual(await zim.pending(), []);
});

test('an instance works behind a Proxy', async (t) => {
  const { zim } = await alone(t);
  const proxy = new Proxy(zim, {});
  assert.deepEqual(await proxy.pending(), []);
  await assert.rejects(proxy.callAccept(), { reason: 'callID' });
  assert.deepEqual(Object.keys(zim), []);
});
