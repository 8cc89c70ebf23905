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

  /** Waits for words after those that were waited for before. */
  shows(words) {
    const from = this.#read;
    return new Promise((resolve, reject) => {
      const look = () => {
        const match = words.exec(this.output.slice(from));
        if (match === null) return;
        this.#read = from + match.index + match[0].length;
        end();
        resolve();
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

test('the phone is short enough to be read', () => {
  assert.ok(fs.readFileSync(PROGRAM, 'utf8').split('\n').length < 200);
});
