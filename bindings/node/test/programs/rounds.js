'use strict';
// Creates and destroys instances in a row, and prints what the process holds after the first fifty and at the end.
// Needs --expose-gc. Arguments: the folder for the database, a server that is there, its certificate.

const fs = require('node:fs');
const path = require('node:path');

const { ZIM } = require('../..');

const ROUNDS = 1000;
const FIRST = 50;

const [, , folder, server, ca] = process.argv;

async function round(number) {
  const zim = ZIM.create({ server, ca, database: path.join(folder, `${number % 4}.db`) });
  zim.on('callInvitationReceived', () => {});
  zim.on('connectionStateChanged', () => {});
  // Every tenth with the server, the others without waiting for it.
  await zim.login('alice', { isOfflineLogin: number % 10 !== 0 });
  await zim.status();
  await zim.destroy();
}

async function held() {
  // What one collection finds, the next one frees.
  for (let n = 0; n < 5; n += 1) {
    global.gc();
    await new Promise(setImmediate);
  }
  return {
    bytes: process.memoryUsage().rss,
    files: fs.existsSync('/proc/self/fd') ? fs.readdirSync('/proc/self/fd').length : 0,
    threads: fs.existsSync('/proc/self/task') ? fs.readdirSync('/proc/self/task').length : 0,
    resources: process.getActiveResourcesInfo().length,
  };
}

(async () => {
  let first;
  for (let number = 1; number <= ROUNDS; number += 1) {
    await round(number);
    if (number === FIRST) first = await held();
  }
  console.log(JSON.stringify({ first, last: await held() }));
})();
