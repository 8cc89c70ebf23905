'use strict';
// How instances, threads and processes begin and end.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const test = require('node:test');
const { Worker } = require('node:worker_threads');

const { ZIMCallUserState: State, ZIMConnectionState: Connection } = require('..');
const { phone } = require('./support/phone.js');
const { after, folder, serve } = require('./support/server.js');

const MIB = 1024 * 1024;
const program = (name) => path.join(__dirname, 'programs', name);

/** A process that ends by itself; what it printed and how it ended. */
function begin(args) {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (text) => (output += text));
  const ended = once(child, 'close').then(([code, signal]) => ({ code, signal, output }));
  return { child, ended };
}

for (const [way, code] of [['idle', 0], ['destroy', 0], ['logout', 0], ['unref', 0], ['exit', 7]]) {
  test(`a process ends: ${way}`, async (t) => {
    const server = await serve(t);
    const database = path.join(folder(t), 'alice.db');
    const { ended } = begin([program('ends.js'), way, server.address, server.ca, database]);
    assert.deepEqual(await ended, { code, signal: null, output: 'in\n' });
    if (way !== 'exit') return;
    const alice = await phone(t, server, 'alice', { database });
    const settled = await alice.event('commandSettled');
    assert.equal(settled.command, 'callInvite');
  });
}

test('a process in which somebody is logged in stays, and hears', async (t) => {
  const server = await serve(t);
  const bob = await phone(t, server, 'bob');
  const database = path.join(folder(t), 'alice.db');
  const { child, ended } = begin([program('ends.js'), 'rung', server.address, server.ca, database]);
  await once(child.stdout, 'data');
  const { callID } = await bob.zim.callInvite(['alice']);
  await bob.state(callID, 'alice', State.Rejected);
  assert.equal((await ended).code, 0);
});

test('a thousand instances leave no more behind than fifty', async (t) => {
  const server = await serve(t);
  // V8 lets its space for young objects grow with use up to 16 MiB, and reads in the 4 MiB of its optimizing compiler
  // once something is used often, whoever uses it; here both stay as they begin.
  const flags = ['--expose-gc', '--max-semi-space-size=1', '--no-opt'];
  const { ended } = begin([...flags, program('rounds.js'), folder(t), server.address, server.ca]);
  const { code, output } = await ended;
  assert.equal(code, 0);
  const { first, last } = JSON.parse(output);
  t.diagnostic(`after 50: ${JSON.stringify(first)}, after 1000: ${JSON.stringify(last)}`);
  assert.ok(last.bytes - first.bytes <= 10 * MIB, `${(last.bytes - first.bytes) / MIB} MiB more`);
  for (const what of ['files', 'threads', 'resources']) {
    assert.ok(last[what] - first[what] <= 5, `${last[what] - first[what]} more ${what}`);
  }
});

/** An account in a worker thread. */
async function worker(t, server, userID, database) {
  const sleepers = new SharedArrayBuffer(4);
  const workerData = { server: server.address, ca: server.ca, userID, database, sleepers };
  const made = new Worker(program('worker.js'), { workerData });
  after(t, () => made.terminate());
  const [message] = await once(made, 'message');
  assert.equal(message, 'in');
  const wake = () => {
    Atomics.store(new Int32Array(sleepers), 0, 1);
    Atomics.notify(new Int32Array(sleepers), 0);
  };
  const heard = async () => {
    made.postMessage('heard');
    const [events] = await once(made, 'message');
    return events;
  };
  return { made, wake, heard };
}

test('an account in a worker thread and one in the main thread ring each other', async (t) => {
  const server = await serve(t);
  const alice = await phone(t, server, 'alice');
  await worker(t, server, 'bob', path.join(folder(t), 'bob.db'));
  await worker(t, server, 'carol', path.join(folder(t), 'carol.db'));
  const { callID } = await alice.zim.callInvite(['bob', 'carol'], { mode: 1, extendedData: 'answer' });
  await alice.state(callID, 'carol', State.Accepted);
  const { callUserList } = await alice.state(callID, 'bob', State.Accepted);
  assert.equal(callUserList[0].extendedData, 'from a worker');
});

test('a worker thread that is terminated lets go of its file', async (t) => {
  const server = await serve(t);
  const database = path.join(folder(t), 'bob.db');
  const { made } = await worker(t, server, 'bob', database);
  await made.terminate();
  const bob = await phone(t, server, 'bob', { database });
  // Two engines on one file: only one is connected.
  await bob.event('connectionStateChanged', ({ state }) => state === Connection.Connected);
});

test('a thread that stands still while much happens hears all of it afterwards, in order', async (t) => {
  /** More events than what waits between the engine and JavaScript. */
  const CALLS = 700;
  const server = await serve(t);
  const alice = await phone(t, server, 'alice');
  const { made, wake, heard } = await worker(t, server, 'bob', path.join(folder(t), 'bob.db'));
  made.postMessage('sleep');
  const calls = [];
  for (let n = 0; n < CALLS; n += 1) {
    const { callID } = await alice.zim.callInvite(['bob']);
    await alice.state(callID, 'bob', State.Received);
    await alice.zim.callCancel([], callID);
    alice.heard.length = 0;
    calls.push(callID);
  }
  wake();
  const events = [];
  while (events.filter(({ callID }) => callID === calls.at(-1)).length < 2) events.push(...(await heard()));
  const positions = events.map(({ position }) => position);
  assert.deepEqual(positions, [...new Set(positions)].sort((a, b) => a - b));
  for (const call of calls) assert.ok(events.some(({ callID }) => callID === call), `${call} was not heard`);
  assert.ok(events.length > 256 + 256 + 1024, `${events.length} events are fewer than what may wait`);
});
