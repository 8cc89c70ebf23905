// How things are called, and how times and states are shown.

import { h, s } from './dom.js';

/** States of a member: their word, and whether an answer is still open. */
export const STATES = {
  inviting: { word: 'inviting', pending: true },
  not_yet_received: { word: 'not yet received', pending: true },
  received: { word: 'received', pending: true },
  accepted: { word: 'in the call', pending: false },
  rejected: { word: 'rejected', over: true },
  cancelled: { word: 'cancelled', over: true },
  timeout: { word: 'timed out', over: true },
  quit: { word: 'quit', over: true },
};

export const stateWord = (state) => STATES[state]?.word ?? state;
export const stateClass = (state) => (STATES[state] ? `st-${state}` : 'st-other');

// Drawn in a box of 12 by 12, by lines: a state is known by its shape as well as by its colour.
const SHAPES = {
  inviting: 'M6 1.5v1M6 9.5v1M1.5 6h1M9.5 6h1M2.8 2.8l.7.7M8.5 8.5l.7.7M9.2 2.8l-.7.7M3.5 8.5l-.7.7',
  not_yet_received: 'M2.5 6h.01M6 6h.01M9.5 6h.01',
  received: 'M6 1.5a3 3 0 0 1 3 3c0 3 1 3.5 1 3.5H2s1-.5 1-3.5a3 3 0 0 1 3-3M5 10.2h2',
  accepted: 'M2 6.5l2.7 2.7L10 3',
  rejected: 'M2.5 2.5l7 7M9.5 2.5l-7 7',
  cancelled: 'M6 1.5a4.5 4.5 0 1 0 .01 0M2.9 9.1l6.2-6.2',
  timeout: 'M6 1.5a4.5 4.5 0 1 0 .01 0M6 3.5V6l1.8 1.4',
  quit: 'M7 2H2.5v8H7M5 6h5.5M8.5 4l2 2-2 2',
  verdict: 'M2 6.5l2.7 2.7L10 3',
  other: 'M4 4a2 2 0 1 1 2.6 2c-.5.2-.6.6-.6 1M6 9.5h.01',
};

/** The lines of a state's sign, for use in a drawing. */
export const shape = (name) => s('path', { d: SHAPES[name] ?? SHAPES.other, class: 'shape' });

/** A state as a small label with its sign. */
export const chip = (state, text = stateWord(state)) => h('span', { class: `chip ${stateClass(state)}` },
  s('svg', { viewBox: '0 0 12 12', width: 12, height: 12, 'aria-hidden': 'true' }, shape(state)), text);

/** How a call went, for its user, as one of the states; calls that go on are `open`. */
export function outcome(call) {
  if (call.state === 'started') return { state: call.my_state, text: call.my_state === 'accepted' ? 'in the call' : stateWord(call.my_state) };
  if (call.missed) return { state: call.my_state, text: call.seen ? 'missed, seen' : 'missed' };
  return { state: call.my_state, text: call.my_state === 'accepted' ? 'ended' : stateWord(call.my_state) };
}

const pad = (number, width = 2) => String(number).padStart(width, '0');

/** 10:00:03.250 in the reader's time zone. */
export function clock(ms, withMs = true) {
  if (!ms) return '–';
  const at = new Date(ms);
  const text = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  return withMs ? `${text}.${pad(at.getMilliseconds(), 3)}` : text;
}

export function day(ms) {
  const at = new Date(ms);
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
}

/** A time as an element whose tooltip has the date, the zone and the milliseconds. */
export function time(ms, { withDay = false, withMs = true } = {}) {
  if (!ms) return h('span', { class: 'none' }, '–');
  const iso = Number.isFinite(new Date(ms).getTime()) ? new Date(ms).toISOString() : String(ms);
  return h('time', { datetime: iso, title: `${iso} · ${ms} ms` }, `${withDay ? `${day(ms)} ` : ''}${clock(ms, withMs)}`);
}

/** 80 ms, 2.6 s, 1 min 30 s, 2 h 5 min, 3 d. */
export function span(ms) {
  const sign = ms < 0 ? '−' : '';
  const abs = Math.abs(ms);
  if (abs < 1000) return `${sign}${Math.round(abs)} ms`;
  if (abs < 10_000) return `${sign}${Number((abs / 1000).toFixed(2))} s`;
  if (abs < 60_000) return `${sign}${Number((abs / 1000).toFixed(1))} s`;
  const seconds = Math.round(abs / 1000);
  if (seconds < 3600) return `${sign}${Math.floor(seconds / 60)} min${seconds % 60 ? ` ${seconds % 60} s` : ''}`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 48 * 60) return `${sign}${Math.floor(minutes / 60)} h${minutes % 60 ? ` ${minutes % 60} min` : ''}`;
  return `${sign}${Math.round(minutes / 1440)} d`;
}

/** 4,096 B, 12.0 KiB, … */
export function bytes(count) {
  if (count === null || count === undefined) return '–';
  if (count < 10_000) return `${count.toLocaleString('en')} B`;
  if (count < 1024 * 1024) return `${(count / 1024).toFixed(0)} KiB`;
  return `${(count / 1024 / 1024).toFixed(1)} MiB`;
}

export const number = (value) => (value === null || value === undefined ? '–' : Number(value).toLocaleString('en'));

/** JSON of any kind as short text. */
export const short = (value) => {
  if (value === null || value === undefined || value === '') return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
};
