'use strict';
// A phone for the terminal. Two shells make two phones:
//
//   offhook serve --listen 127.0.0.1:7443 --data server
//   node example/phone.js alice --server 127.0.0.1:7443 --ca server/cert.pem
//   node example/phone.js bob   --server 127.0.0.1:7443 --ca server/cert.pem
//
// Say `call bob` in the one and `yes` in the other. Then `unplug`, call, `plug`. What rings and which calls go on
// the engine knows (alice.db), so the phone remembers nothing: kill it while it rings, start it again, and say `yes`.

const readline = require('node:readline');
const { parseArgs } = require('node:util');

const { ZIM, ZIMCallInvitationMode: Mode, ZIMCallState, ZIMCallUserState, ZIMConnectionState } = require('..');

const HELP = `call USER…            ring somebody        yes [CALL] [WORDS]  answer
group USER…           the same, goes on    no [CALL] [WORDS]   decline
rings                 what rings here      cancel [CALL]       stop ringing them
list                  calls, newest first  invite USER…        ring more of them
pending               what waits           join CALL           come into a call
unplug, plug          the network          quit [CALL]         leave it
state                 how all is           end [CALL]          end it for all
CALL: the last letters of its id           bye                 switch the phone off`;

const { values, positionals: [user] } = parseArgs({
  allowPositionals: true,
  options: {
    server: { type: 'string', default: '127.0.0.1:7443' },
    ca: { type: 'string', default: 'server/cert.pem' },
    token: { type: 'string' },
    db: { type: 'string' },
  },
});
if (user === undefined) {
  console.error('usage: phone.js USER [--server HOST:PORT] [--ca FILE] [--token T] [--db FILE]');
  process.exit(2);
}

const zim = ZIM.create({ server: values.server, ca: values.ca, database: values.db ?? `${user}.db` });
const input = readline.createInterface({ input: process.stdin, output: process.stdout, prompt: `${user}> ` });
/** Deadlines of the rings that were told: what rings at login comes as an event too if it is new. */
const told = new Map();

function say(...words) {
  // Over the line that somebody may be typing.
  if (process.stdout.isTTY) process.stdout.write('\r\x1b[K');
  console.log(...words);
  // A prompt would open the input again.
  if (!input.closed) input.prompt(true);
}

const state = (number) => ZIMCallUserState[number];
const short = (callID) => callID.slice(-6);
const people = (users) => users.map(({ userID, state: number }) => `${userID} ${state(number)}`).join(', ');
const words = ({ extendedData }) => (extendedData ? `: ${extendedData}` : '');

function rings(info) {
  if (told.get(info.callID) === info.deadline) return;
  told.set(info.callID, info.deadline);
  const seconds = Math.ceil(info.remaining / 1000);
  say(`*** ${info.inviter} rings (${short(info.callID)})${words(info)} - yes or no? ${seconds} s`);
}

zim.on('callInvitationReceived', (_, info) => rings(info));
zim.on('callUserStateChanged', (_, { callID, callUserList }) => say(`call ${short(callID)}: ${people(callUserList)}`));
const ENDS = {
  callInvitationCancelled: ({ inviter }) => `was cancelled by ${inviter}`,
  callInvitationTimeout: () => 'was missed',
  callInvitationEnded: ({ operatedUserID }) => `was ended by ${operatedUserID || 'the server'}`,
  callHandledElsewhere: (info) => `is ${state(info.state)} on another device`,
  callPrimaryDeviceChanged: () => 'moved to another device',
};
for (const [event, why] of Object.entries(ENDS)) {
  zim.on(event, (_, info) => {
    told.delete(info.callID);
    say(`call ${short(info.callID)} ${why(info)}`);
  });
}
zim.on('commandSettled', (_, { command, callID, error }) => {
  say(`${command} of ${short(callID)}: ${error ? error.message : 'done'}, as asked earlier`);
});
zim.on('connectionStateChanged', (_, info) => say(`(${ZIMConnectionState[info.state]}${words(info)})`));

/** Gives a command that may wait for a network for as long as it takes, without making the shell wait. */
function give(command, what) {
  const done = ({ errorUserList = [] }) => ['done', ...errorUserList.map(({ userID }) => `not ${userID}`)].join(', ');
  command.then((result) => say(`${what}: ${done(result)}`), (error) => say(`${what}: ${error.message}`));
}

