// How far the file is with the server, and how late its word came in.

import { facts, h, id, problem, s, section, swap, table } from './dom.js';
import { ask } from './server.js';
import { bytes, clock, number, span, time } from './words.js';

// What is learned later than this was not just slow.
const SILENCE_MS = 5000;

const figure = (value, name, note, kind) => h('li', { class: `card figure-card ${kind ?? ''}` }, h('b', {}, value), h('span', {}, name), note && h('small', {}, note));

function sync(state) {
  const { feed, lease, clock: own, lag } = state;
  const heard = feed.heard_at_ms;
  return section('With the server', facts([
    ['last heard', heard ? h('span', {}, time(heard, { withDay: true }), ` – ${span(state.now_ms - heard)} ago`) : 'never'],
    ['cursor', number(feed.cursor)], ['epoch', id(state.epoch, 'epoch')],
    ['late by', lag.changes ? `${span(lag.last_ms)} at the last change, ${span(lag.worst_ms)} at worst` : '–'],
    ['clock', own.offset_ms === null ? 'no estimate yet' : own.offset_ms === 0 ? 'as the server’s' : `server ${own.offset_ms > 0 ? 'ahead of' : 'behind'} this device by ${span(Math.abs(own.offset_ms))}`],
    ['who syncs', lease?.holder ? h('span', {}, lease.holder, ' since ', time(lease.taken_at_ms, { withDay: true })) : 'nobody yet'],
    ['times it was taken', lease ? number(lease.generation) : '–'],
  ]));
}

function waits(state) {
  const oldest = state.oldest_pending;
  if (!oldest) return null;
  return section('Waits longest', h('p', {}, h('a', { href: `#/calls/${encodeURIComponent(oldest.call_id)}` }, oldest.command),
    ` for ${span(state.now_ms - oldest.queued_at_ms)}, sent ${oldest.attempts}×`), oldest.last_error && h('p', { class: 'error' }, oldest.last_error));
}

function errors(state) {
  if (state.last_errors.length === 0) return null;
  const rows = state.last_errors.map((one) => [
    time(one.at_ms, { withDay: true }), h('a', { href: `#/calls/${encodeURIComponent(one.call_id)}` }, one.command),
    `${one.verdict ?? 'pending'}${one.code ? ` ${one.code}` : ''}`, h('code', {}, one.error),
  ]);
  return section('Last errors', table(['when', 'command', 'verdict', 'why'], rows, { label: 'Last errors' }));
}

/**
 * Since when this device is known to have been out of touch, and until when: what came about then
 * was learned only at the end. The file has no list of its connections; this follows from it.
 */
function silences(list) {
  const late = list.filter((one) => one.what === 'change' && one.delay_ms >= SILENCE_MS)
    .map((one) => ({ from: one.at_ms - one.delay_ms, to: one.at_ms, changes: 1 }))
    .sort((one, other) => one.from - other.from);
  const apart = [];
  for (const one of late) {
    const before = apart.at(-1);
    if (before && one.from <= before.to) {
      before.to = Math.max(before.to, one.to);
      before.changes += 1;
    } else apart.push(one);
  }
  return apart;
}

function connections(state) {
  const { feed, lease } = state;
  const quiet = silences(state.delays ?? []);
  const among = `among the last ${number((state.delays ?? []).length)} changes and verdicts`;
  const rows = quiet.map(({ from, to, changes }) => [to,
    [`${number(changes)} change${changes === 1 ? '' : 's'} came in after ${span(to - from)} out of touch, since `, time(from, { withDay: to - from > 43_200_000 })]]);
  if (lease?.holder) rows.push([lease.taken_at_ms, `${lease.holder} began to sync`]);
  if (feed.heard_at_ms) rows.push([feed.heard_at_ms, 'the server was last heard; this is noted every few minutes']);
  rows.sort((one, other) => other[0] - one[0]);
  return section('Connection history',
    table(['when', 'what'], rows.map(([at, what]) => [time(at, { withDay: true }), h('span', { class: 'wraps' }, what)]), { label: 'Connection history', empty: 'Nothing was heard from a server yet.' }),
    rows.length > 0 && h('p', { class: 'note' }, quiet.length
      ? `Out of touch: a change was known here ${span(SILENCE_MS)} or more after it was made, ${among}.`
      : `Nothing came in ${span(SILENCE_MS)} or more after it was made, ${among}.`));
}

