// The whole surface of the package, typed by hand. Names and numbers are those of the document that the
// engine implements; what is beyond it is marked so. Times are milliseconds since 1970 in UTC on the server's
// clock, 0 where there is none; durations say their unit.

// ---------------------------------------------------------------- enumerations

/** What a user is to a call. A value that a newer server sends is told as Unknown. */
export declare enum ZIMCallUserState {
  Unknown = -1,
  /** Asked; no device of theirs has said that it has the invitation. */
  Inviting = 0,
  /** In the call. The creator is from the start. */
  Accepted = 1,
  Rejected = 2,
  Cancelled = 3,
  /** Reserved; never told. */
  Offline = 4,
  /** A device of theirs has the invitation on disk. */
  Received = 5,
  Timeout = 6,
  Quit = 7,
  /** Reserved; never told. */
  Ended = 8,
  /** With `enableNotReceivedCheck`: no device of theirs could be reached for 5 s. */
  NotYetReceived = 9,
  /** Reserved; never told. */
  BeCancelled = 10,
}

/** Whether a call goes on. */
export declare enum ZIMCallState {
  Unknown = -1,
  Started = 1,
  Ended = 2,
}

/** General calls end when all have answered; advanced ones go on until they are ended. */
export declare enum ZIMCallInvitationMode {
  Unknown = -1,
  General = 0,
  Advanced = 1,
}

export declare enum ZIMConnectionState {
  Disconnected = 0,
  Connecting = 1,
  Connected = 2,
  Reconnecting = 3,
}

/** Why the connection state changed. */
export declare enum ZIMConnectionEvent {
  Success = 0,
  ActiveLogin = 1,
  LoginTimeout = 2,
  LoginInterrupted = 3,
  /** The user logged in on too many devices; this one does not come back by itself. */
  KickedOut = 4,
  /** The token ran out or is not valid; `renewToken` heals it. */
  TokenExpired = 5,
  /** Reserved; never told. */
  Unregistered = 6,
}

/** Apple's kinds of a caller's handle. */
export declare enum ZIMCXHandleType {
  Generic = 1,
  PhoneNumber = 2,
  EmailAddress = 3,
}

/** Why something was refused. */
export declare enum ZIMErrorCode {
  /** Reserved; nothing is rejected with it. */
  Success = 0,
  /** Reserved; nothing is rejected with it. */
  Failed = 1,
  /** A parameter is malformed, missing, out of range, empty or too long; `reason` names it. */
  CommonModuleParamsInvalid = 6000001,
  /** This app asks too much at a time. */
  CommonModuleTriggerSDKFrequencyLimit = 6000004,
  /** The server has too much to do. */
  CommonModuleTriggerServerFrequencyLimit = 6000005,
  /** The connection was lost. */
  CommonModuleIMServerDisconnect = 6000009,
  NetworkModuleTokenInvalid = 6000103,
  NetworkModuleNetworkError = 6000104,
  NetworkModuleRequestTimeout = 6000105,
  NetworkModuleTokenExpired = 6000106,
  NetworkModuleUserIsNotLogged = 6000121,
  /** Refused in this state; `reason` says which: state, inCall, glare, answered, superseded. */
  CallModuleCommonError = 6000270,
  /** The cancel is refused: there was an answer. */
  CallModuleCancelError = 6000271,
  /** Too many invitees, or the call would exceed its members. */
  CallModuleServerError = 6000272,
  /** Only who invited may cancel. */
  CallModuleIsNotInvitor = 6000273,
  /** Not an invitee or member of this call. */
  CallModuleIsNotInvitee = 6000274,
  CallModuleAlreadyExists = 6000275,
  /** No such call, or it has ended, or the invitation is over. */
  CallModuleDoesNotExist = 6000276,
  CallModuleInviteUserDoesNotExist = 6000281,
  /** This device is the primary device already. */
  CallModuleUserAlreadyInTheCall = 6000283,
  /** The command needs an advanced call. */
  CallModuleNeedsAdvancedMode = 6000286,
  /** Beyond: it could mean nothing any more and was not sent, or came too late. */
  CommandExpired = 6100001,
  /** Beyond: the invite was cancelled before it was sent. */
  CommandWithdrawn = 6100002,
  /** Beyond: what became of the command cannot be known. */
  CommandOutcomeUnknown = 6100003,
  /** Beyond: the database got a new identity, and its unsettled commands were given up. */
  CommandDropped = 6100004,
  DatabaseDiskFull = 6100011,
  DatabaseReadOnly = 6100012,
  DatabaseCorrupt = 6100013,
  DatabaseNewerVersion = 6100014,
  DatabaseInUse = 6100015,
  /** Beyond: paused, destroyed, or closed meanwhile. */
  EngineClosed = 6100021,
  /** Beyond: a defect of the engine, or a handler that threw. */
  EngineInternal = 6100022,
}

