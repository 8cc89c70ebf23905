// Draws the lanes of a call.

import { h, s } from './dom.js';
import { axis } from './axis.js';
import { STATES, clock, shape, span, stateClass, stateWord } from './words.js';

const LANE = 52; // the height of a lane: a line of text, and its bar
const BAR = 20;
const TOP = 30; // the axis
const SIDE = 12;
const NARROWEST = 560; // below that the picture scrolls sideways
const LETTER = 6.6; // about the width of one, to know what text has room

const isMember = (lane) => lane.kind === 'member';

function spanText(lane, one) {
  const name = lane.kind === 'member' ? `${lane.title}: ${stateWord(one.state)}` : `${lane.title}: ${one.word}`;
  const until = one.open ? `since ${clock(one.from)}` : `${clock(one.from)} to ${clock(one.to)}, ${span(one.to - one.from)}`;
  return `${name}${one.by ? `, ${one.by}` : ''} – ${until}`;
}

/** A span: pending ones are hatched, being in the call is solid, what is over is a line. */
function drawSpan(lane, one, y, place, { next, until, edge }) {
  const left = place(one.from);
  const right = Math.max(place(one.to), left + 2);
  const over = isMember(lane) && STATES[one.state]?.over;
  const kind = isMember(lane) ? stateClass(one.state) : one.state;
  const middle = y + BAR / 2;
  const pending = isMember(lane) && !over && one.state !== 'accepted';
  const parts = [];
  const isCommand = one.state.startsWith('command');
  if (over || isCommand || one.state === 'late') {
    parts.push(s('line', { x1: left, x2: right, y1: middle, y2: middle, class: 'over' }));
  } else {
    parts.push(s('rect', { x: left, y, width: right - left, height: BAR, rx: 4, class: 'fill' }));
    if (pending) {
      parts.push(s('rect', { x: left, y, width: right - left, height: BAR, rx: 4, class: 'hatch' }));
    }
  }
  const room = right - left;
  if (isMember(lane) && (room >= 20 || over)) {
    parts.push(s('circle', { cx: left + 10, cy: middle, r: 8, class: 'disc' }),
      s('g', { transform: `translate(${left + 4} ${middle - 6})` }, shape(one.state)));
  }
  const text = isMember(lane) ? stateWord(one.state) : (one.label ?? one.word);
  const inset = isMember(lane) ? 23 : isCommand || one.state === 'late' ? 12 : 8;
  if (Math.min(room, next - left) > inset + text.length * LETTER + 10) {
    const plain = over || isCommand || one.state === 'late';
    const width = text.length * LETTER + 8;
    if (plain) parts.push(s('rect', { x: left + inset - 3, y: middle - 8, width, height: 16, class: 'behind' }));
    parts.push(s('text', { x: left + inset, y: middle + 4, class: plain ? 'on-line' : 'on-bar' }, text));
  } else if (isCommand && until - right > text.length * LETTER + 16) {
    parts.push(s('text', { x: right + 12, y: middle + 4, class: 'beside' }, text));
  } else if (isCommand && until === edge) {
    // The last one, at the edge of the picture.
    parts.push(s('text', { x: edge, y: y - 8, class: 'beside', 'text-anchor': 'end' }, text));
  }
  if (one.open) parts.push(s('path', { d: `M${right - 1} ${y - 2}v${BAR + 4}`, class: 'edge' }));
  // Thin lines are hard to hit.
  parts.unshift(s('rect', { x: left, y: y - 4, width: room, height: BAR + 8, class: 'hit' }));
  return thing(spanText(lane, one), left, { class: `span ${kind}${pending ? ' pending' : ''}` }, parts);
}

const MARKS = {
  deadline: (x, y) => [s('path', { d: `M${x} ${y - 8}v${BAR + 14}`, class: 'dash' }), s('path', { d: `M${x} ${y - 8}l9 4-9 4z`, class: 'flag' })],
  asked: (x, y) => [s('path', { d: `M${x - 5} ${y + BAR / 2 + 6}h10l-5-9z`, class: 'solid' })],
  told: (x, y) => [s('circle', { cx: x, cy: y + BAR / 2, r: 4.5, class: 'solid' })],
  learned: (x, y) => [s('path', { d: `M${x - 4} ${y + BAR / 2 - 4}l4 4-4 4`, class: 'line' }), s('path', { d: `M${x} ${y + 2}v${BAR - 4}`, class: 'line' })],
  verdict: (x, y, sign) => [s('circle', { cx: x, cy: y + BAR / 2, r: 8, class: 'disc' }), s('g', { transform: `translate(${x - 6} ${y + BAR / 2 - 6})` }, shape(sign))],
};
const SIGNS = { 'verdict-accepted': 'verdict', 'verdict-refused': 'rejected', 'verdict-dropped': 'cancelled' };
const WORDS = {
  deadline: 'deadline', moot: 'deadline, settled before', asked: 'the app asks', 'verdict-accepted': 'accepted', 'verdict-refused': 'refused',
  'verdict-dropped': 'expired, withdrawn or dropped', learned: 'known here', told: 'the app is told',
};

