'use strict';
// A logged-in ZIM that remembers what it heard, so that a test can wait for what it expects.

const path = require('node:path');

const { ZIM } = require('../..');
const { after, folder } = require('./server.js');

/** Long enough for whatever machine; who waits for longer waits in vain. */
const PATIENCE_MS = 30_000;
const LOOK_EVERY_MS = 20;

const EVENTS = [
  'callInvitationCreated',
  'callInvitationReceived',
  'callInvitationCancelled',
  'callInvitationTimeout',
  'callInvitationEnded',
  'callUserStateChanged',
  'connectionStateChanged',
  'tokenWillExpire',
  'callHandledElsewhere',
  'callPrimaryDeviceChanged',
  'commandSettled',
  'databaseSetAside',
];

class Phone {
  heard = [];
  #waiting = new Set();

  constructor(zim) {
    this.zim = zim;
    for (const name of EVENTS) {
      zim.on(name, (_, info) => {
        this.heard.push({ name, info });
        for (const look of [...this.#waiting]) look();
      });
    }
  }

  /** The first event of that name, from `since` on, about which `holds`. */
  event(name, holds = () => true, since = 0) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(look);
        const heard = this.heard.map((event) => JSON.stringify(event)).join('\n');
        reject(new Error(`no ${name} of that kind; heard\n${heard}`));
      }, PATIENCE_MS);
      const look = () => {
        const found = this.heard.slice(since).find((event) => event.name === name && holds(event.info));
        if (found === undefined) return;
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve(found.info);
      };
      this.#waiting.add(look);
      look();
    });
  }

  /** That somebody is in a state, as told by callUserStateChanged. */
  state(callID, userID, state, since = 0) {
    const is = (user) => user.userID === userID && user.state === state;
    return this.event('callUserStateChanged', (info) => info.callID === callID && info.callUserList.some(is), since);
  }

  of(name) {
    return this.heard.filter((event) => event.name === name).map((event) => event.info);
  }
}

/** What is read once it holds; for what no event tells of. */
async function eventually(read, holds) {
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    const value = await read();
    if (holds(value)) return value;
    if (Date.now() > until) throw new Error(`in vain: ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

async function phone(t, server, userID, { login = {}, ...config } = {}) {
  const zim = ZIM.create({
    server: server.address,
    ca: server.ca,
    database: path.join(folder(t), 'calls.db'),
    ...config,
  });
  after(t, () => zim.destroy());
  const made = new Phone(zim);
  await zim.login(userID, login);
  return made;
}

module.exports = { PATIENCE_MS, Phone, eventually, phone };
