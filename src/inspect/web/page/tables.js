// The tables themselves: how they are made, and their rows.

import { h, problem, swap, table } from './dom.js';
import { ask } from './server.js';
import { number } from './words.js';

const PAGE = 100;
// Below it, a number of ms is a length and no time: 2001.
const EPOCH_LIKE_MS = 1_000_000_000_000;

/** What a number of ms since 1970 is, for who points at it. */
function meaning(column, value) {
  if (!/_ms$/.test(column) || value < EPOCH_LIKE_MS) return null;
  const at = new Date(value);
  return Number.isNaN(at.getTime()) ? null : at.toISOString();
}

/** Cells as they stand; NULL is told from text. */
export const cells = (columns) => (row) => row.map((value, index) => (value === null ? h('span', { class: 'null' }, 'NULL')
  : typeof value === 'number' ? h('span', { class: 'number', title: meaning(columns[index], value) }, String(value)) : value));

export function tables(root) {
  const names = h('nav', { class: 'names', 'aria-label': 'Tables and views' });
  const body = h('div', { class: 'detail' });
  root.append(h('h1', { class: 'unseen' }, 'Tables'), names, body);
  let open = null;
  let offset = 0;
  let unfolded = window.innerWidth > 900;

  async function refresh() {
    try {
      const list = (await ask('tables')).tables;
      const chosen = list.find((one) => one.name === open) ?? list.find((one) => one.name === 'calls') ?? list[0];
      if (!chosen) {
        swap(body, h('p', { class: 'empty' }, 'There are no tables.'));
        return;
      }
      swap(names, ['table', 'view'].map((kind) => [h('h2', {}, kind === 'table' ? 'Tables' : 'Views, for people'),
        h('ul', {}, list.filter((one) => one.kind === kind).map((one) => h('li', {},
          h('a', { href: `#/tables/${encodeURIComponent(one.name)}`, 'data-key': one.name, 'aria-current': one === chosen ? 'true' : null },
            one.name, h('span', { class: 'count' }, one.rows === null ? '' : number(one.rows))))))]));
      const rows = await ask('table', { name: chosen.name, offset: offset || '' });
      draw(chosen, rows);
    } catch (error) {
      swap(body, problem(error));
    }
  }

  function draw(chosen, rows) {
    const step = (to, text, enabled) => h('button', { type: 'button', class: 'quiet', disabled: !enabled, 'data-key': text, onclick: () => { offset = to; refresh(); } }, text);
    const made = h('details', { open: unfolded, ontoggle: () => { unfolded = made.open; } },
      h('summary', { 'data-key': 'made' }, 'How it is made'), h('pre', {}, chosen.sql));
    swap(body, h('h2', { class: 'table-name' }, chosen.name), made,
      table(rows.columns, rows.rows.map(cells(rows.columns)), { label: `Rows of ${chosen.name}`, empty: offset ? 'No more rows.' : 'No rows.' }),
      h('p', { class: 'pager' }, step(Math.max(0, offset - PAGE), 'Newer', offset > 0),
        rows.rows.length ? `rows ${number(offset + 1)}–${number(offset + rows.rows.length)}` : '',
        step(offset + PAGE, 'Older', rows.rows.length === PAGE)));
  }

  return {
    async go(rest) {
      if ((rest[0] ?? null) !== open) offset = 0;
      open = rest[0] ?? null;
      await refresh();
    },
    refresh,
  };
}