// ---------------------------------------------------------------- errors

/** What went wrong, as programs write it down: a `{ code, message }` that an app makes itself is one too. */
export interface ZIMError {
  /** Stable. */
  code: ZIMErrorCode;
  /** One sentence: the thing, the value and the way out. */
  message: string;
  /** The stable name of the code: `InvalidParameter`, `CallOver`, … */
  name?: string;
  /** The reason within the code, stable: `inCall`, `superseded`, … or the name of the parameter. */
  reason?: string;
  /** Whether the same again may be accepted later. */
  retryable?: boolean;
  /** The call that blocks (`inCall`, `glare`). */
  callID?: string;
  /** The state that refuses (`state`) or that won (`answered`). */
  state?: ZIMCallUserState;
  /** The device that won (`answered`). */
  deviceID?: string;
  stack?: string;
}

/** Beyond: what promises are rejected with in fact, and what is an `instanceof ZIMError`. */
export interface ZIMRejection extends Error, ZIMError {
  code: ZIMErrorCode;
  name: string;
  message: string;
  reason: string;
  retryable: boolean;
  stack?: string;
}

/** Beyond: for `instanceof`. */
export interface ZIMErrorClass extends Function {
  readonly prototype: ZIMRejection;
}

/** Beyond: the class of what promises are rejected with. Only the package makes instances. */
export declare const ZIMError: ZIMErrorClass;

/** An invitee who was not invited, and the code that says why. */
export interface ZIMErrorUserInfo {
  userID: string;
  reason: number;
}

// ---------------------------------------------------------------- configuration

/** What an instance is created with. */
export interface ZIMAppConfig {
  /** The signalling server, as `host:port`. */
  server: string;
  /** The database file of the user on this device, made if it is not there; or which one a user has. One file is
   * one user's. */
  database: string | ((userID: string) => string);
  /** The certificates to trust, as the path of a PEM file; without `ca`, `caText` and `pin` the public
   * authorities. */
  ca?: string;
  /** The same, as text. */
  caText?: string;
  /** Exactly one certificate: the SHA-256 of the server's own, as 64 hexadecimal digits. */
  pin?: string;
  /** The name that the server's certificate is to have; the host of `server` unless given. */
  serverName?: string;
  /** How many seconds an invite or join waits for a connection; 30 unless given, 0 = fails at once. */
  wait?: number;
  /** `low`: as little memory as does the work. */
  memory?: 'normal' | 'low';
  /** The name of the app's build, for the server's log. */
  build?: string;
  /** How much the database keeps. */
  retention?: ZIMRetention;
  /** Taken and not used: there is one server, and it is named above. */
  appID?: number;
}

/** Beyond: what a database keeps; what is beyond it goes in the background. Nothing goes that goes on, waits, rings or
 * was missed and not seen. */
