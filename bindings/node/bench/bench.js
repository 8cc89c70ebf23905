'use strict';
// What the package adds to the engine: a command until it is on disk, and a change until a handler hears of it.
// Beside each the same in Rust, by bench.rs: built alike, with the same settings, on the same file system and against
// the same server process. Both take turns in short rounds, so that what else the machine does is the same for both.
// Prints figures and asserts nothing. Aim: within 1.5 in the median.

const { spawn } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const readline = require('node:readline');

const { built, cargo, targetFolder } = require('../build.js');

/** Rounds of each side, and samples of a round. */
const ROUNDS = 60;
const SAMPLES = 5;
/** Rounds before, which do not count. */
const WARM_UP = 10;
/** Between samples, so that what the last one left to do is done. */
const PAUSE_MS = 25;
const RINGS_S = 600;
const TOP = path.join(__dirname, '../../..');

const at = (list, part) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * part))];
const median = (list) => at(list, 0.5);
const pause = () => new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
const micros = () => Number(process.hrtime.bigint()) / 1000;

/** The side of Node.js. Its instances stay open, as those of the other side do. */
class Node {
  static async open(ZIM, folder, server, ca) {
    const side = new Node();
    for (const name of ['alone', 'alice', 'bob']) {
      const database = path.join(folder, `node ${name}.db`);
      side[name] = ZIM.create({ server, ca, database, wait: RINGS_S });
      await side[name].login(`node ${name}`);
    }
    await side.alone.setNetwork(false);
    return side;
  }

  /** A command on a device without a network, until its promise with `wait: 'disk'` is fulfilled. */
  async submit(count) {
    const times = [];
    for (let n = 0; n < count; n += 1) {
      const began = micros();
      const { callID } = await this.alone.callInvite(['bob'], { timeout: RINGS_S, wait: 'disk' });
      times.push(micros() - began);
      // Taken back before it was sent, it leaves the outbox as empty as it was.
      await this.alone.callCancel([], callID);
      await pause();
    }
    return times;
  }

  /** From the call of callInvite until the other device's handler of callInvitationReceived runs. */
  async ring(count) {
    const times = [];
    for (let n = 0; n < count; n += 1) {
      const heard = new Promise((resolve) => this.bob.on('callInvitationReceived', () => resolve(micros())));
      const over = new Promise((resolve) => this.bob.on('callInvitationCancelled', resolve));
      const began = micros();
      const invited = this.alice.callInvite(['node bob'], { timeout: RINGS_S });
      times.push((await heard) - began);
      const { callID } = await invited;
      await this.alice.callCancel([], callID);
      await over;
      this.bob.off('callInvitationReceived');
      this.bob.off('callInvitationCancelled');
      await pause();
    }
    return times;
  }

  close() {
    return Promise.all([this.alone, this.alice, this.bob].map((zim) => zim.destroy()));
  }
}

/** The side of Rust, a process that is told what to do. */
class Rust {
  static async open(program, folder, server, ca) {
    const side = new Rust();
    side.process = spawn(program, [folder, server, ca], { stdio: ['pipe', 'pipe', 'inherit'] });
    side.lines = readline.createInterface({ input: side.process.stdout })[Symbol.asyncIterator]();
    await side.lines.next();
    return side;
  }

  async ask(what, count) {
    this.process.stdin.write(`${what} ${count}\n`);
    return JSON.parse((await this.lines.next()).value);
  }

  submit(count) {
    return this.ask('submit', count);
  }

  ring(count) {
    return this.ask('ring', count);
  }

  async close() {
    const ended = once(this.process, 'exit');
    this.process.stdin.end();
    await ended;
  }
}

/** Both sides in turn, beginning with one and with the other. */
async function measured(sides, what) {
  const rounds = [];
  for (let round = -WARM_UP; round < ROUNDS; round += 1) {
    const times = {};
    for (const name of round % 2 === 0 ? ['rust', 'node'] : ['node', 'rust']) {
      times[name] = await sides[name][what](SAMPLES);
    }
    if (round >= 0) rounds.push(times);
  }
  return rounds;
}

function report(name, rounds) {
  const all = (side) => rounds.flatMap((times) => times[side]);
  const cells = ['rust', 'node'].flatMap((side) => [at(all(side), 0.5), at(all(side), 0.99)]);
  // Of neighbours in time, so that it does not matter when the machine was busy.
  const ratio = median(rounds.map(({ rust, node }) => median(node) / median(rust)));
  const [a, b, c, d] = cells.map((cell) => cell.toFixed(0));
  const row = [name.padEnd(26), a.padStart(12), b.padStart(8), c.padStart(18), d.padStart(8)];
  console.log(`${row.join('')}${ratio.toFixed(2).padStart(9)}`);
}

async function main() {
  // With `--debug`, for a quick look: what is built for the tests.
  const profile = process.argv.includes('--debug') ? 'debug' : 'release';
  const flags = profile === 'release' ? ['--locked', '--release'] : ['--locked'];
  built(profile);
  cargo(['build', ...flags, '--bin', 'offhook'], TOP);
  cargo(['build', ...flags, '--example', 'bench']);
  const target = path.join(targetFolder(), profile);
  const { ZIM } = require('..');
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'offhook-bench-'));
  const serve = ['serve', '--listen', '127.0.0.1:0', '--data', path.join(made, 'server')];
  const server = spawn(path.join(target, 'offhook'), serve, { stdio: ['ignore', 'pipe', 'ignore'] });
  try {
    const [text] = await once(server.stdout, 'data');
    const address = /listening on (\S+)/.exec(text)[1];
    const ca = path.join(made, 'server/cert.pem');
    const sides = {
      rust: await Rust.open(path.join(target, 'examples/bench'), made, address, ca),
      node: await Node.open(ZIM, made, address, ca),
    };
    console.log(`${profile} builds             Rust p50 µs     p99    Node.js p50 µs     p99    ratio`);
    for (const [what, name] of [['submit', 'command → disk'], ['ring', 'invite → other handler']]) {
      report(name, await measured(sides, what));
    }
    console.log(`\naim: a ratio within 1.5; the median over ${ROUNDS} rounds of ${SAMPLES} samples, in turns`);
    await Promise.all([sides.rust.close(), sides.node.close()]);
  } finally {
    server.kill();
    await once(server, 'exit');
    fs.rmSync(made, { recursive: true, force: true });
  }
}

main();
