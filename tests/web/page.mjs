// Drives the page as a developer would. Arguments: Chromium, the link to a database with a story
// in it, the link to one that an engine has open, the link to a long one, a folder for screenshots,
// one for the profile.
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

const [executablePath, storyLink, liveLink, longLink, screenshots, profile] = process.argv.slice(2);
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
];

const browser = await chromium.launchPersistentContext(profile, {
  executablePath, headless: true, args: FLAGS, viewport: { width: 1280, height: 900 }, timezoneId: 'UTC', locale: 'en-GB',
});
const complaints = [];
const requests = [];

async function open() {
  const page = await browser.newPage();
  page.setDefaultTimeout(60_000);
  page.on('pageerror', (error) => complaints.push(error.stack));
  page.on('console', (message) => {
    // A refusal is an answer; the browser calls it a failure to load.
    if (message.type() === 'error' && !message.text().includes('status of 40') && !message.text().includes('ERR_CONNECTION_REFUSED')) complaints.push(message.text());
  });
  page.on('request', (request) => requests.push(request.url()));
  return page;
}

const seen = (what) => console.log(`saw ${what}`);
const shot = (page, name, fullPage = false) => page.screenshot({ path: `${screenshots}/${name}.png`, fullPage });

const page = await open();
const origin = new URL(storyLink).origin;

await page.goto(storyLink);
await page.getByRole('link', { name: /alice.*bob, carol, dave/ }).waitFor();
assert.equal(page.url().includes('token'), false);
assert.equal(await page.locator('.row').count(), 4);
await shot(page, 'calls-light');
seen('the list behind the link');

await page.keyboard.press('/');
await page.keyboard.type('carol');
await page.waitForFunction(() => document.querySelectorAll('.row').length === 1);
await page.keyboard.press('ArrowDown');
await page.keyboard.press('Enter');
await page.getByRole('heading', { name: 'alice → bob, carol, dave' }).waitFor();
seen('a call that was searched for, without a mouse');

const spans = async (lane) => page.locator('.lane', { has: page.locator('.lane-title', { hasText: new RegExp(`^${lane}`) }) })
  .locator('.span').evaluateAll((all) => all.map((one) => one.getAttribute('aria-label').replace(/ – .*/, '')));
assert.deepEqual(await spans('alice'), ['alice: in the call']);
assert.deepEqual(await spans('bob'), ['bob: inviting', 'bob: in the call']);
assert.deepEqual(await spans('carol'), ['carol: inviting', 'carol: rejected']);
assert.deepEqual(await spans('dave'), ['dave: inviting, by alice', 'dave: received']);
assert.equal(await page.locator('.lane .mark.deadline').count(), 3);
assert.equal(await page.locator('.lane .mark.verdict-accepted').count(), 3);
assert.equal(await page.locator('.lane .mark.verdict-refused').count(), 1);
// Spans lie one after the other, in time.
const places = await page.locator('.lane').nth(2).locator('.span').evaluateAll((all) => all.map((one) => Number(one.dataset.x)));
assert.ok(places[0] < places[1], String(places));
seen('the right spans and marks');

await page.locator('.lane-member .span').first().focus();
await page.keyboard.press('ArrowDown');
assert.match(await page.locator('.reading').textContent(), /^bob: inviting/);
await page.getByRole('button', { name: 'To scale' }).click();
assert.equal(await page.getByRole('button', { name: 'To scale' }).getAttribute('aria-pressed'), 'true');
await page.getByRole('button', { name: 'To scale' }).click();
await shot(page, 'call-light');

await page.goto(`${origin}/#/calls/call-missed`);
await page.locator('.why', { hasText: 'It did not ring here: this device first heard' }).waitFor();
assert.match(await page.locator('.why').textContent(), /expired before it could be sent/);
await page.emulateMedia({ colorScheme: 'dark' });
await shot(page, 'missed-dark');
seen('why a call did not ring');

await page.goto(`${origin}/#/calls/call-now`);
await page.getByRole('heading', { name: 'bob → alice' }).waitFor();
await page.locator('.span.ring').waitFor();
assert.deepEqual(await spans('Rings here'), ['Rings here: rang, still rings']);
assert.deepEqual(await spans('alice'), ['alice: inviting', 'alice: received']);
assert.equal(await page.locator('.span.command-pending').count(), 1);
seen('what rings, and the answer that is pending');

await page.goto(`${origin}/#/calls/call-unsent`);
await page.getByRole('heading', { name: 'A call that the server does not have' }).waitFor();

await page.goto(`${origin}/#/pending`);
await page.getByText('connection lost: timed out').waitFor();
assert.equal(await page.locator('.card').count(), 2);
await page.goto(`${origin}/#/health`);
await page.getByText('since the server was heard').waitFor();
await page.getByRole('cell', { name: /^2 changes came in after 59 min 1 s out of touch/ }).waitFor();
await shot(page, 'health-dark');
await page.emulateMedia({ colorScheme: 'light' });
await page.goto(`${origin}/#/tables/commands`);
await page.getByText('-- The outbox, and what became of what was in it').waitFor();
assert.equal(await page.locator('tbody tr').count(), 7);
await shot(page, 'tables-light');
seen('what is pending, the health, the tables');

