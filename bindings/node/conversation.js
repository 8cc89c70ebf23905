'use strict';
// A conversation with one engine: requests out, replies and events in, all as JSON-RPC lines through the
// native module. Replies and events come in the order in which they happened.

const { Conversation: Native } = require('./offhook.node');
const { ZIMErrorCode } = require('./enums.js');
const { closed, invalid, refused, tooMany } = require('./errors.js');
const { LINE_BYTES_MAX, serialize } = require('./plain.js');

/** The longest that a timer can be set to. */
const LONG_MS = 0x7fffffff;

class Conversation {
  #native;
  #hear;
  #waiting = new Map();
  #next = 1;
  /** Keeps the process alive: the native module itself does not, so that whoever wants may end. */
  #alive;
  #closing = null;
  #over;
  /** Whether nothing is heard of it any more and the database is closed; `ended` is fulfilled then. */
  isEnded = false;
  #ended;

  /** `hear` gets name and fields of each event and must not throw. */
  constructor(config, hear) {
    this.#hear = hear;
    /** Fulfilled with the path of the database once the engine is open. */
    this.opened = new Promise((resolve, reject) => {
      this.#waiting.set(0, { resolve: ({ database }) => resolve(database), reject });
    });
    this.opened.catch(() => this.#end());
    /** Rejected as soon as the conversation begins to end. */
    this.over = new Promise((_, reject) => (this.#over = () => reject(closed())));
    this.over.catch(() => {});
    this.ended = new Promise((resolve) => (this.#ended = resolve));
    this.#native = new Native(serialize(config, 'config'), (line) => this.#take(line));
    this.#alive = setInterval(() => {}, LONG_MS);
  }

  /** Has the engine asked; the order of requests is kept. `read` makes of the result, and of the line that it came
   * in, what is given. */
  request(method, params = {}, read = undefined) {
    return this.#ask(method, params, (line) => this.#native.send(line), read);
  }

  #ask(method, params, send, read = (result) => result) {
    return new Promise((resolve, reject) => {
      if (this.#native === null) throw closed();
      const id = this.#next;
      const line = `{"jsonrpc":"2.0","id":${id},"method":"${method}","params":${serialize(params, 'params')}}`;
      if (Buffer.byteLength(line) > LINE_BYTES_MAX) {
        throw invalid('params', `has more than ${LINE_BYTES_MAX} bytes`);
      }
      if (!send(line)) {
        if (this.#closing !== null) throw closed();
        throw tooMany();
      }
      this.#next += 1;
      this.#waiting.set(id, { resolve: (result, line) => resolve(read(result, line)), reject });
    });
  }

  /** The app goes away, which is not a logout. Whoever still waits for a verdict is told that it is closed; the
   * verdict itself will be in the journal. */
  close() {
    this.#closing ??= this.#close('shutdown');
    return this.#closing;
  }

  /** The same, once the server knows that the user is logged out here. */
  logout() {
    this.#closing ??= this.#close('logout', 'shutdown');
    return this.#closing;
  }

  async #close(...methods) {
    this.#over();
    if (this.#native === null) return;
    try {
      // There is room for these, however many requests wait.
      const asked = methods.map((method) => this.#ask(method, {}, (line) => this.#native.sendLast(line)));
      for (const { reason } of await Promise.allSettled(asked)) {
        if (reason !== undefined && reason.code !== ZIMErrorCode.EngineClosed) throw reason;
      }
    } finally {
      this.#end();
    }
  }

  ref() {
    this.#alive.ref();
  }

  unref() {
    this.#alive.unref();
  }

  #end() {
    this.#over();
    clearInterval(this.#alive);
    this.#native = null;
    this.isEnded = true;
    this.#ended();
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(closed());
  }

  #take(line) {
    const { id, method, params, result, error } = JSON.parse(line);
    if (method !== undefined) {
      this.#hear(method, params);
      return;
    }
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    if (error === undefined) waiting.resolve(result, line);
    else waiting.reject(refused(error));
  }
}

module.exports = { Conversation };
