'use strict';
// A real server, and a folder for what a test leaves behind.

const { spawn, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

/** Set by run.js; `npm test` builds it. */
const BINARY = process.env.OFFHOOK_BINARY;

const stacks = new WeakMap();

/** Undoes something at the end of a test, the last thing first. */
function after(t, undo) {
  if (!stacks.has(t)) {
    const stack = [];
    stacks.set(t, stack);
    t.after(async () => {
      for (const undo of stack.reverse()) await undo();
    });
  }
  stacks.get(t).push(undo);
}

function folder(t) {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'offhook-node-'));
  after(t, () => fs.rmSync(made, { recursive: true, force: true }));
  return made;
}

/** Runs a subcommand to its end. */
function offhook(...args) {
  const { status, stdout, stderr } = spawnSync(BINARY, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`offhook ${args[0]}: ${stderr}`);
  return stdout;
}

/** Serves until the test ends. `kill` ends it at once, `start` brings it back at the same address. */
async function serve(t, { args = [], data = path.join(folder(t), 'server') } = {}) {
  const server = { address: '127.0.0.1:0', ca: path.join(data, 'cert.pem'), process: null };
  server.start = async () => {
    server.process = spawn(BINARY, ['serve', '--listen', server.address, '--data', data, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let log = '';
    server.process.stderr.on('data', (text) => (log += text));
    server.address = await new Promise((resolve, reject) => {
      server.process.on('exit', (code) => reject(new Error(`the server ended with ${code}: ${log}`)));
      server.process.stdout.on('data', (text) => {
        const listening = /listening on (\S+)/.exec(text);
        if (listening) resolve(listening[1]);
      });
    });
  };
  server.kill = async () => {
    if (server.process.exitCode !== null || server.process.signalCode !== null) return;
    const ended = new Promise((resolve) => server.process.once('exit', resolve));
    server.process.kill('SIGKILL');
    await ended;
  };
  await server.start();
  after(t, server.kill);
  return server;
}

module.exports = { BINARY, after, folder, offhook, serve };
