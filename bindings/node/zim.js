'use strict';
// ZIM: one user on one device, with the names of the document that the engine implements.

const { Conversation } = require('./conversation.js');
const { ZIMConnectionEvent, ZIMConnectionState, ZIMErrorCode } = require('./enums.js');
const { ZIMError, closed, described, invalid, tooMany } = require('./errors.js');
const native = require('./offhook.node');
const { isPlain, legible, serialize } = require('./plain.js');

/** How long login waits to hear whether the server takes the user. */
const LOGIN_WAIT_MS = 5000;
/** Requests that wait for a login behind a logout; as many as then wait for the engine. */
const REQUESTS_BEHIND_MAX = 1000;

const EVENTS = new Set([
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
  'error',
]);

let latest = null;

class ZIM {
  #config;
  #handlers = new Map();
  #conversation = null;
  /** The one that was given up last, which may still be closing. */
  #left = null;
  /** The login that waits until that one has closed; its `over` is fulfilled then. */
  #next = null;
  #user = null;
  #database = null;
  #destroyed = false;
  #unref = false;

  static create(config) {
    latest = new ZIM(config);
    return latest;
  }

  static getInstance() {
    return latest;
  }

  static getVersion() {
    return native.version();
  }

  constructor(config) {
    if (!isPlain(config)) throw invalid('config', 'is not a plain object');
    for (const name of ['server', 'database']) {
      if (config[name] === undefined) throw invalid(name, 'is missing');
    }
    this.#config = { ...config };
    // What is private is not to be reached through a Proxy, so methods go by this and not by what they are called on.
    for (const name of Object.getOwnPropertyNames(ZIM.prototype)) {
      if (name === 'constructor') continue;
      Object.defineProperty(this, name, { value: this[name].bind(this), configurable: true, writable: true });
    }
  }

