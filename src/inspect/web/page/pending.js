// Commands that wait for the server's verdict.

import { h, id, problem, swap } from './dom.js';
import { ask } from './server.js';
import { number, span, time } from './words.js';

const SHOWN = 200;

function card(command, now) {
  const waited = now - command.queued_at_ms;
  const expires = command.expires_at_ms ? (command.expires_at_ms > now ? `expires in ${span(command.expires_at_ms - now)}` : `expired ${span(now - command.expires_at_ms)} ago`) : 'never expires';
  return h('li', { class: 'card' },
    h('h2', {}, command.command),
    h('p', {}, h('a', { href: `#/calls/${encodeURIComponent(command.call_id)}`, 'data-key': command.op }, 'its call'), ' · ', id(command.call_id, 'call id')),
    h('p', {}, 'asked ', time(command.queued_at_ms, { withDay: true }), `, ${span(waited)} ago · `, expires),
    h('p', {}, command.sent ? `sent ${command.attempts}×, no verdict yet` : 'not sent yet'),
    command.last_error && h('p', { class: 'error' }, command.last_error));
}

export function pending(root) {
  const body = h('div', {});
  root.append(h('h1', {}, 'Pending'), h('p', { class: 'lead' }, 'What the app asked for and the server has not decided, oldest first. It is safe on disk, and has its effect once.'), body);
  async function refresh() {
    try {
      const [answer, state] = await Promise.all([ask('pending'), ask('health')]);
      const shown = answer.pending.slice(0, SHOWN);
      swap(body, shown.length === 0
        ? h('p', { class: 'empty' }, 'Nothing waits. Every command has its verdict.')
        : h('ul', { class: 'cards' }, shown.map((command) => card(command, state.now_ms))),
      answer.pending.length > SHOWN && h('p', { class: 'note' }, `and ${number(answer.pending.length - SHOWN)} more`));
    } catch (error) {
      swap(body, problem(error));
    }
  }
  return { go: refresh, refresh };
}
