'use strict';
// ZIM: one user on one device, with the names of the document that the engine implements.

const { Conversation, ZIMError, closed, invalid } = require('./conversation.js');
const { ZIMConnectionEvent, ZIMConnectionState, ZIMErrorCode } = require('./enums.js');
const native = require('./offhook.node');

/** How long login waits to hear whether the server takes the user. */
const LOGIN_WAIT_MS = 5000;

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
  'error',
]);

let latest = null;

class ZIM {
  #config;
  #handlers = new Map();
  #conversation = null;
  #user = null;
  #database = null;
  #destroyed = false;
  #unref = false;
  #onConnection = null;

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
    if (config === null || typeof config !== 'object') throw invalid('config', 'is not an object');
    for (const name of ['server', 'database']) {
      if (config[name] === undefined) throw invalid(name, 'is missing');
    }
    this.#config = { ...config };
  }

  on(type, listener) {
    if (!EVENTS.has(type)) throw invalid('type', `there is no event ${JSON.stringify(type)}`);
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
    if (this.#conversation !== null) {
      const message = `${this.#user} is logged in; log out first`;
      throw new ZIMError(ZIMErrorCode.CallModuleCommonError, 'WrongState', message, { reason: 'loggedIn' });
    }
    // Also as an object with the token beside it, as older programs do.
    const userID = typeof user === 'object' && user !== null ? user.userID : user;
    const { token, isOfflineLogin = false } = typeof config === 'string' ? { token: config } : (config ?? {});
    const { appID, database, ...rest } = this.#config;
    const conversation = new Conversation(
      {
        ...rest,
        user: userID,
        // An empty one is none: where the server trusts names there is nothing to give.
        token: token || undefined,
        database: typeof database === 'function' ? database(userID) : database,
      },
      (name, params) => this.#hear(conversation, name, params),
    );
    if (this.#unref) conversation.unref();
    this.#user = userID;
    this.#conversation = conversation;
    const answer = isOfflineLogin ? null : this.#firstAnswer();
    try {
      this.#database = await conversation.opened;
      await answer;
    } catch (error) {
      if (this.#conversation === conversation) this.#conversation = null;
      await conversation.close().catch(() => {});
      throw error;
    }
    if (this.#conversation !== conversation) throw closed();
  }

  /** Fulfilled once the server knows the user, or cannot be reached for now: then commands wait. Rejected if the
   * server does not take the user, which waiting cannot heal. */
  #firstAnswer() {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, LOGIN_WAIT_MS);
      if (this.#unref) timer.unref();
      this.#onConnection = ({ state, event, extendedData }) => {
        const { Connecting, Connected } = ZIMConnectionState;
        if (state === Connecting && event === ZIMConnectionEvent.ActiveLogin) return;
        clearTimeout(timer);
        this.#onConnection = null;
        if (state === Connected) resolve();
        else if (event === ZIMConnectionEvent.TokenExpired) reject(notTaken(extendedData));
        else resolve();
      };
    });
  }

  async logout() {
    const conversation = this.#taken();
    if (conversation === null) return;
    try {
      await conversation.request('logout');
    } finally {
      await conversation.close();
    }
  }

  async destroy() {
    const conversation = this.#taken();
    this.#destroyed = true;
    this.#handlers.clear();
    if (latest === this) latest = null;
    await conversation?.close();
  }

  #taken() {
    const conversation = this.#conversation;
    this.#conversation = null;
    this.#user = null;
    return conversation;
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
    return this.#request('status');
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

  #command(method, params, config) {
    if (config === null || typeof config !== 'object') return this.#request(method, { ...params, config });
    const { wait, ...rest } = config;
    return this.#request(method, { ...params, config: rest, wait });
  }

  async #request(method, params) {
    if (this.#destroyed) throw closed();
    if (this.#conversation === null) {
      const message = 'nobody is logged in; call login first';
      throw new ZIMError(ZIMErrorCode.NetworkModuleUserIsNotLogged, 'NotLoggedIn', message, {
        reason: 'login',
        retryable: true,
      });
    }
    return this.#conversation.request(method, params);
  }

  #hear(conversation, name, params) {
    // What a conversation that was given up still says is in the journal for the next.
    if (conversation !== this.#conversation) return;
    if (name === 'connectionStateChanged') this.#onConnection?.(params);
    this.#emit(name, params);
  }

  #emit(name, params) {
    // Those who listened when it happened, whatever the handlers do meanwhile.
    for (const listener of [...(this.#handlers.get(name) ?? [])]) {
      try {
        const result = listener(this, params);
        if (typeof result?.then === 'function') result.then(undefined, (error) => this.#failed(name, error));
      } catch (error) {
        this.#failed(name, error);
      }
    }
  }

  /** A handler threw: the others and the process go on, and whoever listens to `error` hears of it. */
  #failed(name, cause) {
    if (name === 'error' || !this.#handlers.get('error')?.size) {
      console.error(`a handler of ${name} failed:`, cause);
      return;
    }
    const message = `a handler of ${name} failed: ${cause?.message ?? cause}`;
    const error = new ZIMError(ZIMErrorCode.EngineInternal, 'HandlerFailed', message, { reason: name });
    error.cause = cause;
    this.#emit('error', error);
  }
}

function notTaken(message) {
  const expired = /expired/.test(message);
  return expired
    ? new ZIMError(ZIMErrorCode.NetworkModuleTokenExpired, 'TokenExpired', message, { reason: 'token' })
    : new ZIMError(ZIMErrorCode.NetworkModuleTokenInvalid, 'TokenInvalid', message, { reason: 'token' });
}

module.exports = { ZIM };
