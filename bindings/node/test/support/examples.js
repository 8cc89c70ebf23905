'use strict';
// What an app does, in small: the ground that the document's snippets cover, in the project's own words. Each is run
// with a `zim`, and with `invitee`, `callID` and `users` where it needs them.

module.exports = [
  `
zim.on('callUserStateChanged', (zim, { callID, callUserList }) => {
  for (const { userID, state, extendedData } of callUserList) if (!callID || !userID) throw new Error(state + extendedData);
});`,
  `
zim.callInvite([invitee], { timeout: 120 }).then(({ callID, timeout, errorInvitees }) => {
  if (errorInvitees.length > 0) throw new Error(callID + timeout);
});`,
  `
const pushConfig = { title: 'A call', content: 'from a friend', payload: '{"ring":true}' };
zim.callInvite([invitee], { timeout: 120, extendedData: 'are you there?', pushConfig });`,
  `zim.callInvite([invitee], { timeout: 120, mode: 1 });`,
  `zim.callInvite([invitee], { timeout: 120, enableNotReceivedCheck: true });`,
  `zim.on('callInvitationCreated', (zim, info) => { info.callUserList.map(({ userID }) => userID); });`,
  `zim.on('callInvitationReceived', (zim, { callID, inviter, timeout }) => { [callID, inviter].join(timeout); });`,
  `zim.callCancel([invitee], callID, { extendedData: 'never mind' });`,
  `zim.on('callInvitationCancelled', (zim, { callID, inviter }) => { [callID, inviter].join(); });`,
  `zim.callAccept(callID, { extendedData: 'hello' });`,
  `
zim.on('callUserStateChanged', (zim, { callUserList }) => {
  if (callUserList.some(({ state }) => state == 1)) callUserList.map(({ extendedData }) => extendedData);
});`,
  `zim.callReject(callID, { extendedData: 'not now' });`,
  `
zim.on('callUserStateChanged', (zim, { callUserList }) => {
  if (callUserList.some(({ state }) => state == 2)) callUserList.map(({ extendedData }) => extendedData);
});`,
  `
zim.on('callUserStateChanged', (zim, { callUserList }) => {
  if (callUserList.some(({ state }) => state == 6)) callUserList.map(({ userID }) => userID);
});`,
  `zim.on('callInvitationTimeout', (zim, { callID }) => { callID.trim(); });`,
  `zim.callingInvite(users, callID, { timeout: 45, extendedData: 'come in' });`,
  `zim.callJoin(callID, { extendedData: 'I am here' });`,
  `zim.callQuit(callID, { extendedData: 'good night' });`,
  `
zim.on('callUserStateChanged', (zim, { callUserList }) => {
  if (callUserList.some(({ state }) => state == 7)) callUserList.map(({ userID }) => userID);
});`,
  `zim.callEnd(callID, { extendedData: 'that was all' });`,
  `zim.on('callInvitationEnded', (zim, { callID, operatedUserID }) => { [callID, operatedUserID].join(); });`,
  `
const config = { count: 20, nextFlag: 0 };
zim.queryCallInvitationList(config).then(({ nextFlag }) => zim.queryCallInvitationList({ ...config, nextFlag }));`,
];
