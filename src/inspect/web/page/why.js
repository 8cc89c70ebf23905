// Why it rang, or did not: sentences that follow from what the file knows, and nothing beyond.

import { closedWord } from './lanes.js';
import { clock, span } from './words.js';

/** When this device first knew anything of the call; 0 when the file does not say. */
function firstHeard(timeline) {
  const learned = timeline.filter((entry) => entry.source === 'server' || entry.source === 'app').map((entry) => entry.learned_ms || entry.at_ms);
  return learned.length ? Math.min(...learned) : 0;
}

function ringSentence(ring) {
  const what = ring.invitation === 0 ? 'It showed the dialling' : 'It rang here';
  const began = clock(ring.opened_at_ms);
  if (!ring.closed_at_ms) return `${what} from ${began} and has not been closed yet.`;
  return `${what} from ${began} for ${span(ring.closed_at_ms - ring.opened_at_ms)}: ${closedWord(ring.closed_how)}.`;
}

function silence(call, me, timeline, story) {
  const heard = firstHeard(timeline);
  const made = me.invited_at_ms;
  const lines = [];
  if (!heard) {
    lines.push('It did not ring here, and this file does not say when the device learned of the invitation.');
  } else if (me.deadline_ms && heard >= me.deadline_ms) {
    lines.push(`It did not ring here: this device first heard of the invitation at ${clock(heard)}, ${span(heard - made)} after it was made. Its deadline had passed ${span(heard - me.deadline_ms)} before.`);
  } else if (call.end_time_ms && heard >= call.end_time_ms) {
    lines.push(`It did not ring here: this device first heard of the call at ${clock(heard)}, ${span(heard - call.end_time_ms)} after it had ended.`);
  } else if (me.acting_device && !['inviting', 'received', 'not_yet_received'].includes(me.state)) {
    lines.push(`It did not ring here: it was dealt with on the device ${me.acting_device}.`);
  } else {
    lines.push(`It did not ring here, although this device heard of it at ${clock(heard)}. The story below has all that is known.`);
  }
  const late = story.commands.filter((command) => command.verdict === 'expired' && command.attempts === 0);
  for (const command of late) lines.push(`The app asked for ${command.command} at ${clock(command.queued_at_ms)}; it expired before it could be sent.`);
  return lines;
}

/** Sentences, the most telling first. */
export function why(story) {
  const { call, commands, timeline, owner } = story;
  if (!call) {
    return commands.some((command) => command.verdict === null)
      ? ['The server has not taken this call yet: only commands of this device know of it.']
      : ['There is no record of the call itself: the server never took it, or it was cleared away.'];
  }
  const me = call.members.find((member) => member.user_id === owner);
  const lines = call.rings.map(ringSentence);
  const invited = me?.invitation > 0;
  const rang = call.rings.some((ring) => ring.invitation === me?.invitation);
  if (invited && !rang) lines.push(...silence(call, me, timeline, story));
  if (!invited && call.rings.length === 0) {
    lines.push(call.caller === owner ? 'Made by this user, so nothing rings here.' : 'This user was not invited, so nothing rings here.');
  }
  const waiting = commands.filter((command) => command.verdict === null);
  for (const command of waiting) {
    lines.push(`${command.command} of ${clock(command.queued_at_ms)} has no verdict yet${command.last_error ? `: ${command.last_error}` : command.attempts ? `; sent ${command.attempts}×` : '; it was never sent'}.`);
  }
  if (call.revision === 0) lines.push('Known by push only: the server itself has not been heard on it.');
  return lines;
}
