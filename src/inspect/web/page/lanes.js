// From the story of a call to what can be drawn: lanes with spans and marks. No drawing here.

import { STATES, short, span, stateWord } from './words.js';

// What came later than this is drawn as late.
const LATE_MS = 1000;
// A call that goes on is drawn up to now, unless the file has been still for longer.
const STILL_MS = 15 * 60_000;

/** The states of a member along time: what the file saw change, and what the record says besides. */
function memberSpans(member, call, timeline, end) {
  const changes = timeline
    .filter((entry) => entry.source === 'server' && entry.who === member.user_id && entry.what in STATES)
    .map((entry) => ({ from: entry.at_ms, state: entry.what, entry }));
  const knows = (at, state) => changes.some((change) => change.from === at && change.state === state);
  if (member.invited_at_ms && !knows(member.invited_at_ms, 'inviting')) {
    changes.push({ from: member.invited_at_ms, state: 'inviting' });
  }
  if (member.state_time_ms && !knows(member.state_time_ms, member.state)) {
    changes.push({ from: member.state_time_ms, state: member.state });
  }
  const order = (change) => (change.state === 'inviting' ? 0 : 1);
  changes.sort((one, other) => one.from - other.from || order(one) - order(other));
  return changes.map((change, index) => {
    const next = changes[index + 1];
    return {
      from: change.from,
      to: Math.max(next?.from ?? end, change.from),
      state: change.state,
      open: next === undefined && call.state === 'started',
      by: change.entry?.detail ? short(change.entry.detail) : '',
      device: change.entry?.device ?? '',
    };
  }).filter((one, index, all) => one.state !== all[index - 1]?.state);
}

/** The deadline, which is moot once the invitation was answered or taken back. */
function deadline(member, spans) {
  const at = member.deadline_ms;
  const then = spans.findLast((one) => one.from < at);
  const moot = then !== undefined && !STATES[then.state]?.pending;
  return { at, kind: 'deadline', moot, text: `deadline of invitation ${member.invitation}, after ${member.timeout_s} s${moot ? ', moot by then' : ''}` };
}

function memberLane(member, call, timeline, owner, end) {
  const spans = memberSpans(member, call, timeline, end);
  // Spans that were left out because the state did not change leave no gap.
  spans.forEach((one, index) => { one.to = spans[index + 1]?.from ?? end; });
  const roles = [
    member.user_id === call.caller ? 'caller' : member.inviter ? `invited by ${member.inviter}` : 'joined',
    member.user_id === owner ? 'this user' : null,
  ].filter(Boolean);
  return {
    kind: 'member', title: member.user_id, note: roles.join(' · '), spans,
    marks: member.deadline_ms ? [deadline(member, spans)] : [],
  };
}

const CLOSED = {
  verdict: 'answered here', elsewhere: 'answered elsewhere', cancelled: 'taken back', timeout: 'timed out',
  timeout_local: 'deadline, by this device', ended: 'call ended',
};
export const closedWord = (how) => CLOSED[how] ?? how ?? 'still rings';

function ringLane(rings, me, end) {
  return {
    kind: 'rings', title: 'Rings here', note: rings.length ? '' : me?.invitation > 0 ? 'it never rang on this device' : 'none: this user was not invited',
    spans: rings.map((ring) => ({
      from: ring.opened_at_ms, to: ring.closed_at_ms || end, state: 'ring', open: !ring.closed_at_ms,
      word: ring.invitation === 0 ? `dialling, ${closedWord(ring.closed_how)}` : `rang, ${closedWord(ring.closed_how)}`,
    })),
    marks: rings.filter((ring) => ring.deadline_ms).map((ring) => ({
      at: ring.deadline_ms, kind: 'deadline', text: 'deadline of the ring', moot: ring.closed_at_ms > 0 && ring.closed_at_ms < ring.deadline_ms,
    })),
  };
}

function verdictOf(command) {
  if (command.verdict === null) return 'pending';
  return command.verdict === 'accepted' ? 'accepted' : command.verdict === 'refused' ? 'refused' : 'dropped';
}