function drawMark(lane, mark, y, place, until) {
  const x = place(mark.at);
  const label = mark.kind === 'told' && until - x > mark.text.length * LETTER + 16
    ? s('text', { x: x + 9, y: y + BAR / 2 + 4, class: 'beside' }, mark.text) : [];
  const draw = MARKS[mark.kind] ?? MARKS.verdict;
  return thing(`${lane.title}: ${mark.text} – ${clock(mark.at)}`, x, { class: `mark ${mark.kind}${mark.moot ? ' moot' : ''}` }, [
    s('rect', { x: x - 10, y: y - 8, width: 20, height: BAR + 16, class: 'hit' }), draw(x, y, SIGNS[mark.kind]), label]);
}

/** What the marks mean, of those that are there. */
function legend(model) {
  const kinds = new Set(model.lanes.flatMap((lane) => lane.marks.map((mark) => (mark.moot ? 'moot' : mark.kind))));
  return Object.entries(WORDS).filter(([kind]) => kinds.has(kind)).map(([kind, word]) => h('span', { class: 'meaning' },
    s('svg', { width: 18, height: 18, viewBox: '-9 0 18 20', 'aria-hidden': 'true' },
      s('g', { class: `mark ${kind === 'moot' ? 'deadline moot' : kind}` }, kind === 'moot' || kind === 'deadline'
        ? [s('path', { d: 'M-4 2v17', class: 'dash' }), s('path', { d: 'M-4 2l9 4-9 4z', class: 'flag' })]
        : (MARKS[kind] ?? MARKS.verdict)(0, 0, SIGNS[kind]))), word));
}

function thing(text, x, properties, parts) {
  return s('g', { ...properties, role: 'img', tabindex: '-1', 'aria-label': text, 'data-x': Math.round(x) }, parts);
}

function grid(model, ticks, height, place, width) {
  let free = 0; // where the next text may begin
  const parts = ticks.map(({ at, x }, index) => {
    const text = index === 0 ? clock(at) : `+${span(at - model.start)}`;
    const room = text.length * LETTER;
    const left = index === 0 ? x : Math.min(x - room / 2, width - SIDE - room);
    const line = s('line', { x1: x, x2: x, y1: TOP - 8, y2: height, class: 'grid' });
    if (left < free) return line;
    free = left + room + 8;
    return [line, s('text', { x: left, y: 14, class: 'tick' }, text)];
  });
  const last = model.ended || model.now;
  if (last) {
    const x = place(last);
    const how = model.endKind && model.endKind !== 'ended' ? `ended, ${model.endKind}` : 'ended';
    const word = model.ended ? how : 'now';
    parts.push(s('line', { x1: x, x2: x, y1: TOP - 8, y2: height, class: 'end' }),
      s('text', { x: x > width - 120 ? x - 5 : x + 5, y: height - 3, class: 'end-text', 'text-anchor': x > width - 120 ? 'end' : 'start' }, word));
  }
  return parts;
}

