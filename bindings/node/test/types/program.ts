// A program of an app, written for the vendor's package. Compiled twice as it stands: against that package and
// against this one.

import {
  ZIM,
  ZIMCallInvitationMode,
  ZIMCallState,
  ZIMCallUserState,
  ZIMConnectionEvent,
  ZIMConnectionState,
  ZIMCXHandleType,
  ZIMErrorCode,
} from 'calls-sdk';
import type {
  ZIMCallAcceptConfig,
  ZIMCallCancelConfig,
  ZIMCallCancelSentResult,
  ZIMCallEndSentResult,
  ZIMCallInfo,
  ZIMCallInvitationQueryConfig,
  ZIMCallInvitationSentResult,
  ZIMCallInviteConfig,
  ZIMCallJoinSentResult,
  ZIMCallQuitSentResult,
  ZIMCallUserInfo,
  ZIMError,
  ZIMErrorUserInfo,
  ZIMEventHandler,
  ZIMEventOfCallInvitationReceivedResult,
  ZIMPushConfig,
} from 'calls-sdk';

const zim = ZIM.getInstance()!;

const names: Record<number, string> = {
  [ZIMCallUserState.Inviting]: 'ringing',
  [ZIMCallUserState.Accepted]: 'here',
  [ZIMCallUserState.Rejected]: 'no',
  [ZIMCallUserState.NotYetReceived]: 'not reached',
};

const pushConfig: ZIMPushConfig = {
  title: 'a call',
  content: 'from alice',
  payload: '{}',
  resourcesID: 'calls',
  threadID: 'calls',
  enableBadge: true,
  badgeIncrement: 1,
  voIPConfig: {
    iOSVoIPHandleType: ZIMCXHandleType.Generic,
    iOSVoIPHandleValue: 'alice',
    iOSVoIPHasVideo: false,
  },
};

function show(users: ZIMCallUserInfo[]): string {
  return users.map(({ userID, state, extendedData }) => `${userID} ${names[state]} ${extendedData}`).join();
}

const received: ZIMEventHandler['callInvitationReceived'] = (from, info) => {
  const answer: ZIMCallAcceptConfig = { extendedData: 'here' };
  from.callAccept(info.callID, answer).catch((error: ZIMError) => report(error));
};

function report({ code, message }: ZIMError): void {
  if (code === ZIMErrorCode.NetworkModuleUserIsNotLogged) console.log('log in first');
  else if (code === ZIMErrorCode.CallModuleDoesNotExist) console.log('too late');
  else console.log(code, message);
}

/** An error of the app's own, told in the same way. */
function told(caught: unknown): ZIMError {
  if (caught instanceof Error) return { code: ZIMErrorCode.Failed, message: caught.message };
  const { code, message } = caught as ZIMError;
  const error: ZIMError = { code, message };
  error.message = `${error.message}!`;
  return error;
}

class Refusal extends Error implements ZIMError {
  code = ZIMErrorCode.CommonModuleParamsInvalid;
}
report(told(new Refusal('no')));

zim.on('callInvitationReceived', received);
zim.on('callInvitationReceived', (_, info: ZIMEventOfCallInvitationReceivedResult) => {
  const seconds: number = info.timeout;
  console.log(info.caller, info.inviter, info.extendedData, info.createTime, seconds, show(info.callUserList));
});
zim.on('callInvitationCreated', (_, { callID, mode, caller, extendedData, timeout, createTime, callUserList }) => {
  console.log(callID, mode === ZIMCallInvitationMode.Advanced, caller, extendedData, timeout, createTime);
  console.log(show(callUserList));
});
zim.on('callInvitationCancelled', (_, { callID, inviter, extendedData, mode }) => {
  console.log(callID, inviter, extendedData, mode);
});
zim.on('callInvitationTimeout', (_, { callID, mode }) => console.log(callID, mode));
zim.on('callInvitationEnded', (_, info) => {
  console.log(info.callID, info.caller, info.operatedUserID, info.extendedData, info.endTime, info.mode);
});
zim.on('callUserStateChanged', (_, info) => console.log(info.callID, show(info.callUserList)));
zim.on('connectionStateChanged', (_, { state, event, extendedData }) => {
  if (state === ZIMConnectionState.Disconnected && event === ZIMConnectionEvent.KickedOut) console.log(extendedData);
});
zim.on('tokenWillExpire', async (from, { second }) => {
  const { token } = await from.renewToken(`in ${second}`);
  console.log(token);
});
zim.on('error', (_, error) => report(error));
zim.off('error');

export async function story(): Promise<void> {
  await zim.login('alice', {
    userName: 'Alice',
    token: '',
    isOfflineLogin: false,
    customStatus: '',
    customStatusDuration: 0,
  });
  await zim.login({ userID: 'alice', userName: 'Alice', userAvatarUrl: '', userExtendedData: '' }, '');

  const config: ZIMCallInviteConfig = {
    timeout: 60,
    mode: ZIMCallInvitationMode.Advanced,
    extendedData: '',
    enableNotReceivedCheck: true,
    pushConfig,
  };
  const invited: ZIMCallInvitationSentResult = await zim.callInvite(['bob'], config);
  const refused: ZIMErrorUserInfo[] = invited.errorUserList;
  for (const { userID, reason } of refused) console.log(userID, reason, invited.timeout);
  const { callID } = invited;

  const cancel: ZIMCallCancelConfig = { extendedData: '', pushConfig };
  const cancelled: ZIMCallCancelSentResult = await zim.callCancel(['bob'], callID, cancel);
  const left: string[] = cancelled.errorInvitees;
  await zim.callReject(callID, { extendedData: left.join() });
  await zim.callingInvite(['carol'], callID, { pushConfig }).then(({ errorUserList }) => errorUserList.length);
  const joined: ZIMCallJoinSentResult = await zim.callJoin(callID, { extendedData: '' });
  console.log(joined.createTime, joined.joinTime, joined.extendedData, show(joined.callUserList));
  const quit: ZIMCallQuitSentResult = await zim.callQuit(callID, { extendedData: '' });
  console.log(quit.createTime, quit.acceptTime, quit.quitTime);
  const ended: ZIMCallEndSentResult = await zim.callEnd(callID, { extendedData: '', pushConfig });
  console.log(ended.createTime, ended.acceptTime, ended.endTime);

  const query: ZIMCallInvitationQueryConfig = { count: 20, nextFlag: 0 };
  const { callList, nextFlag } = await zim.queryCallInvitationList(query);
  query.nextFlag = nextFlag;
  const going: ZIMCallInfo[] = callList.filter((call) => call.state === ZIMCallState.Started);
  console.log(going.map((call) => [call.callID, call.caller, call.inviter, call.createTime, call.endTime]));
  zim.logout();
  zim.destroy();
}