export interface ZIMRetention {
  /** Calls, the newest; 1,000,000 unless given. */
  callsKept?: number | 'all';
  /** Days that a call is kept after its end; `forever` unless given. */
  callsKeptDays?: number | 'forever';
  /** Events that were acknowledged; 10,000 unless given. */
  eventsKept?: number;
  /** Events at all, for an app that never acknowledges; 100,000 unless given, at least 1,000. */
  eventsUnacknowledgedKept?: number;
}

export interface ZIMUserInfo {
  /** 1 to 32 bytes. */
  userID: string;
  /** Taken and not used, as what follows: profiles are the app's. */
  userName?: string;
  userAvatarUrl?: string;
  userExtendedData?: string;
}

export interface ZIMLoginConfig {
  /** Proof of who the user is; empty where the server trusts names. */
  token?: string;
  /** Do not wait for the server at all: the promise is fulfilled once the database is open. */
  isOfflineLogin?: boolean;
  /** Beyond: the path of a copy that `backup` made, to be put where the database is to be; nothing may be there yet.
   * It becomes another device, and what waited in it is given up. */
  restore?: string;
  /** Taken and not used: names are the app's. */
  userName?: string;
  /** Taken and not used: there is no presence for others to see. */
  customStatus?: string;
  /** Taken and not used. */
  customStatusDuration?: number;
}

export interface ZIMVoIPConfig {
  iOSVoIPHandleType: ZIMCXHandleType;
  iOSVoIPHandleValue: string;
  iOSVoIPHasVideo: boolean;
}

/** For the push that invitees without a connected device get; all of it is optional. */
export interface ZIMPushConfig {
  title?: string;
  content?: string;
  payload?: string;
  /** At most 32 bytes. */
  resourcesID?: string;
  threadID?: string;
  enableBadge?: boolean;
  badgeIncrement?: number;
  voIPConfig?: ZIMVoIPConfig;
}

export interface ZIMCallInviteConfig {
  /** Seconds that it rings, 1 to 600; 90 unless given. */
  timeout?: number;
  /** General unless given. */
  mode?: ZIMCallInvitationMode;
  /** At most 2,048 bytes. */
  extendedData?: string;
  /** Tell as NotYetReceived who could not be reached for 5 s. */
  enableNotReceivedCheck?: boolean;
  pushConfig?: ZIMPushConfig;
}

export interface ZIMCallingInviteConfig {
  /** Seconds; the call's own unless given. */
  timeout?: number;
  /** The call's own unless given. */
  extendedData?: string;
  pushConfig?: ZIMPushConfig;
}

export interface ZIMCallCancelConfig {
  extendedData?: string;
  pushConfig?: ZIMPushConfig;
}

export interface ZIMCallAcceptConfig {
  extendedData?: string;
}

export interface ZIMCallRejectConfig {
  extendedData?: string;
}

export interface ZIMCallJoinConfig {
  extendedData?: string;
}

export interface ZIMCallQuitConfig {
  extendedData?: string;
  pushConfig?: ZIMPushConfig;
}

export interface ZIMCallEndConfig {
  extendedData?: string;
  pushConfig?: ZIMPushConfig;
}

export interface ZIMCallInvitationQueryConfig {
  /** Calls a page, 20 unless given; more than 100 is read as 100. */
  count?: number;
  /** 0 for the first page; then what the page before gave. */
  nextFlag?: number;
  /** Beyond: only calls in that state. */
  state?: ZIMCallState;
  /** Beyond: only missed ones, or only others. */
  missed?: boolean;
  /** Beyond: only calls with that user. */
  with?: string;
  /** Beyond: only calls created at that time or later. */
  since?: number;
}

/** Beside a command's config: `disk` answers as soon as the command is on disk, `verdict` when the server has
 * decided. */
export interface ZIMWaitFor<Wait extends 'disk' | 'verdict'> {
  wait: Wait;
}

/** Beside a command's config: answer as soon as the command is on disk. */
export type ZIMWaitDisk = ZIMWaitFor<'disk'>;

