'use strict';
// Runs a snippet as it stands, with a `zim` and the ids that it was written for.

const assert = require('node:assert/strict');
const vm = require('node:vm');

/** What snippets say where an app has a call id. */
const PLACEHOLDERS = new Set(['xxxx', 'callID']);
/** Where in a command's arguments its users and its call are. */
const USERS_AT = { callInvite: 0, callCancel: 0, callingInvite: 0 };
const CALL_AT = { callCancel: 1, callingInvite: 1, callAccept: 0, callReject: 0, callJoin: 0, callQuit: 0, callEnd: 0 };

/** What a snippet did: the commands that it gave, and what its handlers were called with. */
class Run {
  commands = [];
  handled = [];
  #looking = new Set();

  add(list, entry) {
    list.push(entry);
    for (const look of [...this.#looking]) look();
  }

  /** The result of its nth command, once it was given and has one. */
  async result(n = 0) {
    await this.#until(() => this.commands.length > n);
    return this.commands[n].promise;
  }

  /** What a handler of its was called with: the first about which `holds`. */
  async call(holds = () => true) {
    await this.#until(() => this.handled.some(holds));
    return this.handled.find(holds);
  }

  #until(holds) {
    if (holds()) return Promise.resolve();
    return new Promise((resolve) => {
      const look = () => {
        if (!holds()) return;
        this.#looking.delete(look);
        resolve();
      };
      this.#looking.add(look);
    });
  }
}

/** `ids`: the call, and users for where a snippet names none. */
function run(snippet, zim, ids = {}) {
  const done = new Run();
  const provided = new Proxy(zim, {
    get(target, name) {
      const member = target[name];
      if (name === 'on') {
        return (event, listener) =>
          member.call(target, event, (from, info) => {
            assert.equal(from, zim, 'a handler gets the instance');
            listener(from, info);
            // Not reached if the snippet's handler throws.
            done.add(done.handled, info);
          });
      }
      if (typeof member !== 'function') return member;
      return (...given) => {
        const args = [...given];
        if (args[USERS_AT[name]]?.length === 0) args[USERS_AT[name]] = ids.users;
        if (PLACEHOLDERS.has(args[CALL_AT[name]])) args[CALL_AT[name]] = ids.callID;
        const promise = member.apply(target, args);
        // The snippet has its own `catch`; this one is for who looks here.
        promise.catch(() => {});
        done.add(done.commands, { name, args, config: args.at(-1), promise });
        return promise;
      };
    },
  });
  vm.runInNewContext(snippet, { zim: provided, console, ...ids });
  return done;
}

/** What a snippet is about: the event that it listens to or the command that it gives, and what sets it apart from
 * others of the same. */
function subject(snippet) {
  const [, method, event] = /zim\.(\w+)\((?:'(\w+)')?/.exec(snippet);
  const state = /state == (\d)/.exec(snippet);
  if (method === 'on') return state ? `${event} ${state[1]}` : event;
  if (/enableNotReceivedCheck/.test(snippet)) return `${method} checked`;
  if (/pushConfig/.test(snippet)) return `${method} with push`;
  if (/mode: *1/.test(snippet)) return `${method} advanced`;
  return method;
}

/** Snippets by what they are about; each is about something else. */
function catalogue(list) {
  const all = new Map(list.map((snippet) => [subject(snippet), snippet]));
  assert.equal(all.size, list.length, 'two snippets are about the same');
  return all;
}

module.exports = { catalogue, run };
