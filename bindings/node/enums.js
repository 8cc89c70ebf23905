'use strict';
// The enumerations, with the numbers of the public surfaces. As TypeScript makes them: names to numbers and back.

function enumeration(names) {
  const both = {};
  for (const [name, number] of Object.entries(names)) {
    both[name] = number;
    both[number] = name;
  }
  return Object.freeze(both);
}

exports.ZIMCallUserState = enumeration({
  Unknown: -1,
  Inviting: 0,
  Accepted: 1,
  Rejected: 2,
  Cancelled: 3,
  Offline: 4,
  Received: 5,
  Timeout: 6,
  Quit: 7,
  Ended: 8,
  NotYetReceived: 9,
  BeCancelled: 10,
});

exports.ZIMCallState = enumeration({ Unknown: -1, Started: 1, Ended: 2 });

exports.ZIMCallInvitationMode = enumeration({ Unknown: -1, General: 0, Advanced: 1 });

exports.ZIMConnectionState = enumeration({ Disconnected: 0, Connecting: 1, Connected: 2, Reconnecting: 3 });

exports.ZIMConnectionEvent = enumeration({
  Success: 0,
  ActiveLogin: 1,
  LoginTimeout: 2,
  LoginInterrupted: 3,
  KickedOut: 4,
  TokenExpired: 5,
  Unregistered: 6,
});

exports.ZIMCXHandleType = enumeration({ Generic: 1, PhoneNumber: 2, EmailAddress: 3 });

exports.ZIMErrorCode = enumeration({
  Success: 0,
  Failed: 1,
  CommonModuleParamsInvalid: 6000001,
  CommonModuleTriggerSDKFrequencyLimit: 6000004,
  CommonModuleTriggerServerFrequencyLimit: 6000005,
  CommonModuleIMServerDisconnect: 6000009,
  NetworkModuleTokenInvalid: 6000103,
  NetworkModuleNetworkError: 6000104,
  NetworkModuleRequestTimeout: 6000105,
  NetworkModuleTokenExpired: 6000106,
  NetworkModuleUserIsNotLogged: 6000121,
  CallModuleCommonError: 6000270,
  CallModuleCancelError: 6000271,
  CallModuleServerError: 6000272,
  CallModuleIsNotInvitor: 6000273,
  CallModuleIsNotInvitee: 6000274,
  CallModuleAlreadyExists: 6000275,
  CallModuleDoesNotExist: 6000276,
  CallModuleInviteUserDoesNotExist: 6000281,
  CallModuleUserAlreadyInTheCall: 6000283,
  CallModuleNeedsAdvancedMode: 6000286,
  CommandExpired: 6100001,
  CommandWithdrawn: 6100002,
  CommandOutcomeUnknown: 6100003,
  CommandDropped: 6100004,
  DatabaseDiskFull: 6100011,
  DatabaseReadOnly: 6100012,
  DatabaseCorrupt: 6100013,
  DatabaseNewerVersion: 6100014,
  DatabaseInUse: 6100015,
  EngineClosed: 6100021,
  EngineInternal: 6100022,
});