  on(type, listener) {
    if (!EVENTS.has(type)) throw invalid('type', `there is no event ${described(type)}`);
    if (typeof listener !== 'function') throw invalid('listener', 'is not a function');
    if (this.#destroyed) return;
    const listeners = this.#handlers.get(type);
    if (listeners === undefined) this.#handlers.set(type, new Set([listener]));
    else listeners.add(listener);
  }

  off(type, listener) {
    if (listener === undefined) this.#handlers.delete(type);
    else this.#handlers.get(type)?.delete(listener);
  }

  async login(user, config) {
    if (this.#destroyed) throw closed();
    if (this.#conversation !== null || this.#next !== null) {
      const message = `${this.#user} is logged in; log out first`;
      throw new ZIMError(ZIMErrorCode.CallModuleCommonError, 'WrongState', message, { reason: 'loggedIn' });
    }
    // Also as an object with the token beside it, as older programs do.
    const userID = typeof user === 'object' && user !== null ? user.userID : user;
    const login = typeof config === 'string' ? { token: config } : (config ?? {});
    if (!isPlain(login)) throw invalid('config', 'is not a plain object');
    const { token, isOfflineLogin = false, restore } = login;
    this.#user = userID;
    if (this.#left !== null && !this.#left.isEnded) {
      // Behind a logout: then the file is free and the server knows. Here and not in a method of its own, so that this
      // goes on before the requests that wait for the same.
      const turn = { over: this.#left.ended, requests: 0 };
      this.#next = turn;
      await turn.over;
      if (this.#next !== turn) throw closed();
      this.#next = null;
    }
    const { appID, database, ...rest } = this.#config;
    const conversation = new Conversation(
      {
        ...rest,
        user: userID,
        // An empty one is none: where the server trusts names there is nothing to give.
        token: token || undefined,
        database: typeof database === 'function' ? database(userID) : database,
        restore,
      },
      (name, params) => this.#hear(conversation, name, params),
    );
    if (this.#unref) conversation.unref();
    this.#conversation = conversation;
    const first = isOfflineLogin ? null : firstAnswer();
    conversation.onConnection = first?.hear;
    try {
      this.#database = await Promise.race([conversation.opened, conversation.over]);
      await Promise.race([first?.answer, conversation.over]);
    } catch (error) {
      // Else somebody closes it already.
      if (this.#conversation === conversation) await this.#leave().close().catch(() => {});
      throw error;
    } finally {
      first?.stop();
    }
    if (this.#conversation !== conversation) throw closed();
  }

  async logout() {
    await this.#leave()?.logout();
  }

  async destroy() {
    this.#destroyed = true;
    this.#handlers.clear();
    if (latest === this) latest = null;
    await this.#leave()?.close();
  }

  /** Nobody is logged in any more; gives the conversation that is to be closed, or is closing. */
  #leave() {
    this.#left = this.#conversation ?? this.#left;
    this.#conversation = null;
    this.#next = null;
    this.#user = null;
    return this.#left;
  }

  async renewToken(token) {
    await this.#request('renewToken', { token });
    return { token };
  }

  callInvite(invitees, config) {
    return this.#command('callInvite', { invitees }, config);
  }

  callCancel(invitees, callID, config) {
    return this.#command('callCancel', { invitees, callID }, config);
  }

  callAccept(callID, config) {
    return this.#command('callAccept', { callID }, config);
  }

  callReject(callID, config) {
    return this.#command('callReject', { callID }, config);
  }

  callingInvite(invitees, callID, config) {
    return this.#command('callingInvite', { invitees, callID }, config);
  }

  callJoin(callID, config) {
    return this.#command('callJoin', { callID }, config);
  }

  callQuit(callID, config) {
    return this.#command('callQuit', { callID }, config);
  }

  callEnd(callID, config) {
    return this.#command('callEnd', { callID }, config);
  }

  queryCallInvitationList(config) {
    return this.#request('queryCallInvitationList', { config });
  }

  pending() {
    return this.#request('pending');
  }

  ringing() {
    return this.#request('ringing');
  }

  status() {
    return this.#request('status', {}, withEpoch);
  }

  eventsSince(position, limit) {
    return this.#request('eventsSince', { position, limit });
  }

  async acknowledge(position) {
    await this.#request('acknowledge', { position });
  }

  markSeen(callIDs) {
    return this.#request('markSeen', { callIDs });
  }

  storage() {
    return this.#request('storage');
  }

  compact() {
    return this.#request('compact');
  }

  backup(path) {
    return this.#request('backup', { path });
  }

  handlePush(payload) {
    return this.#request('handlePush', { payload });
  }

  async setNetwork(online) {
    await this.#request('setNetwork', { online });
  }

  async networkChanged() {
    await this.#request('networkChanged');
  }

  async pause() {
    await this.#request('pause');
  }

  async resume() {
    await this.#request('resume');
  }

  inspectPath() {
    return this.#database;
  }

  ref() {
    this.#unref = false;
    this.#conversation?.ref();
    return this;
  }

  unref() {
    this.#unref = true;
    this.#conversation?.unref();
    return this;
  }

  async #command(method, params, config) {
    const given = legible('config', () => {
      if (!isPlain(config)) return { config };
      const { wait, ...rest } = config;
      return { config: rest, wait };
    });
    return this.#request(method, { ...params, ...given });
  }

  async #request(method, params, read) {
    const turn = this.#next;
    if (turn !== null) {
      // Not before the login that was asked for before; as it is given now.
      turn.requests += 1;
      if (turn.requests > REQUESTS_BEHIND_MAX) throw tooMany();
      params = JSON.parse(serialize(params ?? {}, 'params'));
      await turn.over;
    }
    if (this.#destroyed) throw closed();
    if (this.#conversation === null) {
      const message = 'nobody is logged in; call login first';
      throw new ZIMError(ZIMErrorCode.NetworkModuleUserIsNotLogged, 'NotLoggedIn', message, {
        reason: 'login',
        retryable: true,
      });
    }
    return this.#conversation.request(method, params, read);
  }

  #hear(conversation, name, params) {
    // Of one that is closing too: that the user is logged out is heard. What an earlier one still says is in the
    // journal for the next.
    if (conversation !== (this.#conversation ?? this.#left)) return;
    if (name === 'connectionStateChanged') conversation.onConnection?.(params);
    this.#emit(name, params);
  }

  #emit(name, params) {
    // Those who listened when it happened, whatever the handlers do meanwhile.
    const listeners = [...(this.#handlers.get(name) ?? [])];
    const last = listeners.at(-1);
    for (const listener of listeners) {
      // By the one before: then nobody hears any more.
      if (this.#destroyed) return;
      try {
        // To each their own: what one does to it is nothing to the others.
        const own = listener === last || name === 'error' ? params : structuredClone(params);
        const result = listener(this, own);
        if (typeof result?.then === 'function') result.then(undefined, (error) => this.#failed(name, error));
      } catch (error) {
        this.#failed(name, error);
      }
    }
  }

  /** A handler threw: the others and the process go on, and whoever listens to `error` hears of it. */
  #failed(name, cause) {
    if (name === 'error' || !this.#handlers.get('error')?.size) {
      logFailure(name, cause);
      return;
    }
    const message = `a handler of ${name} failed: ${described(cause)}`;
    const error = new ZIMError(ZIMErrorCode.EngineInternal, 'HandlerFailed', message, { reason: name });
    error.cause = cause;
    this.#emit('error', error);
  }
}

/** The epoch has up to 64 bits, more than a number is exact for, so it is taken from the text. There it cannot be
 * mistaken: within a string its quotes would be escaped. */
function withEpoch(status, line) {
  return { ...status, epoch: /"epoch":(\d+)/.exec(line)[1] };
}

/** `answer` is fulfilled once the server knows the user, or cannot be reached for now: then commands wait. It is
 * rejected if the server does not take the user, which waiting cannot heal. */
function firstAnswer() {
  let timer;
  let hear;
  const answer = new Promise((resolve, reject) => {
    // Whether the process is kept alive is the conversation's affair.
    timer = setTimeout(resolve, LOGIN_WAIT_MS).unref();
    hear = ({ state, event, extendedData }) => {
      const { Connecting } = ZIMConnectionState;
      if (state === Connecting && event === ZIMConnectionEvent.ActiveLogin) return;
      if (event === ZIMConnectionEvent.TokenExpired) reject(notTaken(extendedData));
      else resolve();
    };
  });
  // It may come after another reason to give up.
  answer.catch(() => {});
  return { answer, hear, stop: () => clearTimeout(timer) };
}

/** The refusal of a token; the server's word begins with the code, its farewell when one runs out does not. */
function notTaken(why) {
  const [, code, message] = /^(\d+) \w+: (.*)$/s.exec(why) ?? [null, ZIMErrorCode.NetworkModuleTokenExpired, why];
  return Number(code) === ZIMErrorCode.NetworkModuleTokenInvalid
    ? new ZIMError(ZIMErrorCode.NetworkModuleTokenInvalid, 'TokenInvalid', message, { reason: 'token' })
    : new ZIMError(ZIMErrorCode.NetworkModuleTokenExpired, 'TokenExpired', message, { reason: 'token' });
}

function logFailure(name, cause) {
  try {
    console.error(`a handler of ${name} failed:`, cause);
  } catch {
    try {
      console.error(`a handler of ${name} failed:`, described(cause));
    } catch {
      // The app's own console throws: then there is nobody to tell, and the other handlers are not to pay for it.
    }
  }
}

module.exports = { ZIM };