/** A dot for each change and verdict, newest at the right; higher is later, by the logarithm. */
function delays(state) {
  const list = [...(state.delays ?? [])].reverse();
  if (list.length === 0) return h('p', { class: 'empty' }, 'Nothing was heard from a server yet.');
  const width = 640;
  const height = 150;
  const lines = [[0, '0'], [100, '0.1 s'], [1000, '1 s'], [60_000, '1 min'], [3_600_000, '1 h'], [86_400_000, '1 d']];
  const most = Math.max(1000, ...list.map((one) => one.delay_ms));
  const shown = lines.filter(([ms], index) => index < 3 || lines[index - 1][0] <= most);
  const top = Math.log10(10 + Math.max(most, shown.at(-1)[0])) - 1;
  const y = (ms) => height - 14 - ((Math.log10(10 + Math.max(0, ms)) - 1) / top) * (height - 30);
  const x = (index) => 56 + (list.length < 2 ? 0.5 : index / (list.length - 1)) * (width - 72);
  return h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Delays' },
    s('svg', { viewBox: `0 0 ${width} ${height}`, class: 'delays', role: 'img', 'aria-label': `The last ${list.length} changes and verdicts; the latest came ${span(list.at(-1).delay_ms)} after it was so.` },
      shown.map(([ms, text]) => [s('line', { x1: 52, x2: width, y1: y(ms), y2: y(ms), class: 'grid' }), s('text', { x: 46, y: y(ms) + 4, class: 'tick', 'text-anchor': 'end' }, text)]),
      list.map((one, index) => {
        const title = s('title', {}, `${one.what} at ${clock(one.at_ms)}: ${span(one.delay_ms)}`);
        return one.what === 'verdict'
          ? s('path', { d: `M${x(index)} ${y(one.delay_ms) - 5}l5 5-5 5-5-5z`, class: 'dot dot-verdict' }, title)
          : s('circle', { cx: x(index), cy: y(one.delay_ms), r: 4, class: 'dot' }, title);
      })),
    h('p', { class: 'legend' }, h('span', {}, h('span', { class: 'key' }), 'a change, from when it was so to when this device knew'),
      h('span', {}, h('span', { class: 'key key-diamond' }), 'a command, from the app’s word to the verdict')));
}

export function health(root) {
  const body = h('div', {});
  root.append(h('h1', {}, 'Health'), body);
  async function refresh() {
    try {
      const state = await ask('health');
      const { file } = state;
      const heard = state.feed.heard_at_ms;
      swap(body,
        h('ul', { class: 'cards figures' },
          figure(heard ? span(state.now_ms - heard) : 'never', heard ? 'since the server was heard' : 'heard from the server'),
          figure(number(state.pending), 'commands wait', null, state.pending ? 'warm' : ''),
          figure(number(state.missed_unseen), 'missed, not seen', null, state.missed_unseen ? 'warm' : ''),
          figure(number(state.started), 'calls open', `of ${number(state.calls)}`)),
        sync(state), waits(state), errors(state), connections(state),
        section('How late the server’s word came in', delays(state)),
        section('The file', facts([
          ['path', h('code', {}, state.path)], ['size', bytes(file.bytes)], ['WAL beside it', bytes(file.wal_bytes)], ['free within it', bytes(file.free_bytes)],
          ['layout', file.schema > state.schema_known ? `version ${file.schema}, newer than this build (${state.schema_known})` : `version ${file.schema}`],
          ['user', state.user_id ?? '–'], ['device', id(state.device_id, 'device')],
          ['members', number(state.members)], ['events in the journal', number(state.journal)],
        ])));
    } catch (error) {
      swap(body, problem(error));
    }
  }
  return { go: refresh, refresh };
}