/** Beside a command's config: answer when the server has decided, which is so unless given. */
export type ZIMWaitVerdict = Partial<ZIMWaitFor<'verdict'>>;

// ---------------------------------------------------------------- results

/** Somebody in a call. */
export interface ZIMCallUserInfo {
  userID: string;
  state: ZIMCallUserState;
  /** What they gave along with their last accept, reject, join or quit, or what cancelled them. */
  extendedData: string;
}

export interface ZIMCallInvitationSentResult {
  /** The call. */
  callID: string;
  /** Seconds. */
  timeout: number;
  /** Who could not be invited. */
  errorUserList: ZIMErrorUserInfo[];
  /** The same users in the older shape. */
  errorInvitees: ZIMCallUserInfo[];
}

export interface ZIMCallingInvitationSentResult {
  callID: string;
  errorUserList: ZIMErrorUserInfo[];
}

export interface ZIMCallCancelSentResult {
  callID: string;
  /** Who could not be cancelled. */
  errorInvitees: string[];
}

export interface ZIMCallAcceptanceSentResult {
  callID: string;
}

export interface ZIMCallRejectionSentResult {
  callID: string;
}

export interface ZIMCallJoinSentResult {
  callID: string;
  extendedData: string;
  createTime: number;
  joinTime: number;
  callUserList: ZIMCallUserInfo[];
}

export interface ZIMCallQuitSentResult {
  callID: string;
  createTime: number;
  acceptTime: number;
  quitTime: number;
}

export interface ZIMCallEndSentResult {
  callID: string;
  createTime: number;
  acceptTime: number;
  endTime: number;
}

/** A call of the list. */
export interface ZIMCallInfo {
  callID: string;
  caller: string;
  inviter: string;
  createTime: number;
  /** 0 while it goes on. */
  endTime: number;
  state: ZIMCallState;
  mode: ZIMCallInvitationMode;
  extendedData: string;
  callUserList: ZIMCallUserInfo[];
  /** Beyond: the user was invited, it is over, and no device of theirs answered. */
  missed: boolean;
  /** Beyond: commands about it that have no verdict yet. */
  pending: ZIMPendingCommand[];
}

export interface ZIMCallInvitationListQueriedResult {
  /** Newest first. */
  callList: ZIMCallInfo[];
  /** For the next page; 0 when there is none. */
  nextFlag: number;
  /** Beyond, on the first page: commands without a verdict, invites that the server has not taken yet among
   * them. */
  pending?: ZIMPendingCommand[];
}

export interface ZIMTokenRenewedResult {
  token: string;
}

/** Beyond: a command that is on disk. Its verdict comes as `commandSettled`. */
export interface ZIMCommandQueued {
  callID: string;
  /** The command's identity. */
  op: string;
  pending: true;
}

/** Beyond: what a command is answered with, by what it waits for. */
export type ZIMAnswer<Wait extends 'disk' | 'verdict', Result> = Wait extends 'disk' ? ZIMCommandQueued : Result;

/** The commands by name. */
export type ZIMCommandName =
  | 'callInvite'
  | 'callCancel'
  | 'callAccept'
  | 'callReject'
  | 'callingInvite'
  | 'callJoin'
  | 'callQuit'
  | 'callEnd';

/** Beyond: a command without a verdict. */
export interface ZIMPendingCommand {
  op: string;
  callID: string;
  command: ZIMCommandName;
  /** What it was given, as its method takes it. */
  params: { callID?: string; invitees?: string[]; config?: Record<string, unknown> };
  queuedAt: number;
  /** When it ends unsent; 0 = never. */
  expiresAt: number;
  sent: boolean;
  attempts: number;
  /** Why it failed last. */
  lastError: string | null;
}

/** Beyond: an invitation that rings on this device. */
export interface ZIMRing {
  callID: string;
  inviter: string;
  caller: string;
  mode: ZIMCallInvitationMode;
  extendedData: string;
  deadline: number;
  /** Milliseconds. */
  remaining: number;
}

