'use strict';
// An account in a worker thread: it answers whoever rings, and does what it is told.

const { parentPort, workerData } = require('node:worker_threads');

const { ZIM } = require('../..');

const { userID, sleepers, ...config } = workerData;
const zim = ZIM.create(config);
const heard = [];

zim.on('callInvitationReceived', (_, info) => {
  heard.push(info);
  if (info.extendedData === 'answer') zim.callAccept(info.callID, { extendedData: 'from a worker' });
});
for (const name of ['callInvitationCancelled', 'callUserStateChanged']) zim.on(name, (_, info) => heard.push(info));

parentPort.on('message', (message) => {
  // The thread stands still, as one that computes does.
  if (message === 'sleep') Atomics.wait(new Int32Array(sleepers), 0, 0);
  if (message === 'heard') parentPort.postMessage(heard.splice(0).map(({ position, callID }) => ({ position, callID })));
});
zim.login(userID).then(() => parentPort.postMessage('in'));
