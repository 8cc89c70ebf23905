// What is beyond the vendor's package, as an app uses it.

import offhook, { ZIM, ZIMCallUserState, ZIMError, ZIMErrorCode, type ZIMCommandQueued } from 'offhook';

const zim: ZIM = ZIM.create({
  server: 'localhost:7443',
  database: (userID) => `${userID.length}.db`,
  ca: 'cert.pem',
  retention: { callsKept: 'all', callsKeptDays: 365, eventsKept: 0 },
});

export async function extras(): Promise<void> {
  await zim.login('alice', { restore: 'copy.db' });
  const { bytes } = await zim.backup('copy.db');
  const { walBytes } = await zim.storage();
  const { bytesAfter } = await zim.compact();
  const epoch: string = (await zim.status()).epoch;
  console.log(bytes, walBytes, bytesAfter, epoch);
  const queued: ZIMCommandQueued = await zim.callInvite(['bob'], { timeout: 30, wait: 'disk' });
  const verdict: { callID: string; timeout: number } = await zim.callInvite(['bob'], { wait: 'verdict' });
  const wait = Math.random() < 0.5 ? 'disk' : 'verdict';
  const either = await zim.callInvite(['bob'], { wait });
  console.log('op' in either ? either.op : either.timeout);
  const [first] = await zim.pending();
  console.log(queued.op, verdict.timeout, first?.command === 'callInvite', first?.lastError?.length);
  const { events, more } = await zim.eventsSince(0);
  for (const event of events) {
    if (event.name === 'callInvitationReceived') console.log(event.params.over === true, event.params.deadline);
    if (event.name === 'callUserStateChanged') console.log(event.params.callUserList[0]?.state === ZIMCallUserState.Quit);
    await zim.acknowledge(event.position);
  }
  zim.on('databaseSetAside', (_, { path, pending, ended, lost }) => console.log(path, pending + ended + lost));
  zim.on('commandSettled', (_, { op, result, error }) => console.log(more, op, result?.callID, error?.data.retryable));
  const { missed } = await zim.markSeen(['a']);
  const { ring } = await zim.handlePush({ v: 1 });
  await zim.setNetwork(false);
  const path: string | null = zim.inspectPath();
  console.log(missed, ring, path, (await zim.status()).connection.state, zim.unref() === offhook.ZIM.getInstance());
  try {
    await zim.callAccept('a');
  } catch (caught) {
    if (!(caught instanceof ZIMError)) throw caught;
    const reason: string = caught.reason;
    console.log(caught.code === ZIMErrorCode.CommandExpired, reason, caught.retryable && caught.stack);
  }

  // @ts-expect-error the server and the file have no default
  ZIM.create({ appID: 1 });
  // @ts-expect-error there is no such event
  zim.on('callInvited', () => {});
  // @ts-expect-error there is no such way to wait
  await zim.callAccept('a', { wait: 'forever' });
  // @ts-expect-error a cancel says whom
  await zim.callCancel('a', {});
  // @ts-expect-error what is on disk has no timeout yet
  (await zim.callInvite(['bob'], { wait: 'disk' })).timeout;
  // @ts-expect-error instances are created
  new ZIM();
  // @ts-expect-error so are errors
  new ZIMError();
}
