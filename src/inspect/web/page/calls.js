// The list of calls, with search and filters, and beside it the call that is open.

import { h, problem, swap } from './dom.js';
import { ask } from './server.js';
import { call as callView } from './call.js';
import { chip, clock, day, outcome, span } from './words.js';

const PAGE = 50;
// Pages that are read at most to meet the calls that are shown; beyond, the list starts anew.
const MEETS_WITHIN = 4;

/** Who a call is with, from the list's point of view. */
function people(call) {
  const others = call.members.map((member) => member.user_id).filter((user) => user !== call.caller);
  const shown = others.slice(0, 3).join(', ');
  return `${shown || 'nobody'}${others.length > 3 ? ` +${others.length - 3}` : ''}`;
}

function row(call, isOpen, isNew, query) {
  const { state, text } = outcome(call);
  const lasted = call.end_time_ms ? span(call.end_time_ms - call.create_time_ms) : 'goes on';
  return h('li', { class: isNew ? 'fresh' : null },
    h('a', {
      href: `#/calls/${encodeURIComponent(call.call_id)}${query}`, class: 'row', 'data-key': call.call_id,
      'aria-current': isOpen ? 'true' : null,
    },
    h('span', { class: 'row-who' }, h('b', {}, call.caller), h('span', { class: 'arrow', 'aria-label': 'calls' }, ' → '), people(call)),
    h('span', { class: 'row-when' }, clock(call.create_time_ms, false)),
    h('span', { class: 'row-how' }, chip(state, text), call.state === 'started' && h('span', { class: 'open' }, 'open')),
    h('span', { class: 'row-much' }, call.mode === 'advanced' ? 'advanced · ' : '', lasted)));
}

