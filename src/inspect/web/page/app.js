// Which view is shown, and that it follows the file.

import { h, swap } from './dom.js';
import { ask } from './server.js';
import { calls } from './calls.js';
import { pending } from './pending.js';
import { health } from './health.js';
import { tables } from './tables.js';
import { sql } from './sql.js';

// How often the files are looked at, from outside; only while the page is seen.
const LOOK_EVERY_MS = 1000;

const VIEWS = [
  ['calls', 'Calls', calls],
  ['pending', 'Pending', pending],
  ['health', 'Health', health],
  ['tables', 'Tables', tables],
  ['sql', 'SQL', sql],
];

const main = document.getElementById('main');
const live = document.getElementById('live');
const trouble = document.getElementById('trouble');
let shown = null; // { name, refresh }
let lastChange = null;
let failed = false;
let damage = '';

/** #/calls/ID?q=bob → ['calls', ['ID'], parameters] */
function route() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const parts = path.split('/').map((part) => {
    try { return decodeURIComponent(part); } catch { return part; }
  });
  return { name: parts[0] || 'calls', rest: parts.slice(1).filter(Boolean), parameters: new URLSearchParams(query) };
}

async function show() {
  const { name, rest, parameters } = route();
  const [own, title, view] = VIEWS.find(([key]) => key === name) ?? VIEWS[0];
  for (const link of document.querySelectorAll('#nav a')) {
    if (link.dataset.view === own) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  document.title = `${title} – offhook`;
  if (shown?.name === own && shown.go) {
    await shown.go(rest, parameters);
    return;
  }
  const root = h('div', { class: `view view-${own}` });
  shown = { name: own, ...view(root) };
  swap(main, root);
  window.scrollTo(0, 0);
  await shown.go(rest, parameters);
}

function tell(kind, text) {
  live.className = `live live-${kind}`;
  if (live.textContent !== text) live.textContent = text;
}

async function header() {
  const state = await ask('health');
  const name = state.path.split(/[\\/]/).pop();
  swap(document.getElementById('file'),
    h('b', { title: state.path }, name),
    h('span', { class: 'who' }, [state.user_id, state.device_id && (state.device_id.length > 12 ? state.device_id.slice(0, 8) : state.device_id)].filter(Boolean).join(' on ')));
  damage = state.damage ? `The file is damaged (${state.damage}). This is what of it can be read; “offhook inspect FILE doctor” says more.` : '';
  document.getElementById('count-pending').textContent = state.pending || '';
  document.getElementById('count-calls').textContent = state.missed_unseen ? `${state.missed_unseen} missed` : '';
}

async function look() {
  try {
    const { changes } = await ask('changes');
    if (lastChange !== changes || failed) {
      const first = lastChange === null;
      lastChange = changes;
      await Promise.all([header(), first ? null : shown?.refresh?.()]);
    }
    failed = false;
    trouble.hidden = damage === '';
    trouble.textContent = damage;
    tell('on', 'following');
  } catch (error) {
    failed = true;
    tell('off', error.status === 0 ? 'stopped' : 'cannot read');
    trouble.textContent = error.message;
    trouble.hidden = false;
  }
}

async function follow() {
  if (!document.hidden) await look();
  setTimeout(follow, LOOK_EVERY_MS);
}

swap(document.getElementById('nav'), VIEWS.map(([key, title], index) => h('a', { href: `#/${key}`, 'data-view': key, 'aria-keyshortcuts': index + 1, title: `Key ${index + 1}` }, title,
  h('span', { class: 'count', id: `count-${key}` }))));
// The number of a shortcut is the place of its view.
document.addEventListener('keydown', (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest('input, textarea, select')) return;
  const view = VIEWS[Number(event.key) - 1];
  if (view) location.hash = `#/${view[0]}`;
  if (event.key === '/') {
    const search = document.querySelector('input[type=search]');
    if (search) { event.preventDefault(); search.focus(); }
  }
});
document.querySelector('.skip').addEventListener('click', (event) => { event.preventDefault(); main.focus(); });
window.addEventListener('hashchange', show);
document.addEventListener('visibilitychange', () => { if (!document.hidden) look(); });
await show();
follow();
