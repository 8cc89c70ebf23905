'use strict';
// The document that the engine implements, if it is there, and the snippets in it.

const fs = require('node:fs');
const path = require('node:path');

/** Where it may be: as the environment says, or in a folder beside the checkout. */
function find() {
  if (process.env.OFFHOOK_DOCUMENT) return process.env.OFFHOOK_DOCUMENT;
  const beside = path.join(__dirname, '../../../../../shared');
  if (!fs.existsSync(beside)) return null;
  const named = fs.readdirSync(beside).filter((name) => /^000_[0-9a-f]+\.txt$/.test(name));
  return named.length === 1 ? path.join(beside, named[0]) : null;
}

/** Every snippet, in the document's order, as it stands there: what is between the heading of a code box and its
 * line count, which its copy button follows. */
function snippets(text) {
  return [...text.matchAll(/^Untitled\n([\s\S]*?)\n1\nCopied!$/gm)].map((match) => match[1]);
}

function read() {
  const file = find();
  if (file === null) return null;
  const text = fs.readFileSync(file, 'utf8');
  const found = snippets(text);
  const headings = text.match(/^Untitled$/gm)?.length ?? 0;
  if (found.length === 0 || found.length !== headings) {
    throw new Error(`${file} has ${headings} code boxes, of which ${found.length} could be cut out`);
  }
  return found;
}

module.exports = { read };
