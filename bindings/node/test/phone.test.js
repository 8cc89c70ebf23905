'use strict';
// The terminal phone, as two people use it.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');

const { PATIENCE_MS } = require('./support/phone.js');
const { after, folder, serve } = require('./support/server.js');

const PROGRAM = path.join(__dirname, '../example/phone.js');

class Shell {
  output = '';
  #read = 0;

  constructor(t, server, user, database) {
    const args = [PROGRAM, user, '--server', server.address, '--ca', server.ca, '--db', database];
    this.process = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.ended = once(this.process, 'close');
    this.process.stdout.on('data', (text) => (this.output += text));
    after(t, () => this.process.kill('SIGKILL'));
  }

  type(line) {
    this.process.stdin.write(`${line}\n`);
  }

  /** Waits for words after those that were waited for before, and gives what was matched. */
  shows(words) {
    const from = this.#read;
    return new Promise((resolve, reject) => {
      const look = () => {
        const match = words.exec(this.output.slice(from));
        if (match === null) return;
        this.#read = from + match.index + match[0].length;
        end();
        resolve(match);
      };
      const end = () => {
        clearTimeout(timer);
        this.process.stdout.off('data', look);
      };
      const timer = setTimeout(() => {
        end();
        reject(new Error(`no ${words} in\n${this.output.slice(from)}`));
      }, PATIENCE_MS);
      this.process.stdout.on('data', look);
      look();
    });
  }
}

test('two phones ring each other, one is unplugged and comes back, one is killed and goes on', { timeout: 4 * PATIENCE_MS }, async (t) => {
  const server = await serve(t);
  const made = folder(t);
  const database = path.join(made, 'alice.db');
  let alice = new Shell(t, server, 'alice', database);
  const bob = new Shell(t, server, 'bob', path.join(made, 'bob.db'));
  await alice.shows(/\(Connected\)/);
  await bob.shows(/\(Connected\)/);

  alice.type('group bob');
  await bob.shows(/\*\*\* alice rings/);
  bob.type('no');
  await alice.shows(/bob Rejected/);
  alice.type('invite bob');
  await bob.shows(/\*\*\* alice rings/);
  bob.type('yes hello there');
  await alice.shows(/bob Accepted/);
  alice.type('end');
  await bob.shows(/was ended by alice/);

  alice.type('unplug');
  await alice.shows(/\(Reconnecting/);
  alice.type('call bob');
  await alice.shows(/calling bob/);
  alice.type('pending');
  await alice.shows(/callInvite of .*not sent yet/);
  alice.type('plug');
  await bob.shows(/\*\*\* alice rings/);
  await alice.shows(/callInvite of .*: done/);
  bob.type('no');
  await alice.shows(/bob Rejected/);

  alice.type('unplug');
  alice.type('call bob');
  await alice.shows(/calling bob/);
  alice.process.kill('SIGKILL');
  await alice.ended;
  alice = new Shell(t, server, 'alice', database);
  await bob.shows(/\*\*\* alice rings/);
  await alice.shows(/callInvite of .*: done/);
  alice.type('list');
  await alice.shows(/3 calls/);
  alice.type('bye');
  assert.deepEqual(await alice.ended, [0, null]);
  assert.match(alice.output, /off\n$/);
});

test('a phone that was killed while two calls ring answers both when it comes back, also without a network', { timeout: 4 * PATIENCE_MS }, async (t) => {
  const server = await serve(t);
  const made = folder(t);
  const start = (user) => new Shell(t, server, user, path.join(made, `${user}.db`));
  const [alice, carol] = [start('alice'), start('carol')];
  let bob = start('bob');
  for (const shell of [alice, bob, carol]) await shell.shows(/\(Connected\)/);

  alice.type('group bob');
  const [, first] = await bob.shows(/\*\*\* alice rings \((\w+)\)/);
  carol.type('group bob');
  const [, second] = await bob.shows(/\*\*\* carol rings \((\w+)\)/);
  bob.type('yes');
  await bob.shows(new RegExp(`which call\\? ${first}, ${second}`));

  bob.process.kill('SIGKILL');
  await bob.ended;
  bob = start('bob');
  await bob.shows(/\*\*\* alice rings/);
  await bob.shows(/\*\*\* carol rings/);
  bob.type(`no ${second} not now`);
  await carol.shows(/bob Rejected/);

  bob.type('unplug');
  await bob.shows(/\(Reconnecting/);
  bob.type('yes hello');
  bob.type('rings');
  await bob.shows(/\b0 ring\n/);
  bob.process.kill('SIGKILL');
  await bob.ended;
  bob = start('bob');
  await alice.shows(/bob Accepted/);
  await bob.shows(/callAccept of .*: done/);
  bob.type('end');
  await alice.shows(/was ended by bob/);
  bob.type('bye');
  assert.deepEqual(await bob.ended, [0, null]);
});

test('the phone is short enough to be read', () => {
  assert.ok(fs.readFileSync(PROGRAM, 'utf8').split('\n').length < 200);
});