await page.goto(`${origin}/#/sql`);
const box = page.getByRole('textbox', { name: 'Question in SQL' });
await box.fill('SELECT user_id, count(*) AS calls FROM members GROUP BY 1 ORDER BY 1');
await page.keyboard.press('Control+Enter');
await page.locator('.result th', { hasText: 'user_id' }).waitFor();
assert.match(await page.locator('.result tbody').textContent(), /dave1/);
assert.deepEqual(await page.locator('.result th').allTextContents(), ['user_id', 'calls']);
await box.fill('DELETE FROM calls');
await page.getByRole('button', { name: 'Run' }).click();
await page.locator('.refused', { hasText: 'DELETE is refused' }).waitFor();
await shot(page, 'sql-refused');
await box.fill("SELECT '<img src=x onerror=document.title=1>' AS markup");
await page.getByRole('button', { name: 'Run' }).click();
await page.locator('.result td', { hasText: '<img' }).waitFor();
assert.equal(await page.locator('.result img').count(), 0);
seen('an answer in SQL, a write refused, and text that stays text');

await page.setViewportSize({ width: 390, height: 844 });
for (const [name, hash] of [['calls', '#/calls'], ['call', '#/calls/call-team'], ['health', '#/health'], ['sql', '#/sql'], ['tables', '#/tables/calls'], ['pending', '#/pending']]) {
  await page.goto(`${origin}/${hash}`);
  await page.locator({ calls: '.row', call: '.lane', health: '.facts', sql: '.result td', tables: 'td', pending: '.card' }[name]).first().waitFor();
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(wide <= 0, `${name} is ${wide} pixels too wide for a phone`);
  await shot(page, `phone-${name}`, true);
}
seen('all of it on a phone');

const long = await open();
await long.goto(longLink);
await long.locator('.row').first().waitFor();
let goOn;
const held = new Promise((resolve) => { goOn = resolve; });
let steps = 0;
await long.route(/api\/calls\?.*q=/, async (route) => {
  steps += 1;
  if (steps === 2) await held;
  await route.continue();
});
await long.getByRole('searchbox').fill('zoe');
await long.locator('.list-status', { hasText: 'searched back to 2026-01-01 · older ones by id or name · going on' }).waitFor();
assert.equal(await long.locator('.row').count(), 1);
await shot(long, 'searching');
await long.getByRole('button', { name: 'Stop searching' }).click();
await long.getByRole('button', { name: 'Search on' }).waitFor();
assert.doesNotMatch(await long.locator('.list-status').textContent(), /going on/);
goOn();
await long.getByRole('button', { name: 'Search on' }).click();
await long.locator('.list-status', { hasText: /^1 call found$/ }).waitFor();
assert.equal(await long.locator('.row').count(), 1);
assert.equal(await long.getByRole('button', { name: 'Search on' }).isVisible(), false);
await long.goto(`${new URL(longLink).origin}/#/sql`);
await long.getByRole('textbox', { name: 'Question in SQL' }).fill('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n');
await long.keyboard.press('Control+Enter');
await long.getByRole('button', { name: 'Stop' }).click();
await long.getByText('Stopped.').waitFor();
seen('a search of many calls, and a question in SQL, which can be stopped');

const live = await open();
await live.goto(liveLink);
await live.getByText('No calls yet.').waitFor();
await shot(live, 'empty');
console.log('waits for a call');
await live.locator('.row').waitFor();
assert.match(await live.locator('.row').textContent(), /^alice.*bob/);
await live.locator('.row').click();
await live.locator('.lane-member', { hasText: 'bob' }).locator('.span.open, .span.pending').first().waitFor();
await live.locator('.lane .mark.verdict-accepted').waitFor();
assert.equal(await live.locator('#live').textContent(), 'following');
await shot(live, 'live');
seen('a call arrive while an engine writes');

console.log('waits for the end');
await live.getByRole('alert').filter({ hasText: 'was stopped' }).waitFor();
assert.equal(await live.locator('#live').textContent(), 'stopped');
seen('that the command was stopped');

await browser.clearCookies();
await page.goto(storyLink);
await page.getByRole('heading', { name: 'This link was used already' }).waitFor();
seen('that the link is spent for whoever comes without the cookie');

assert.deepEqual(complaints, []);
const elsewhere = requests.filter((url) => ![storyLink, liveLink, longLink].map((link) => new URL(link).origin).includes(new URL(url).origin));
assert.deepEqual(elsewhere, []);
seen('nothing loaded from elsewhere, no error');
await browser.close();
