'use strict';
// A phone for the terminal. Two shells make two phones:
//
//   offhook serve --listen 127.0.0.1:7443 --data server
//   node example/phone.js alice --server 127.0.0.1:7443 --ca server/cert.pem
//   node example/phone.js bob   --server 127.0.0.1:7443 --ca server/cert.pem
//
// Say `call bob` in the one and `yes` in the other. Then `unplug`, call, `plug`. The database is alice.db; where
// the phone left off it goes on, also after it was killed.

const readline = require('node:readline');
const { parseArgs } = require('node:util');

const { ZIM, ZIMCallState, ZIMCallUserState, ZIMConnectionState } = require('..');

const HELP = `call USER…        ring somebody            yes [WORDS]       answer
group USER…       the same, and the call   no [WORDS]        decline
                  goes on until it is      cancel            stop ringing them
                  ended                    invite USER…      ring more of them
list              calls, newest first      join CALL         come into a call
pending           what waits               quit              leave it
unplug, plug      the network              end               end it for all
state             how all is               bye               switch the phone off`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    server: { type: 'string', default: '127.0.0.1:7443' },
    ca: { type: 'string', default: 'server/cert.pem' },
    token: { type: 'string' },
    db: { type: 'string' },
  },
});
const [user] = positionals;
if (user === undefined) {
  console.error('usage: phone.js USER [--server HOST:PORT] [--ca FILE] [--token T] [--db FILE]');
  process.exit(2);
}

const zim = ZIM.create({ server: values.server, ca: values.ca, database: values.db ?? `${user}.db` });
const input = readline.createInterface({ input: process.stdin, output: process.stdout, prompt: `${user}> ` });
/** The call that rings here, and the one that commands without a name are about. */
let ringing = null;
let current = null;

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

function over(callID, why) {
  if (ringing === callID) ringing = null;
  if (current === callID) current = null;
  say(`call ${short(callID)} ${why}`);
}

zim.on('callInvitationReceived', (_, info) => {
  ringing = info.callID;
  say(`*** ${info.inviter} rings (${short(info.callID)})${words(info)} - yes or no? ${Math.ceil(info.remaining / 1000)} s`);
});
zim.on('callUserStateChanged', (_, { callID, callUserList }) => say(`call ${short(callID)}: ${people(callUserList)}`));
zim.on('callInvitationCancelled', (_, { callID, inviter }) => over(callID, `was cancelled by ${inviter}`));
zim.on('callInvitationTimeout', (_, { callID }) => over(callID, 'was missed'));
zim.on('callInvitationEnded', (_, { callID, operatedUserID }) => over(callID, `was ended by ${operatedUserID || 'the server'}`));
zim.on('callHandledElsewhere', (_, { callID, state: number }) => over(callID, `is ${state(number)} on another device`));
zim.on('callPrimaryDeviceChanged', (_, { callID }) => over(callID, 'moved to another device'));
zim.on('commandSettled', (_, { command, callID, error }) => {
  say(`${command} of ${short(callID)}: ${error ? error.message : 'done'}, as asked earlier`);
});
zim.on('connectionStateChanged', (_, { state: number, extendedData }) => {
  say(`(${ZIMConnectionState[number]}${extendedData ? `: ${extendedData}` : ''})`);
});

/** Gives a command that may wait for a network for as long as it takes, without making the shell wait. */
function give(command, what) {
  command.then(
    (result) => say(`${what}: done${refused(result)}`),
    (error) => say(`${what}: ${error.message}`),
  );
}

function refused({ errorUserList = [] }) {
  return errorUserList.map(({ userID, reason }) => `, not ${userID} (${reason})`).join('');
}

async function call(invitees, mode) {
  // On disk first, with the call's id; the verdict comes as commandSettled.
  const { callID } = await zim.callInvite(invitees, { timeout: 60, mode, wait: 'disk' });
  current = callID;
  say(`calling ${invitees.join(', ')} (${short(callID)})`);
}

async function answer(method, extendedData) {
  const callID = ringing;
  if (callID === null) {
    say('nothing rings');
    return;
  }
  ringing = null;
  if (method === 'callAccept') current = callID;
  give(zim[method](callID, { extendedData }), method === 'callAccept' ? 'yes' : 'no');
}

function about(method, ...before) {
  if (current === null) say('there is no call');
  else give(zim[method](...before, current), method);
}

const COMMANDS = {
  call: (...users) => call(users, 0),
  group: (...users) => call(users, 1),
  yes: (...said) => answer('callAccept', said.join(' ')),
  no: (...said) => answer('callReject', said.join(' ')),
  cancel: () => about('callCancel', []),
  invite: (...users) => about('callingInvite', users),
  quit: () => about('callQuit'),
  end: () => about('callEnd'),
  async join(name = '') {
    const { callList } = await zim.queryCallInvitationList({ count: 100 });
    current = callList.find(({ callID }) => callID.endsWith(name))?.callID ?? name;
    about('callJoin');
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
  help: () => say(HELP),
  bye: () => input.close(),
};

input.on('line', async (line) => {
  const [name, ...rest] = line.trim().split(/\s+/);
  if (name === '') return say('');
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : COMMANDS.help;
  try {
    await command(...rest);
  } catch (error) {
    say(error.message);
  }
});
input.on('close', async () => {
  await zim.destroy();
  // A pipe that is only paused keeps the process alive.
  process.stdin.destroy();
  console.log('off');
});

zim.login(user, { token: values.token, isOfflineLogin: true }).then(
  () => say(`${user} is ready; help tells the commands`),
  (error) => {
    console.error(error.message);
    process.exit(1);
  },
);