function commandLane(commands, end) {
  const spans = [];
  const marks = [];
  for (const command of commands) {
    const verdict = verdictOf(command);
    const word = command.verdict === null ? 'pending' : `${command.verdict}${command.code ? ` ${command.code}` : ''}`;
    const tries = command.attempts === 0 ? 'never sent' : command.attempts === 1 ? 'sent once' : `sent ${command.attempts} times`;
    const to = command.settled_at_ms || end;
    spans.push({
      from: command.queued_at_ms, to, state: `command-${verdict}`, open: command.verdict === null,
      word: `${command.command}, ${tries}, ${word} after ${span(to - command.queued_at_ms)}${command.last_error ? `, last error: ${command.last_error}` : ''}`,
      label: command.command,
    });
    marks.push({ at: command.queued_at_ms, kind: 'asked', text: `the app asked for ${command.command}` });
    if (command.settled_at_ms) {
      marks.push({ at: command.settled_at_ms, kind: `verdict-${verdict}`, text: `${command.command}: ${word}` });
    }
    if (command.verdict === null && command.expires_at_ms && command.expires_at_ms <= end) {
      marks.push({ at: command.expires_at_ms, kind: 'deadline', text: `${command.command} expires` });
    }
  }
  return { kind: 'commands', title: 'Commands from here', note: commands.length ? '' : 'none', spans, marks };
}

/** What the device learned late: from when it was so to when it knew. */
function heardLane(timeline) {
  const late = new Map();
  for (const entry of timeline) {
    if (entry.source !== 'server' || entry.learned_ms - entry.at_ms < LATE_MS) continue;
    const what = entry.who ? `${entry.who}: ${stateWord(entry.what)}` : entry.what;
    // What came in together is one thing, since the oldest of it.
    const one = late.get(entry.learned_ms) ?? { from: entry.at_ms, to: entry.learned_ms, whats: [] };
    one.from = Math.min(one.from, entry.at_ms);
    one.whats.push(what);
    late.set(entry.learned_ms, one);
  }
  if (late.size === 0) return null;
  return {
    kind: 'heard', title: 'Heard late', note: 'from when it was so to when this device knew',
    spans: [...late.values()].map(({ from, to, whats }) => ({
      from, to, state: 'late', word: `${whats.join(', ')}: known here up to ${span(to - from)} later`, label: `up to ${span(to - from)} late`,
    })),
    marks: [...late.values()].map(({ to, whats }) => ({ at: to, kind: 'learned', text: `this device learns: ${whats.join(', ')}` })),
  };
}

function toldLane(timeline) {
  const told = new Map(); // of one moment, one mark
  for (const entry of timeline) {
    if (entry.source === 'app') told.set(entry.at_ms, [...(told.get(entry.at_ms) ?? []), entry.what]);
  }
  return {
    kind: 'told', title: 'Told to the app', note: told.size ? '' : 'nothing', spans: [],
    marks: [...told].map(([at, whats]) => ({ at, kind: 'told', text: whats.join(', ') })),
  };
}

/** All that is drawn of a call. Times in ms; `ended` is 0 while the call goes on. */
export function picture(story, nowMs) {
  const { call, commands, timeline, owner } = story;
  const rings = call?.rings ?? [];
  const times = [
    call?.create_time_ms, call?.end_time_ms,
    ...(call?.members ?? []).flatMap((member) => [member.invited_at_ms, member.state_time_ms]),
    ...rings.flatMap((ring) => [ring.opened_at_ms, ring.closed_at_ms]),
    ...commands.flatMap((command) => [command.queued_at_ms, command.settled_at_ms]),
    ...timeline.flatMap((entry) => [entry.at_ms, entry.learned_ms]),
  ].filter((at) => at > 0);
  const start = Math.min(...times);
  let end = Math.max(...times);
  const goesOn = call ? call.state === 'started' : commands.some((command) => command.verdict === null);
  const isNow = goesOn && nowMs > end && nowMs - end < STILL_MS;
  if (isNow) end = nowMs;
  else if (goesOn) {
    const deadlines = (call?.members ?? []).map((member) => member.deadline_ms);
    end = Math.max(end + 1000, ...deadlines.filter((at) => at - end < STILL_MS));
  }
  const stop = call?.end_time_ms || end;
  const lanes = [
    ...(call?.members ?? []).map((member) => memberLane(member, call, timeline, owner, stop)),
    heardLane(timeline), ringLane(rings, (call?.members ?? []).find((member) => member.user_id === owner), stop), commandLane(commands, end), toldLane(timeline),
  ].filter(Boolean);
  const known = end;
  for (const lane of lanes) {
    if (lane.kind === 'member') lane.spans = lane.spans.filter((one) => one.from <= stop);
    // A deadline that came to nothing, or is long after the rest, would only push that together.
    lane.marks = lane.marks.filter((mark) => mark.kind !== 'deadline' || mark.at <= known || (!mark.moot && mark.at - known < STILL_MS));
    for (const mark of lane.marks) end = Math.max(end, mark.at);
  }
  return { start, end, lanes, now: isNow ? nowMs : 0, ended: call?.end_time_ms ?? 0, endKind: call?.end_kind ?? null };
}
