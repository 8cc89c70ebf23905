// Asks the process behind the page. Every failure becomes a Refused with words for people.

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function answer(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: 'same-origin', ...options });
  } catch (error) {
    if (options?.signal?.aborted) throw error;
    throw new Refused(0, 'The command that serves this page was stopped. Start it again and open its new link.');
  }
  let document;
  try {
    document = await response.json();
  } catch (error) {
    if (options?.signal?.aborted) throw error;
    throw new Refused(response.status, 'The answer did not arrive whole.');
  }
  if (!response.ok) throw new Refused(response.status, document.error ?? 'No answer.');
  return document;
}

/** A document below /api/. Parameters that are empty are left away. */
export function ask(name, parameters = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    if (value !== '' && value !== null && value !== undefined && value !== false) {
      query.set(key, value === true ? '1' : String(value));
    }
  }
  const text = query.toString();
  return answer(`/api/${name}${text ? `?${text}` : ''}`);
}

/** Rows for a question in SQL. Aborted, it is stopped where it is answered, too. */
export function askSql(sql, signal) {
  return answer('/api/sql', {
    signal,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ sql }),
  });
}
