'use strict';
// What the package adds to the engine: a command until it is on disk, and a change until a handler hears of it.
// Beside each the same in Rust, by bench.rs, alternating with it, on the
// same disk. Prints figures and asserts nothing. Aim: within 1.5 in the median.

const { spawn, spawnSync } = require('node:child_process');
const { once } = require('node:events');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { built, cargo, targetFolder } = require('../build.js');

const RUNS = 3;
const SAMPLES = 300;
const WARM_UP = 50;
/** Between samples, so that what the last one left to do is done. */
const PAUSE_MS = 4;
const TOP = path.join(__dirname, '../../..');

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const at = (list, part) => [...list].sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * part))];
const pause = () => new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
const micros = () => Number(process.hrtime.bigint()) / 1000;

/** A command on a device without a network, until its promise with `wait: 'disk'` is fulfilled. */
async function submit(ZIM, folder) {
  const zim = ZIM.create({ server: '127.0.0.1:9', database: path.join(folder, 'submit.db'), wait: 600 });
  await zim.login('alice', { isOfflineLogin: true });
  await zim.setNetwork(false);
  const times = [];
  for (let n = 0; n < WARM_UP + SAMPLES; n += 1) {
    const began = micros();
    const { callID } = await zim.callInvite(['bob'], { timeout: 600, wait: 'disk' });
    if (n >= WARM_UP) times.push(micros() - began);
    // Taken back before it was sent, it leaves the outbox as empty as it was.
    await zim.callCancel([], callID);
    await pause();
  }
  await zim.destroy();
  return times;
}

/** From the call of callInvite until the other device's handler of callInvitationReceived runs. */
async function ring(ZIM, folder, server, ca) {
  const phone = async (userID) => {
    const zim = ZIM.create({ server, ca, database: path.join(folder, `${userID}.db`) });
    await zim.login(userID);
    return zim;
  };
  const [alice, bob] = [await phone('alice'), await phone('bob')];
  const times = [];
  for (let n = 0; n < WARM_UP + SAMPLES; n += 1) {
    const heard = new Promise((resolve) => {
      bob.on('callInvitationReceived', () => resolve(micros()));
    });
    const over = new Promise((resolve) => bob.on('callInvitationCancelled', resolve));
    const began = micros();
    const invited = alice.callInvite(['bob'], { timeout: 600 });
    const ended = await heard;
    if (n >= WARM_UP) times.push(ended - began);
    const { callID } = await invited;
    await alice.callCancel([], callID);
    await over;
    await pause();
    bob.off('callInvitationReceived');
    bob.off('callInvitationCancelled');
  }
  await alice.destroy();
  await bob.destroy();
  return times;
}

async function main() {
  // With `--debug`, for a quick look: what is built for the tests.
  const profile = process.argv.includes('--debug') ? 'debug' : 'release';
  const flags = profile === 'release' ? ['--locked', '--release'] : ['--locked'];
  built(profile);
  cargo(['build', ...flags, '--bin', 'offhook'], TOP);
  cargo(['build', ...flags, '--example', 'bench']);
  const folder = path.join(targetFolder(), profile);
  const { ZIM } = require('..');
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'offhook-bench-'));
  const serve = ['serve', '--listen', '127.0.0.1:0', '--data', path.join(made, 'server')];
  const server = spawn(path.join(folder, 'offhook'), serve, { stdio: ['ignore', 'pipe', 'ignore'] });
  try {
    const [text] = await once(server.stdout, 'data');
    const address = /listening on (\S+)/.exec(text)[1];
    const ca = path.join(made, 'server/cert.pem');
    const runs = [];
    for (let run = 0; run < RUNS; run += 1) {
      const folders = ['rust', 'node'].map((name) => path.join(made, `${name}${run}`));
      for (const made of folders) fs.mkdirSync(made);
      const counts = [String(WARM_UP), String(SAMPLES)];
      const rust = spawnSync(path.join(folder, 'examples/bench'), [folders[0], address, ca, ...counts], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      runs.push({
        rust: JSON.parse(rust.stdout),
        node: { submit: await submit(ZIM, folders[1]), ring: await ring(ZIM, folders[1], address, ca) },
      });
    }
    console.log('                                  Rust p50 µs    p99   Node.js p50 µs    p99   ratio p50');
    for (const [what, name] of [['submit', 'command → disk'], ['ring', 'invite → the other handler']]) {
      const figure = (side, part) => median(runs.map((run) => at(run[side][what], part)));
      const ratio = median(runs.map((run) => at(run.node[what], 0.5) / at(run.rust[what], 0.5)));
      const cells = [figure('rust', 0.5), figure('rust', 0.99), figure('node', 0.5), figure('node', 0.99)];
      const [a, b, c, d] = cells.map((cell) => cell.toFixed(0));
      console.log(`${name.padEnd(30)}${a.padStart(15)}${b.padStart(7)}${c.padStart(17)}${d.padStart(7)}${ratio.toFixed(2).padStart(12)}`);
    }
    console.log(`\naim: within 1.5. ${RUNS} runs of ${SAMPLES} samples; each figure is the median of the runs.`);
  } finally {
    server.kill();
    await once(server, 'exit');
    fs.rmSync(made, { recursive: true, force: true });
  }
}

main();