/** What rings here and has no answer yet, also one that still waits for the network. */
async function unanswered() {
  const [ringing, pending] = await Promise.all([zim.ringing(), zim.pending()]);
  return ringing.filter(({ callID }) => !pending.some((command) => command.callID === callID));
}

/** The calls that go on with this user, newest first, before them those about which commands wait. */
async function going() {
  const { callList, pending } = await zim.queryCallInvitationList({ count: 100, state: ZIMCallState.Started });
  const isIn = ({ userID, state }) => userID === user && state === ZIMCallUserState.Accepted;
  const asked = pending.filter(({ command }) => command !== 'callReject').reverse();
  const calls = [...asked, ...callList.filter(({ callUserList }) => callUserList.some(isIn))];
  return [...new Set(calls.map(({ callID }) => callID))];
}

/** The call of that name, or the only one there is. */
function chosen(ids, name) {
  const named = name === undefined ? ids : ids.filter((callID) => callID.endsWith(name));
  if (named.length === 1) return named[0];
  say(ids.length === 0 ? 'there is no such call' : `which call? ${ids.map(short).join(', ')}`);
  return null;
}

async function call(invitees, mode) {
  // On disk first, with the call's id; the verdict comes as commandSettled.
  const { callID } = await zim.callInvite(invitees, { timeout: 60, mode, wait: 'disk' });
  say(`calling ${invitees.join(', ')} (${short(callID)})`);
}

async function answer(method, said) {
  const ids = (await unanswered()).map(({ callID }) => callID);
  const isNamed = said.length > 0 && ids.some((callID) => callID.endsWith(said[0]));
  const callID = chosen(ids, isNamed ? said.shift() : undefined);
  if (callID !== null) give(zim[method](callID, { extendedData: said.join(' ') }), method);
}

async function about(method, name, ...before) {
  const callID = chosen(await going(), name);
  if (callID !== null) give(zim[method](...before, callID), method);
}

const COMMANDS = {
  call: (...users) => call(users, Mode.General),
  group: (...users) => call(users, Mode.Advanced),
  yes: (...said) => answer('callAccept', said),
  no: (...said) => answer('callReject', said),
  cancel: (name) => about('callCancel', name, []),
  invite: async (...users) => about('callingInvite', (await going())[0], users),
  quit: (name) => about('callQuit', name),
  end: (name) => about('callEnd', name),
  async join(name = '') {
    const { callList } = await zim.queryCallInvitationList({ count: 100 });
    give(zim.callJoin(callList.find(({ callID }) => callID.endsWith(name))?.callID ?? name), 'join');
  },
  async rings() {
    told.clear();
    (await unanswered()).forEach(rings);
    say(`${told.size} ring`);
  },
  async list() {
    const { callList } = await zim.queryCallInvitationList({ count: 20 });
    for (const { callID, caller, state: number, missed, callUserList } of callList) {
      say(`${short(callID)}  ${missed ? 'missed' : ZIMCallState[number]}  from ${caller}: ${people(callUserList)}`);
    }
    await zim.markSeen();
    say(`${callList.length} calls`);
  },
  async pending() {
    const waiting = await zim.pending();
    for (const { command, callID, sent, lastError } of waiting) {
      say(`${command} of ${short(callID)}, ${sent ? 'sent' : 'not sent yet'}${lastError ? ` (${lastError})` : ''}`);
    }
    say(`${waiting.length} commands wait`);
  },
  unplug: () => zim.setNetwork(false),
  plug: () => zim.setNetwork(true),
  async state() {
    const { connection, pending, missed } = await zim.status();
    say(`${ZIMConnectionState[connection.state]}, ${pending} commands wait, ${missed} missed calls`);
    say(`the file: offhook inspect ${zim.inspectPath()} calls`);
  },
  '': () => say(''),
  help: () => say(HELP),
  bye: () => input.close(),
};

/** One command after the other, as they were typed. */
let last = Promise.resolve();
input.on('line', (line) => {
  const [name, ...rest] = line.trim().split(/\s+/);
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : COMMANDS.help;
  last = last.then(() => command(...rest)).catch((error) => say(error.message));
});
input.on('close', async () => {
  await zim.destroy();
  // A pipe that is only paused keeps the process alive.
  process.stdin.destroy();
  console.log('off');
});

(async () => {
  // Whatever the network does: what rings on is in the file.
  await zim.login(user, { token: values.token, isOfflineLogin: true });
  say(`${user} is ready; help tells the commands`);
  (await unanswered()).forEach(rings);
})().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