/** Beyond: how the engine is. */
export interface ZIMStatus {
  userID: string;
  deviceID: string;
  connection: {
    state: ZIMConnectionState;
    event: ZIMConnectionEvent;
    since: number;
    error: string | null;
  };
  /** Of the server's data: a whole number of up to 64 bits, as text in decimal, for which a JavaScript number would
   * not be exact. To compare; it has no order. */
  epoch: string;
  cursor: number;
  /** Milliseconds that the server's clock is ahead. */
  clockOffset: number;
  /** Milliseconds; 0 until measured. */
  rtt: number;
  /** Commands without a verdict. */
  pending: number;
  /** Missed calls that are unseen. */
  missed: number;
  /** The database's version. */
  schema: number;
  version: string;
}

/** Beyond: what the database takes on disk. */
export interface ZIMStorage {
  /** The file. */
  bytes: number;
  /** What of it is free, for what comes. */
  freeBytes: number;
  /** The log beside it. */
  walBytes: number;
}

/** Beyond: an entry of the journal. */
export type ZIMJournalEntry = {
  [K in ZIMJournaledEvent]: {
    position: number;
    name: K;
    params: Parameters<ZIMEventHandler[K]>[1];
  };
}[ZIMJournaledEvent];

/** Beyond: events of the journal. */
export interface ZIMEventsSinceResult {
  /** Oldest first. */
  events: ZIMJournalEntry[];
  more: boolean;
}

// ---------------------------------------------------------------- events

/** Beyond: where an event stands in the journal; strictly increasing, never used again. Absent in what
 * `eventsSince` gives, where it is beside the fields. */
export interface ZIMPositioned {
  position?: number;
}

export interface ZIMEventOfCallInvitationCreatedResult extends ZIMPositioned {
  callID: string;
  mode: ZIMCallInvitationMode;
  caller: string;
  extendedData: string;
  /** Seconds. */
  timeout: number;
  createTime: number;
  callUserList: ZIMCallUserInfo[];
}

export interface ZIMEventOfCallInvitationReceivedResult extends ZIMPositioned {
  callID: string;
  mode: ZIMCallInvitationMode;
  caller: string;
  inviter: string;
  extendedData: string;
  /** Seconds, on the whole. */
  timeout: number;
  createTime: number;
  callUserList: ZIMCallUserInfo[];
  /** Beyond: when it is over. */
  deadline: number;
  /** Beyond: how many milliseconds of it are left when this is told. */
  remaining: number;
  /** Beyond: set by `eventsSince` when it rings no more. */
  over?: boolean;
}

export interface ZIMEventOfCallInvitationCancelledResult extends ZIMPositioned {
  callID: string;
  mode: ZIMCallInvitationMode;
  inviter: string;
  extendedData: string;
}

export interface ZIMEventOfCallInvitationTimeoutResult extends ZIMPositioned {
  callID: string;
  mode: ZIMCallInvitationMode;
  /** Beyond: this device's own timer ended it, ahead of the server's word. */
  local?: boolean;
}

export interface ZIMEventOfCallInvitationEndedResult extends ZIMPositioned {
  callID: string;
  mode: ZIMCallInvitationMode;
  caller: string;
  /** Empty when the server ended it. */
  operatedUserID: string;
  extendedData: string;
  endTime: number;
}

export interface ZIMEventOfCallUserStateChangedResult extends ZIMPositioned {
  callID: string;
  /** Those who changed, and nobody else. */
  callUserList: ZIMCallUserInfo[];
}

export interface ZIMEventOfConnectionStateChangedResult {
  state: ZIMConnectionState;
  event: ZIMConnectionEvent;
  /** The reason in words; empty when all is well. */
  extendedData: string;
}

export interface ZIMEventOfTokenWillExpireResult {
  second: number;
}

