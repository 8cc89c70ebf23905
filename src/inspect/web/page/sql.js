// A box for questions in SQL. Only questions: the connection is read-only, and says so.

import { h, swap, table } from './dom.js';
import { askSql } from './server.js';
import { cells } from './tables.js';
import { number } from './words.js';

const SAMPLES = [
  ['Latest calls', 'SELECT * FROM calls_view LIMIT 20'],
  ['What waits', 'SELECT * FROM pending_view'],
  ['What happened last', 'SELECT at, source, what, who, call_id, detail\n  FROM timeline_view\n ORDER BY at_ms DESC, rank DESC, n DESC LIMIT 50'],
  ['Never rang here', "SELECT calls_view.*\n  FROM calls_view JOIN calls USING (call_id)\n WHERE calls.missed = 1\n   AND NOT EXISTS (SELECT 1 FROM rings WHERE rings.call_id = calls.call_id)\n LIMIT 50"],
  ['Refused commands', "SELECT datetime(queued_at_ms / 1000, 'unixepoch') AS asked, command, code, result\n  FROM commands WHERE verdict = 'refused' ORDER BY n DESC LIMIT 50"],
];

export function sql(root) {
  const box = h('textarea', { 'aria-label': 'Question in SQL', rows: 6, spellcheck: 'false', autocomplete: 'off', autocapitalize: 'off', maxlength: 60000 });
  const run = h('button', { type: 'submit', class: 'main' }, 'Run');
  const stop = h('button', { type: 'button', class: 'quiet', hidden: true }, 'Stop');
  const result = h('div', { class: 'result', 'aria-live': 'polite' });
  const form = h('form', {}, box, h('p', { class: 'sql-row' }, run, stop, h('span', { class: 'note' }, 'Ctrl+Enter runs it. Nothing can be written; 1,000 rows and 5 seconds at most.')));
  root.append(h('h1', {}, 'SQL'),
    h('p', { class: 'samples' }, SAMPLES.map(([name, text]) => h('button', { type: 'button', class: 'quiet', onclick: () => { box.value = text; ask(); } }, name))),
    form, result);
  box.value = SAMPLES[0][1];

  let asking = null; // only the latest question is answered, and those before it are stopped

  async function ask() {
    asking?.abort();
    const own = new AbortController();
    asking = own;
    stop.hidden = false;
    try {
      const answer = await askSql(box.value, own.signal);
      if (own !== asking) return;
      const cut = { rows: ', and more that are not shown', bytes: ', and more: the answer is large' }[answer.cut] ?? '';
      swap(result, h('p', { class: 'note' }, `${number(answer.rows.length)} row${answer.rows.length === 1 ? '' : 's'}${cut} · ${answer.took_ms} ms`),
        table(answer.columns, answer.rows.map(cells(answer.columns)), { label: 'Answer', empty: 'No rows.' }));
    } catch (error) {
      if (own !== asking) return;
      if (own.signal.aborted) {
        swap(result, h('p', { class: 'note' }, 'Stopped.'));
      } else {
        const refused = error.status === 403;
        swap(result, h('div', { class: `problem ${refused ? 'refused' : ''}`, role: 'alert' }, h('strong', {}, refused ? 'Refused: ' : 'No answer: '), error.message));
      }
    }
    stop.hidden = true;
  }
  stop.addEventListener('click', () => asking?.abort());
  form.addEventListener('submit', (event) => { event.preventDefault(); ask(); });
  box.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) { event.preventDefault(); ask(); }
  });
  return {
    async go() {
      box.focus();
      await ask();
    },
  };
}
