import offhook from './index.js';

export const {
  ZIM,
  ZIMError,
  ZIMCallUserState,
  ZIMCallState,
  ZIMCallInvitationMode,
  ZIMConnectionState,
  ZIMConnectionEvent,
  ZIMCXHandleType,
  ZIMErrorCode,
} = offhook;
export default offhook;