/** Beyond: another device of the user's answered, or has the call. */
export interface ZIMEventOfCallHandledElsewhereResult extends ZIMPositioned {
  callID: string;
  state: ZIMCallUserState;
  deviceID: string;
}

/** Beyond: the call moved from this device to that one. */
export interface ZIMEventOfCallPrimaryDeviceChangedResult extends ZIMPositioned {
  callID: string;
  deviceID: string;
}

/** Beyond: a command that no promise waits for has its verdict: `result` or `error`. */
export interface ZIMEventOfCommandSettledResult extends ZIMPositioned {
  op: string;
  callID: string;
  command: ZIMCommandName;
  /** What the command's promise would have been fulfilled with. */
  result?: { callID: string; [field: string]: unknown };
  error?: {
    code: ZIMErrorCode;
    message: string;
    data: { name: string; reason: string; retryable: boolean; callID?: string; state?: ZIMCallUserState; deviceID?: string };
  };
}

/** Beyond: a damaged database was set aside and another one begun in its place; this device is another one since. */
export interface ZIMEventOfDatabaseSetAsideResult extends ZIMPositioned {
  /** Where the damaged one is. */
  path: string;
  /** Commands that were never sent and go on waiting. */
  pending: number;
  /** Commands that had been sent: the verdict of each, CommandOutcomeUnknown, follows. */
  ended: number;
  /** Commands that were found and could not be taken over. */
  lost: number;
}

/** What each event's handlers are called with. Of what happened each gets an object of its own. */
export interface ZIMEventHandler {
  /** A handler of another event threw, or its promise was rejected (`cause`). */
  error: (zim: ZIM, errorInfo: ZIMRejection) => void;
  connectionStateChanged: (zim: ZIM, data: ZIMEventOfConnectionStateChangedResult) => void;
  /** Time for `renewToken`. */
  tokenWillExpire: (zim: ZIM, data: ZIMEventOfTokenWillExpireResult) => void;
  /** The user made a call, on whichever device. */
  callInvitationCreated: (zim: ZIM, data: ZIMEventOfCallInvitationCreatedResult) => void;
  /** The user is being rung. */
  callInvitationReceived: (zim: ZIM, data: ZIMEventOfCallInvitationReceivedResult) => void;
  /** The invitation was taken back. */
  callInvitationCancelled: (zim: ZIM, data: ZIMEventOfCallInvitationCancelledResult) => void;
  /** The user's own invitation ran out. */
  callInvitationTimeout: (zim: ZIM, data: ZIMEventOfCallInvitationTimeoutResult) => void;
  /** The call is over. */
  callInvitationEnded: (zim: ZIM, data: ZIMEventOfCallInvitationEndedResult) => void;
  /** Members of a call changed. */
  callUserStateChanged: (zim: ZIM, data: ZIMEventOfCallUserStateChangedResult) => void;
  callHandledElsewhere: (zim: ZIM, data: ZIMEventOfCallHandledElsewhereResult) => void;
  callPrimaryDeviceChanged: (zim: ZIM, data: ZIMEventOfCallPrimaryDeviceChangedResult) => void;
  commandSettled: (zim: ZIM, data: ZIMEventOfCommandSettledResult) => void;
  databaseSetAside: (zim: ZIM, data: ZIMEventOfDatabaseSetAsideResult) => void;
}

/** Beyond: the events that the journal keeps until they are acknowledged. */
export type ZIMJournaledEvent = Exclude<
  keyof ZIMEventHandler,
  'error' | 'connectionStateChanged' | 'tokenWillExpire'
>;

// ---------------------------------------------------------------- the engine

/**
 * One user on one device.
 *
 * Every command is on disk before anything else happens to it, connected or not, has its effect exactly
 * once, and ends in a verdict. Its promise is for the verdict, however long that takes, or with
 * `wait: 'disk'` for the disk. A verdict comes before the events that it caused.
 *
 * Promises are rejected with a {@link ZIMError}, which is an `Error`. What is given is plain: objects that are instances
 * of a class, a `Map` for one, are refused by the name of the field.
 */
