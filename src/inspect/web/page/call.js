// One call: why it rang or not, the picture, the record and the whole story.

import { facts, h, id, problem, section, swap, table } from './dom.js';
import { ask } from './server.js';
import { picture } from './lanes.js';
import { frame } from './picture.js';
import { why } from './why.js';
import { chip, number, outcome, short, span, time } from './words.js';

const ENTRIES_AT_ONCE = 300;

function heading(story, callId) {
  const { call } = story;
  if (!call) return [h('h1', {}, 'A call that the server does not have'), h('p', { class: 'sub' }, id(callId, 'call id'))];
  const others = call.members.map((member) => member.user_id).filter((user) => user !== call.caller);
  const { state, text } = outcome(call);
  return [
    h('h1', {}, call.caller, h('span', { class: 'arrow' }, ' → '), others.join(', ') || 'nobody'),
    h('p', { class: 'sub' }, chip(state, text), h('span', {}, call.mode), time(call.create_time_ms, { withDay: true }),
      h('span', {}, call.end_time_ms ? `lasted ${span(call.end_time_ms - call.create_time_ms)}` : 'goes on'), id(callId, 'call id')),
  ];
}

function record(call) {
  return section('Record', facts([
    ['caller', call.caller], ['inviter', call.inviter || '–'],
    ['state', call.end_kind && call.end_kind !== call.state ? `${call.state}, ${call.end_kind}` : call.state],
    ['ended by', call.end_time_ms ? (call.ended_by ?? 'the server') : '–'],
    ['my state', chip(call.my_state)],
    ['my primary device', id(call.my_primary_device, 'device')],
    ['timeout', `${call.timeout_s} s`], ['not-received check', call.not_received_check ? 'yes' : 'no'],
    ['revision', number(call.revision)],
    ['extended data', call.extended_data || '–'], ['end data', call.end_data || '–'],
  ]));
}

function members(call) {
  const rows = call.members.map((member) => [
    h('b', {}, member.user_id), chip(member.state), time(member.state_time_ms), member.changed_by ?? 'server',
    member.inviter ?? '–', member.invitation || '–', time(member.deadline_ms), id(member.acting_device, 'device'), member.extended_data,
  ]);
  return section('Members', table(['user', 'state', 'since', 'by', 'inviter', 'invitation', 'deadline', 'device', 'data'], rows, { label: 'Members' }));
}

/** Long JSON as a few lines; the story below has it whole. */
const json = (text) => h('code', { class: 'few-lines', title: text }, text);

function commands(story) {
  const rows = story.commands.map((command) => [
    time(command.queued_at_ms), h('b', {}, command.command),
    h('span', { class: `verdict v-${command.verdict ?? 'pending'}` }, command.verdict ?? 'pending', command.code ? ` ${command.code}` : ''),
    command.settled_at_ms ? span(command.settled_at_ms - command.queued_at_ms) : '–', command.attempts,
    id(command.op, 'op'), json(short(command.arguments)), json(short(command.result) || command.last_error || ''),
  ]);
  return section('Commands of this device', table(['asked', 'command', 'verdict', 'took', 'sent', 'op', 'arguments', 'result or last error'], rows, { label: 'Commands', empty: 'This device gave none.' }));
}

const SOURCES = { user: 'asked here', server: 'server', device: 'this device', app: 'app told' };

function entry(one) {
  const late = one.learned_ms - one.at_ms;
  return h('li', { class: `entry from-${one.source}` },
    time(one.at_ms), h('span', { class: 'source' }, SOURCES[one.source] ?? one.source),
    h('span', { class: 'what' }, one.source === 'server' && one.who && !one.what.startsWith('call') ? h('b', {}, `${one.who} `) : null, one.what,
      one.learned_ms && late >= 1000 ? h('span', { class: 'late-note' }, ` known here ${span(late)} later`) : null,
      short(one.detail) ? h('code', {}, short(one.detail)) : null));
}

function whole(story, all, showAll) {
  const shown = all ? story.timeline : story.timeline.slice(0, ENTRIES_AT_ONCE);
  const left = story.timeline.length - shown.length;
  return section('The whole story',
    story.cut && h('p', { class: 'note' }, 'Older entries were left out: there are very many.'),
    story.timeline.length ? h('ol', { class: 'story' }, shown.map(entry)) : h('p', { class: 'empty' }, 'Nothing is known.'),
    left > 0 && h('button', { type: 'button', class: 'quiet', onclick: showAll }, `${number(left)} more`));
}

export function call(root, callId, back) {
  const drawing = frame();
  const head = h('div', { class: 'call-head' });
  const reasons = h('ul', { class: 'why' });
  const rest = h('div', {});
  const body = h('div', {}, head, reasons, drawing.element, rest);
  let all = false;
  let tick = 0;
  let closed = false;
  let story = null;
  let ahead = 0; // the server's clock less the browser's
  swap(root, h('a', { class: 'back', href: back }, '← All calls'), body);
  const now = () => Date.now() + ahead;

  function redraw() {
    drawing.show(picture(story, now()));
  }

  async function refresh() {
    let state;
    try {
      [story, state] = await Promise.all([ask('call', { id: callId }), ask('health')]);
    } catch (error) {
      if (!closed) swap(head, problem(error));
      return;
    }
    if (closed) return;
    ahead = state.now_ms - Date.now();
    swap(head, heading(story, callId));
    swap(reasons, why(story).map((line) => h('li', {}, line)));
    redraw();
    const showAll = () => { all = true; refresh(); };
    swap(rest, commands(story), story.call && [members(story.call), record(story.call)], whole(story, all, showAll));
    clearInterval(tick);
    // What goes on grows.
    if (picture(story, now()).now) tick = setInterval(redraw, 1000);
  }

  return { refresh, close() { closed = true; clearInterval(tick); drawing.close(); } };
}
