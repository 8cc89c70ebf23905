'use strict';

const enums = require('./enums.js');
const { ZIMError } = require('./errors.js');
const { ZIM } = require('./zim.js');

// Written out, so that Node.js finds the names for `import` as well.
module.exports = {
  ZIM,
  ZIMError,
  ZIMCallUserState: enums.ZIMCallUserState,
  ZIMCallState: enums.ZIMCallState,
  ZIMCallInvitationMode: enums.ZIMCallInvitationMode,
  ZIMConnectionState: enums.ZIMConnectionState,
  ZIMConnectionEvent: enums.ZIMConnectionEvent,
  ZIMCXHandleType: enums.ZIMCXHandleType,
  ZIMErrorCode: enums.ZIMErrorCode,
};