const hatch = () => s('defs', {}, s('pattern', { id: 'hatch', width: 6, height: 6, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
  s('line', { x1: 0, x2: 0, y1: 0, y2: 6, class: 'hatch-line' })));

function draw(model, available, toScale) {
  const width = Math.max(available, NARROWEST);
  const moments = [model.start, model.end, ...model.lanes.flatMap((lane) => [
    ...lane.spans.flatMap((one) => [one.from, one.to]), ...lane.marks.map((mark) => mark.at)])]
    .filter((at) => at >= model.start && at <= model.end);
  const { place, ticks } = axis(moments, SIDE, width - SIDE, 92, toScale);
  const members = model.lanes.filter(isMember).length;
  const gap = members && members < model.lanes.length ? 16 : 0;
  const height = TOP + model.lanes.length * LANE + gap + 14;
  const lanes = model.lanes.map((lane, index) => {
    const top = TOP + index * LANE + (index >= members ? gap : 0);
    const y = top + 24;
    const begins = [...lane.spans.map((one) => one.from), ...lane.marks.map((mark) => mark.at)];
    // Up to where a text may stand that begins there.
    const room = (at, all = begins) => place(Math.min(model.end, ...all.filter((begin) => begin > at)));
    const texts = (one) => ({
      // Commands overlap, states do not.
      next: lane.kind === 'commands' ? room(one.from, lane.spans.map((other) => other.from)) : Infinity,
      until: lane.spans.some((other) => other !== one && other.to === one.to) ? -1 : room(one.to),
      edge: place(model.end),
    });
    return s('g', { class: `lane lane-${lane.kind}`, role: 'group', 'aria-label': [lane.title, lane.note].filter(Boolean).join(', ') },
      index === members && gap ? s('line', { x1: 0, x2: width, y1: top - 6, y2: top - 6, class: 'between' }) : null,
      s('text', { x: SIDE, y: top + 14, class: 'lane-title' }, lane.title,
        lane.note ? s('tspan', { class: 'lane-note', dx: 8 }, lane.note) : null),
      s('line', { x1: SIDE, x2: width - SIDE, y1: y + BAR / 2, y2: y + BAR / 2, class: 'track' }),
      lane.spans.map((one) => drawSpan(lane, one, y, place, texts(one))),
      lane.marks.map((mark) => drawMark(lane, mark, y, place, room(mark.at))));
  });
  return s('svg', { width, height, viewBox: `0 0 ${width} ${height}`, role: 'group', 'aria-label': 'The call along time. Arrow keys go from one thing to the next.' },
    hatch(), grid(model, ticks, height - 12, place, width), lanes);
}

/** Arrow keys: left and right along a lane, up and down to the nearest thing of another. */
function walk(svg, event) {
  const current = document.activeElement.closest?.('[data-x]');
  if (!current || !svg.contains(current)) return;
  const lanes = [...svg.querySelectorAll('.lane')].map((lane) => [...lane.querySelectorAll('[data-x]')]
    .sort((one, other) => one.dataset.x - other.dataset.x)).filter((lane) => lane.length);
  const row = lanes.findIndex((lane) => lane.includes(current));
  const along = lanes[row].indexOf(current);
  let to = null;
  if (event.key === 'ArrowRight') to = lanes[row][along + 1];
  if (event.key === 'ArrowLeft') to = lanes[row][along - 1];
  const other = { ArrowDown: lanes[row + 1], ArrowUp: lanes[row - 1] }[event.key];
  if (other) to = other.reduce((best, one) => (Math.abs(one.dataset.x - current.dataset.x) < Math.abs(best.dataset.x - current.dataset.x) ? one : best));
  if (to) to.focus();
  if (event.key.startsWith('Arrow')) event.preventDefault();
}

/** The picture in its frame, which follows the width of the window. */
export function frame() {
  const reading = h('p', { class: 'reading', 'aria-live': 'polite' }, 'Point at something, or walk with the arrow keys.');
  const holder = h('div', { class: 'picture', role: 'region', 'aria-label': 'Picture of the call' });
  const scale = h('button', { type: 'button', class: 'quiet', 'aria-pressed': 'false', 'data-key': 'scale' }, 'To scale');
  const meanings = h('p', { class: 'legend meanings' });
  let model = null;
  let toScale = false;
  let width = 0;

  function redraw() {
    if (!model || !width) return;
    const focused = document.activeElement?.closest?.('[data-x]');
    const label = focused && holder.contains(focused) ? focused.getAttribute('aria-label').split(' – ')[0] : null;
    const svg = draw(model, width, toScale);
    holder.replaceChildren(svg);
    meanings.replaceChildren(...legend(model));
    const things = [...svg.querySelectorAll('[data-x]')];
    things[0]?.setAttribute('tabindex', '0');
    if (label) things.find((one) => one.getAttribute('aria-label').startsWith(label))?.focus({ preventScroll: true });
  }
  const read = (event) => {
    const one = event.target.closest?.('[data-x]');
    if (one) reading.textContent = one.getAttribute('aria-label');
  };
  holder.addEventListener('pointerover', read);
  holder.addEventListener('focusin', read);
  holder.addEventListener('keydown', (event) => { if (holder.firstChild) walk(holder.firstChild, event); });
  scale.addEventListener('click', () => {
    toScale = !toScale;
    scale.setAttribute('aria-pressed', String(toScale));
    redraw();
  });
  const observer = new ResizeObserver(([entry]) => {
    const now = Math.floor(entry.contentRect.width);
    if (now !== width) { width = now; redraw(); }
  });
  observer.observe(holder);
  return {
    element: h('figure', { class: 'figure' }, holder, meanings, h('figcaption', {}, reading, scale)),
    show(next) { model = next; redraw(); },
    close() { observer.disconnect(); },
  };
}
