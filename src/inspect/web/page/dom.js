// Making elements. Text is always text: nothing here takes markup.

const SVG = 'http://www.w3.org/2000/svg';

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'value') element.value = value;
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An element of HTML: h('p', { class: 'note' }, 'text', other). */
export const h = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);

/** An element of SVG. */
export const s = (tag, properties, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

/** Puts other content into an element; what had the focus has it again, found by its data-key. */
export function swap(element, ...children) {
  const key = element.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  element.replaceChildren(...children.flat(Infinity).filter(Boolean));
  if (key !== undefined) {
    for (const candidate of element.querySelectorAll('[data-key]')) {
      if (candidate.dataset.key === key) {
        candidate.focus({ preventScroll: true });
        break;
      }
    }
  }
}

/** An id, shortened where it is long; a click copies the whole. */
export function id(text, label = 'id') {
  if (!text) return h('span', { class: 'none' }, '–');
  const shown = text.length > 14 ? `${text.slice(0, 6)}…${text.slice(-5)}` : text;
  const button = h('button', {
    type: 'button', class: 'id', title: `${text} – click to copy`, 'aria-label': `Copy ${label} ${text}`,
    'data-key': `copy-${label}-${text}`,
    onclick: async (event) => {
      event.stopPropagation();
      const done = await navigator.clipboard.writeText(text).then(() => true, () => false);
      button.textContent = done ? 'copied' : text;
      setTimeout(() => { button.textContent = shown; }, 1200);
    },
  }, shown);
  return button;
}

/** Rows as a table that scrolls by itself where it is too wide. */
export function table(columns, rows, { label, empty = 'None.' } = {}) {
  if (rows.length === 0) return h('p', { class: 'empty' }, empty);
  return h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': label },
    h('table', {},
      h('thead', {}, h('tr', {}, columns.map((column) => h('th', { scope: 'col' }, column)))),
      h('tbody', {}, rows.map((row) => h('tr', {}, row.map((cell) => h('td', {}, cell ?? '')))))));
}

/** Pairs of a name and what it is. */
export const facts = (pairs) => h('dl', { class: 'facts' },
  pairs.filter(Boolean).map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value ?? '–'))));

export const problem = (error) => h('div', { class: 'problem', role: 'alert' }, h('strong', {}, 'No answer: '), error.message);

export const section = (title, ...children) => h('section', {}, h('h2', {}, title), children);