export declare class ZIM {
  private constructor();

  /** Another instance, which does nothing before it is logged in. There may be several. */
  static create(config: ZIMAppConfig): ZIM;
  /** The one created last, unless it was destroyed; else null. */
  static getInstance(): ZIM | null;
  /** The version of the engine. */
  static getVersion(): string;

  /**
   * Opens the user's database and connects.
   *
   * Fulfilled as soon as the server takes the user, or after 5 s without a word of it: from then on commands
   * wait, and the engine goes on trying. Rejected for what waiting cannot heal: a token that is not taken, a file
   * that cannot be used, a malformed parameter. Events may come before it is fulfilled.
   *
   * Right after `logout`, which need not be awaited for it, it begins once that is done; what is asked meanwhile waits.
   */
  login(userID: string, config?: ZIMLoginConfig): Promise<void>;
  /** The same, as older programs have it. */
  login(userInfo: ZIMUserInfo, token?: string): Promise<void>;
  /** Fulfilled once the server knows, or after 5 s; then and without a connection it holds for this device alone. Nothing
   * that is under way keeps it from beginning. */
  logout(): Promise<void>;
  /** A new token, for a connection that stands as well as for the next. */
  renewToken(token: string): Promise<ZIMTokenRenewedResult>;
  /** The app goes away, which is not a logout: the connection is closed in good order and the file too. What has no
   * verdict is rejected as closed, and is told by `commandSettled` in the journal of the next run. From now on no
   * handler is called. */
  destroy(): Promise<void>;

  /** Adds a handler; one that is added twice is called once. One that throws keeps no other from being called. */
  on<K extends keyof ZIMEventHandler>(type: K, listener: ZIMEventHandler[K]): void;
  /** Removes a handler, or without one all of that event. */
  off<K extends keyof ZIMEventHandler>(type: K, listener?: ZIMEventHandler[K]): void;

  /** Makes a call and rings 1 to 9 users. */
  callInvite<Wait extends 'disk' | 'verdict'>(
    invitees: string[],
    config: ZIMCallInviteConfig & ZIMWaitFor<Wait>,
  ): Promise<ZIMAnswer<Wait, ZIMCallInvitationSentResult>>;
  callInvite(invitees: string[], config?: ZIMCallInviteConfig & ZIMWaitVerdict): Promise<ZIMCallInvitationSentResult>;

  /** Takes invitations back; an empty list is the whole call. */
  callCancel<Wait extends 'disk' | 'verdict'>(
    invitees: string[],
    callID: string,
    config: ZIMCallCancelConfig & ZIMWaitFor<Wait>,
  ): Promise<ZIMAnswer<Wait, ZIMCallCancelSentResult>>;
  callCancel(
    invitees: string[],
    callID: string,
    config?: ZIMCallCancelConfig & ZIMWaitVerdict,
  ): Promise<ZIMCallCancelSentResult>;

  /** Answers with yes, and makes this the device that has the call. */
  callAccept<Wait extends 'disk' | 'verdict'>(
    callID: string,
    config: ZIMCallAcceptConfig & ZIMWaitFor<Wait>,
  ): Promise<ZIMAnswer<Wait, ZIMCallAcceptanceSentResult>>;
  callAccept(callID: string, config?: ZIMCallAcceptConfig & ZIMWaitVerdict): Promise<ZIMCallAcceptanceSentResult>;

  /** Answers with no. */
  callReject<Wait extends 'disk' | 'verdict'>(
    callID: string,
    config: ZIMCallRejectConfig & ZIMWaitFor<Wait>,
  ): Promise<ZIMAnswer<Wait, ZIMCallRejectionSentResult>>;
  callReject(callID: string, config?: ZIMCallRejectConfig & ZIMWaitVerdict): Promise<ZIMCallRejectionSentResult>;

