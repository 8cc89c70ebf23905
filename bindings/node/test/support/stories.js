'use strict';
// The stories that snippets tell, each checked for its effect on the other side. They go by what a snippet gave and
// not by what it should have said, so they hold for any snippets about the same.

const assert = require('node:assert/strict');

const { ZIMCallInvitationMode: Mode, ZIMCallState, ZIMCallUserState: State, ZIMErrorCode: Code } = require('../..');
const { phone } = require('./phone.js');
const { serve } = require('./server.js');
const { catalogue, run } = require('./snippets.js');

/** Calls that make one page of the list and a bit. */
const CALLS = 23;

/** Registers the stories as tests. `invitee` is whom the snippets invite. */
function tell(test, title, snippets, invitee) {
  const known = catalogue(snippets);
  const told = new Set();
  const snippet = (subject) => {
    told.add(subject);
    const text = known.get(subject);
    assert.ok(text !== undefined, `there is no snippet about ${subject}`);
    return text;
  };

  /** Alice, and whom the snippets invite, on a server of their own. */
  async function pair(t, options) {
    const server = await serve(t, options);
    const alice = await phone(t, server, 'alice');
    const other = await phone(t, server, invitee);
    return { server, alice, other };
  }

  const listen = (who, subject) => run(snippet(subject), who.zim);
  const give = (who, subject, ids) => run(snippet(subject), who.zim, { invitee, ...ids });

  /** Alice rings the other, who hears it. */
  async function ring({ alice, other }, mode) {
    const invite = give(alice, mode === Mode.Advanced ? 'callInvite advanced' : 'callInvite');
    const { callID, timeout, errorInvitees, errorUserList } = await invite.result();
    const { config } = invite.commands[0];
    assert.equal(timeout, config.timeout);
    assert.deepEqual([errorInvitees, errorUserList], [[], []]);
    const received = await other.event('callInvitationReceived', (info) => info.callID === callID);
    assert.equal(received.inviter, 'alice');
    assert.equal(received.timeout, config.timeout);
    assert.equal(received.mode, mode);
    await alice.state(callID, invitee, State.Received);
    return callID;
  }

  async function callOf(who, callID) {
    const { callList } = await who.zim.queryCallInvitationList({ count: 100 });
    return callList.find((call) => call.callID === callID);
  }

  const changed = (callID, userID, state) => (info) =>
    info.callID === callID && info.callUserList.some((user) => user.userID === userID && user.state === state);

  for (const mode of [Mode.General, Mode.Advanced]) {
    const name = `${title}, ${mode === Mode.General ? 'general' : 'advanced'} mode: `;

    test(`${name}an invitation is created, received, accepted, and the caller hears it`, async (t) => {
      const all = await pair(t);
      const created = listen(all.alice, 'callInvitationCreated');
      const changes = listen(all.alice, 'callUserStateChanged');
      const accepted = listen(all.alice, 'callUserStateChanged 1');
      const received = listen(all.other, 'callInvitationReceived');
      const callID = await ring(all, mode);
      assert.equal((await created.call()).callID, callID);
      assert.equal((await received.call()).callID, callID);
      await changes.call(changed(callID, invitee, State.Received));

      const accept = give(all.other, 'callAccept', { callID });
      assert.equal((await accept.result()).callID, callID);
      const heard = await accepted.call(changed(callID, invitee, State.Accepted));
      assert.equal(heard.callUserList[0].extendedData, accept.commands[0].config.extendedData);
      const call = await callOf(all.alice, callID);
      assert.equal(call.state, mode === Mode.General ? ZIMCallState.Ended : ZIMCallState.Started);
      assert.ok(call.callUserList.every((user) => user.state === State.Accepted));
    });

    test(`${name}an invitation is cancelled, and the invitee stops ringing`, async (t) => {
      const all = await pair(t);
      const cancelled = listen(all.other, 'callInvitationCancelled');
      const callID = await ring(all, mode);
      assert.equal((await all.other.zim.ringing()).length, 1);
      const cancel = give(all.alice, 'callCancel', { callID });
      assert.deepEqual((await cancel.result()).errorInvitees, []);
      const info = await cancelled.call();
      assert.deepEqual([info.callID, info.inviter], [callID, 'alice']);
      assert.equal(info.extendedData, cancel.commands[0].config.extendedData);
      assert.deepEqual(await all.other.zim.ringing(), []);
      const members = (await callOf(all.other, callID)).callUserList;
      assert.equal(members.find(({ userID }) => userID === invitee).state, State.Cancelled);
    });

    test(`${name}an invitation is rejected, and the caller hears it`, async (t) => {
      const all = await pair(t);
      const rejected = listen(all.alice, 'callUserStateChanged 2');
      const callID = await ring(all, mode);
      const reject = give(all.other, 'callReject', { callID });
      assert.equal((await reject.result()).callID, callID);
      const heard = await rejected.call(changed(callID, invitee, State.Rejected));
      assert.equal(heard.callUserList[0].extendedData, reject.commands[0].config.extendedData);
    });

    test(`${name}an invitation runs out, and both hear it`, async (t) => {
      const all = await pair(t);
      const mine = listen(all.other, 'callInvitationTimeout');
      const theirs = listen(all.alice, 'callUserStateChanged 6');
      const { callID } = await all.alice.zim.callInvite([invitee], { timeout: 1, mode });
      assert.equal((await mine.call()).callID, callID);
      await theirs.call(changed(callID, invitee, State.Timeout));
      assert.equal((await all.other.zim.status()).missed, 1);
    });
  }

  test(`${title}: who could not be reached is told, and received once they come back`, async (t) => {
    const { alice, other } = await pair(t, { args: ['--set', 'not_received_check_s=3'] });
    await other.zim.setNetwork(false);
    const invite = give(alice, 'callInvite checked');
    const { callID } = await invite.result();
    await alice.state(callID, invitee, State.NotYetReceived);
    await other.zim.setNetwork(true);
    await alice.state(callID, invitee, State.Received);
    await other.event('callInvitationReceived', (info) => info.callID === callID);
  });

  test(`${title}: somebody offline is rung with a push, and hears of it when they come`, async (t) => {
    const server = await serve(t);
    const alice = await phone(t, server, 'alice');
    await alice.zim.setNetwork(false);
    const invite = give(alice, 'callInvite with push');
    const { config } = invite.commands[0];
    const [waiting] = await alice.zim.pending();
    for (const [field, value] of Object.entries(config.pushConfig)) {
      assert.equal(waiting.params.config.pushConfig[field], value);
    }
    await alice.zim.setNetwork(true);
    const { callID } = await invite.result();
    const other = await phone(t, server, invitee);
    const received = await other.event('callInvitationReceived');
    assert.deepEqual(
      [received.callID, received.timeout, received.extendedData],
      [callID, config.timeout, config.extendedData],
    );
  });

  test(`${title}: somebody is invited into a call that goes on, with a timeout and words of their own`, async (t) => {
    const all = await pair(t);
    const carol = await phone(t, all.server, 'carol');
    const callID = await ring(all, Mode.Advanced);
    await all.other.zim.callAccept(callID, {});
    const invite = give(all.other, 'callingInvite', { callID, users: ['carol'] });
    assert.deepEqual((await invite.result()).errorUserList, []);
    const { config } = invite.commands[0];
    const received = await carol.event('callInvitationReceived');
    assert.deepEqual(
      [received.callID, received.caller, received.inviter, received.timeout, received.extendedData],
      [callID, 'alice', invitee, config.timeout, config.extendedData],
    );
    await all.alice.state(callID, 'carol', State.Received);
  });

  test(`${title}: somebody from outside joins, and a call moves to another device unnoticed`, async (t) => {
    const all = await pair(t);
    const carol = await phone(t, all.server, 'carol');
    const tablet = await phone(t, all.server, invitee);
    const callID = await ring(all, Mode.Advanced);
    await all.other.zim.callAccept(callID, {});
    await all.alice.state(callID, invitee, State.Accepted);

    const join = give(carol, 'callJoin', { callID });
    const { callUserList, joinTime, createTime } = await join.result();
    assert.ok(joinTime >= createTime && createTime > 0);
    assert.deepEqual(callUserList.map(({ userID }) => userID).sort(), ['alice', 'carol', invitee].sort());
    const heard = await all.alice.state(callID, 'carol', State.Accepted);
    assert.equal(heard.callUserList[0].extendedData, join.commands[0].config.extendedData);

    const before = all.alice.heard.length;
    const move = give(tablet, 'callJoin', { callID });
    assert.equal((await move.result()).callID, callID);
    const moved = await all.other.event('callPrimaryDeviceChanged');
    assert.equal(moved.deviceID, (await tablet.zim.status()).deviceID);
    // What alice hears next is the quit after it.
    await carol.zim.callQuit(callID);
    await all.alice.state(callID, 'carol', State.Quit, before);
    assert.equal(all.alice.heard.length, before + 1);
  });

  test(`${title}: somebody leaves a call, and the others and they themselves hear it`, async (t) => {
    const all = await pair(t);
    const theirs = listen(all.alice, 'callUserStateChanged 7');
    const own = listen(all.other, 'callUserStateChanged 7');
    const callID = await ring(all, Mode.Advanced);
    await all.other.zim.callAccept(callID, {});
    const quit = give(all.other, 'callQuit', { callID });
    const { createTime, acceptTime, quitTime } = await quit.result();
    assert.ok(createTime <= acceptTime && acceptTime <= quitTime);
    for (const run of [theirs, own]) {
      const { callUserList } = await run.call(changed(callID, invitee, State.Quit));
      assert.equal(callUserList[0].extendedData, quit.commands[0].config.extendedData);
    }
  });

  test(`${title}: a call is ended, and everybody in it hears it`, async (t) => {
    const all = await pair(t);
    const carol = await phone(t, all.server, 'carol');
    const ended = [all.alice, all.other, carol].map((who) => listen(who, 'callInvitationEnded'));
    const callID = await ring(all, Mode.Advanced);
    await all.other.zim.callAccept(callID, {});
    await all.other.zim.callingInvite(['carol'], callID);
    await carol.event('callInvitationReceived');
    const end = give(all.alice, 'callEnd', { callID });
    const { endTime } = await end.result();
    for (const run of ended) {
      const info = await run.call();
      assert.deepEqual([info.callID, info.caller, info.operatedUserID, info.endTime], [callID, 'alice', 'alice', endTime]);
      assert.equal(info.extendedData, end.commands[0].config.extendedData);
    }
    assert.equal((await callOf(all.other, callID)).state, ZIMCallState.Ended);
  });

  test(`${title}: what needs an advanced call is refused in a general one, and nobody hears of it`, async (t) => {
    const all = await pair(t);
    const callID = await ring(all, Mode.General);
    await all.other.state(callID, invitee, State.Received);
    const before = all.other.heard.length;
    for (const subject of ['callingInvite', 'callJoin', 'callQuit', 'callEnd']) {
      const given = give(all.alice, subject, { callID, users: ['carol'] });
      await assert.rejects(given.result(), { code: Code.CallModuleNeedsAdvancedMode, name: 'NeedsAdvanced' });
    }
    await all.alice.zim.callCancel([invitee], callID);
    await all.other.event('callInvitationCancelled');
    assert.equal(all.other.heard.length, before + 1);
  });

  test(`${title}: the list comes in pages, the same for both`, async (t) => {
    const all = await pair(t);
    const made = [];
    for (let n = 0; n < CALLS; n += 1) {
      const { callID } = await all.alice.zim.callInvite([invitee], { extendedData: String(n) });
      await all.other.event('callInvitationReceived', (info) => info.callID === callID);
      await all.alice.zim.callCancel([], callID);
      await all.other.event('callInvitationCancelled', (info) => info.callID === callID);
      made.unshift(callID);
    }
    for (const who of [all.alice, all.other]) {
      const query = give(who, 'queryCallInvitationList');
      const first = await query.result(0);
      const second = await query.result(1);
      const ids = [first, second].map(({ callList }) => callList.map(({ callID }) => callID));
      assert.equal(ids[0].length, query.commands[0].config.count);
      assert.deepEqual(ids.flat(), made);
      assert.equal(second.nextFlag, 0);
    }
  });

  test(`${title}: no snippet was left out`, () => {
    assert.deepEqual([...known.keys()].filter((subject) => !told.has(subject)), []);
  });
}

module.exports = { tell };