export function calls(root) {
  const list = h('div', { class: 'list' });
  const detail = h('div', { class: 'detail' });
  const search = h('input', {
    type: 'search', placeholder: 'Search people, ids, data', 'aria-label': 'Search calls', title: 'Key /', maxlength: 200, autocomplete: 'off', spellcheck: 'false',
  });
  const state = h('select', { 'aria-label': 'State' },
    h('option', { value: '' }, 'All calls'), h('option', { value: 'started' }, 'Open'), h('option', { value: 'ended' }, 'Ended'));
  const missed = h('input', { type: 'checkbox', id: 'missed' });
  const since = h('input', { type: 'date' });
  const status = h('p', { class: 'list-status', role: 'status' });
  const items = h('div', { class: 'items' });
  const choose = h('p', { class: 'empty choose' }, 'Choose a call to see how it went.');
  const more = h('button', { type: 'button', class: 'quiet' }, 'Older calls');
  const stop = h('button', { type: 'button', class: 'quiet', hidden: true }, 'Stop searching');
  list.append(
    h('form', { class: 'filters', role: 'search', onsubmit: (event) => event.preventDefault() },
      search, h('div', { class: 'filter-row' }, state, h('label', { class: 'check' }, missed, 'Missed'), h('label', { class: 'check' }, 'since', since))),
    status, stop, items, more);
  root.append(h('h1', { class: 'unseen' }, 'Calls'), list, detail);

  let loaded = []; // the calls that are shown
  let named = []; // calls further back that were found by an id or a name at once
  let next = 0; // where the page after them starts
  let searchedTo = null; // how far back a search has looked when it brought too little
  let searching = false; // and whether it goes on
  let stale = false; // whether the file changed meanwhile
  let known = null;
  let open = null;
  let view = null;
  let turn = 0;

  const query = () => {
    const text = new URLSearchParams(Object.entries({
      q: search.value, state: state.value, missed: missed.checked ? '1' : '', since: since.value,
    }).filter(([, value]) => value)).toString();
    return text ? `?${text}` : '';
  };

  const page = (from, count = PAGE) => ask('calls', {
    q: search.value, state: state.value, missed: missed.checked, count, next_flag: from,
    since: since.value ? new Date(`${since.value}T00:00`).getTime() : '',
  });

  /** Reads a page after those that are shown. A search comes in steps, of which each is shown. */
  async function readOn(own, from) {
    const wanted = loaded.length + PAGE;
    let after = from;
    searching = search.value !== '';
    try {
      do {
        const answer = await page(after, wanted - loaded.length);
        if (own !== turn || !root.isConnected) return;
        loaded = [...loaded, ...answer.calls];
        named.push(...(answer.named ?? []));
        after = answer.next_flag;
        next = after;
        searchedTo = answer.searched_to_ms ?? null;
        searching = searching && searchedTo !== null && loaded.length < wanted;
        // What reading on brings is other calls, not new ones.
        known = null;
        draw();
      } while (searching);
    } catch (error) {
      if (own !== turn) return;
      searching = false;
      stop.hidden = true;
      swap(items, problem(error));
    }
    if (stale) await load();
  }

  async function loadAfresh() {
    const own = ++turn;
    loaded = [];
    named = [];
    stale = false;
    await readOn(own, 0);
  }

  /** Reads the newest calls, until they meet those that are shown; older ones stay as they were read. */
  async function load() {
    if (searching) {
      stale = true;
      return;
    }
    stale = false;
    const own = ++turn;
    if (search.value !== '') {
      await searchNewest(own);
      return;
    }
    const found = [];
    let after = 0;
    const meets = () => loaded.findLastIndex((call) => found.some((one) => one.call_id === call.call_id));
    try {
      for (let pages = 0; pages < MEETS_WITHIN; pages += 1) {
        const answer = await page(after);
        found.push(...answer.calls);
        after = answer.next_flag;
        if (after === 0 || loaded.length === 0 || meets() >= 0) break;
      }
    } catch (error) {
      if (own === turn) swap(items, problem(error));
      return;
    }
    if (own !== turn) return;
    const met = meets();
    const older = met >= 0 && after !== 0 ? loaded.slice(met + 1) : [];
    loaded = [...found, ...older];
    if (older.length === 0) next = after;
    draw();
  }

  /** One step of a search, which is far more than can be new, in place of what was found there before. */
  async function searchNewest(own) {
    try {
      const answer = await page(0);
      if (own !== turn) return;
      const down = answer.searched_to_ms ?? (answer.next_flag === 0 ? -Infinity : answer.calls.at(-1).create_time_ms);
      const again = new Set(answer.calls.map((call) => call.call_id));
      loaded = [...answer.calls, ...loaded.filter((call) => call.create_time_ms < down && !again.has(call.call_id))];
      if (answer.next_flag === 0) [next, searchedTo] = [0, null];
      draw();
    } catch (error) {
      if (own === turn) swap(items, problem(error));
    }
  }

  const loadMore = () => readOn(++turn, next);

  function draw() {
    const reached = new Set(loaded.map((call) => call.call_id));
    const further = named.filter((call) => !reached.has(call.call_id));
    const found = further.length === 0 ? loaded : [...loaded, ...further].sort((one, other) => other.create_time_ms - one.create_time_ms);
    const isFiltered = query() !== '';
    const groups = [];
    for (const call of found) {
      const date = day(call.create_time_ms);
      if (groups.at(-1)?.date !== date) groups.push({ date, calls: [] });
      groups.at(-1).calls.push(call);
    }
    swap(items, groups.map(({ date, calls: own }) => [
      h('h2', { class: 'day' }, date),
      h('ul', {}, own.map((call) => row(call, call.call_id === open, known !== null && !known.has(call.call_id), query()))),
    ]), found.length === 0 && !searching && searchedTo === null && h('p', { class: 'empty' }, isFiltered
      ? 'No call is like that.'
      : 'No calls yet. They appear here as soon as the app has some; what the server has not taken is under Pending.'));
    known = new Set(found.map((call) => call.call_id));
    const count = `${found.length}${next ? ' newest' : ''} call${found.length === 1 ? '' : 's'}${isFiltered ? ' found' : ''}`;
    const words = found.length === 0 && searchedTo === null ? [] : [
      searchedTo === null ? count : `${found.length || 'no'} call${found.length === 1 ? '' : 's'} found, searched back to ${day(searchedTo)}`,
      further.length > 0 && 'older ones by id or name',
      searching && 'going on …',
    ];
    status.textContent = words.filter(Boolean).join(' · ');
    stop.hidden = !searching;
    more.textContent = searchedTo === null ? 'Older calls' : 'Search on';
    more.hidden = next === 0 || searching;
    choose.hidden = found.length === 0;
  }

  function refilter() {
    history.replaceState(null, '', `#/calls${open ? `/${encodeURIComponent(open)}` : ''}${query()}`);
    loadAfresh();
  }

  let typed = 0;
  search.addEventListener('input', () => {
    clearTimeout(typed);
    typed = setTimeout(refilter, 150);
  });
  for (const control of [state, missed, since]) control.addEventListener('change', refilter);
  more.addEventListener('click', loadMore);
  // What is under way is not shown any more; what was found stays.
  stop.addEventListener('click', () => {
    turn += 1;
    searching = false;
    draw();
    if (stale) load();
  });
  // The list is walked with the arrows, as lists are, from the search on.
  list.addEventListener('keydown', (event) => {
    if (event.target !== search && !items.contains(event.target)) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const rows = [...items.querySelectorAll('a.row')];
    const to = rows[rows.indexOf(document.activeElement) + step];
    if (to) { event.preventDefault(); to.focus(); }
  });

  return {
    async go(rest, parameters) {
      const before = query();
      search.value = parameters.get('q') ?? '';
      state.value = parameters.get('state') ?? '';
      missed.checked = parameters.get('missed') === '1';
      since.value = parameters.get('since') ?? '';
      const wanted = rest[0] ?? null;
      root.classList.toggle('has-call', wanted !== null);
      if (wanted !== open || view === null) {
        open = wanted;
        view?.close?.();
        view = wanted === null ? null : callView(detail, wanted, `#/calls${query()}`);
        if (wanted === null) {
          swap(detail, choose);
        }
      }
      const listed = query() !== before || known === null ? loadAfresh() : load();
      // A long search is not waited for: what follows the file would wait with it.
      await Promise.all([search.value === '' && listed, view?.refresh()]);
    },
    async refresh() {
      await Promise.all([load(), view?.refresh()]);
    },
  };
}