  /** Rings more users in an advanced call that goes on. */
  callingInvite<Wait extends 'disk' | 'verdict'>(
    invitees: string[],
    callID: string,
    config: ZIMCallingInviteConfig & ZIMWaitFor<Wait>,
  ): Promise<ZIMAnswer<Wait, ZIMCallingInvitationSentResult>>;
  callingInvite(
    invitees: string[],
    callID: string,
    config?: ZIMCallingInviteConfig & ZIMWaitVerdict,
  ): Promise<ZIMCallingInvitationSentResult>;

  /** Comes into an advanced call, or moves it to this device. */
  callJoin<Wait extends 'disk' | 'verdict'>(
    callID: string,
    config: ZIMCallJoinConfig & ZIMWaitFor<Wait>,
  ): Promise<ZIMAnswer<Wait, ZIMCallJoinSentResult>>;
  callJoin(callID: string, config?: ZIMCallJoinConfig & ZIMWaitVerdict): Promise<ZIMCallJoinSentResult>;

  /** Leaves an advanced call. */
  callQuit<Wait extends 'disk' | 'verdict'>(
    callID: string,
    config: ZIMCallQuitConfig & ZIMWaitFor<Wait>,
  ): Promise<ZIMAnswer<Wait, ZIMCallQuitSentResult>>;
  callQuit(callID: string, config?: ZIMCallQuitConfig & ZIMWaitVerdict): Promise<ZIMCallQuitSentResult>;

  /** Ends an advanced call for all. */
  callEnd<Wait extends 'disk' | 'verdict'>(
    callID: string,
    config: ZIMCallEndConfig & ZIMWaitFor<Wait>,
  ): Promise<ZIMAnswer<Wait, ZIMCallEndSentResult>>;
  callEnd(callID: string, config?: ZIMCallEndConfig & ZIMWaitVerdict): Promise<ZIMCallEndSentResult>;

  /** A page of the user's calls, from the local database. */
  queryCallInvitationList(config?: ZIMCallInvitationQueryConfig): Promise<ZIMCallInvitationListQueriedResult>;

  // -------------------------------------------------------------- beyond the document

  /** Commands without a verdict, oldest first. */
  pending(): Promise<ZIMPendingCommand[]>;
  /** Invitations that ring on this device, the first to run out first. */
  ringing(): Promise<ZIMRing[]>;
  status(): Promise<ZIMStatus>;
  /** What the journal has after a position (0: from the beginning), at most `limit` (100 unless given). */
  eventsSince(position: number, limit?: number): Promise<ZIMEventsSinceResult>;
  /** The app has taken in all events up to a position; kept over restarts. */
  acknowledge(position: number): Promise<void>;
  /** Marks missed calls as seen, those named or all, on all of the user's devices. */
  markSeen(callIDs?: string[]): Promise<{ missed: number }>;
  /** What the database takes on disk. */
  storage(): Promise<ZIMStorage>;
  /** Gives back what is free in the database. */
  compact(): Promise<{ bytesBefore: number; bytesAfter: number }>;
  /** Copies the database while it is in use, to a path where nothing is yet; see `restore` of the login. */
  backup(path: string): Promise<{ path: string; bytes: number }>;
  /** Takes a push: the object that the server put into it, or its text. */
  handlePush(payload: string | object): Promise<{ ring: boolean; callID: string }>;
  /** False is a dead network: nothing is sent or heard, and nobody is told. True reconnects at once. */
  setNetwork(online: boolean): Promise<void>;
  /** The device moved to another network. */
  networkChanged(): Promise<void>;
  /** The app goes to sleep: connection and file are closed until `resume`. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** The database file, for `offhook inspect FILE`; null before the first login. */
  inspectPath(): string | null;
  /** Whoever is logged in keeps the process alive, as a connection does, unless this was called. */
  unref(): this;
  ref(): this;
}
