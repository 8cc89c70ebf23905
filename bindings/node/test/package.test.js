'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');

const ROOT = path.join(__dirname, '..');
const TOP = path.join(ROOT, '../..');

/** The versions of each crate that a lock file names. */
function locked(file) {
  const versions = new Map();
  for (const [, name, version] of fs.readFileSync(file, 'utf8').matchAll(/name = "(.+)"\nversion = "(.+)"/g)) {
    versions.set(name, [...(versions.get(name) ?? []), version]);
  }
  return versions;
}

test('the engine in the module is built from the same versions as the engine', () => {
  const project = locked(path.join(TOP, 'Cargo.lock'));
  const own = locked(path.join(ROOT, 'Cargo.lock'));
  assert.ok(own.has('rusqlite') && own.has('quinn'));
  for (const [name, versions] of own) {
    for (const version of project.has(name) ? versions : []) {
      assert.ok(project.get(name).includes(version), `${name} ${version}: run cargo update -p ${name} in bindings/node`);
    }
  }
});

test('what is packed is what is needed', () => {
  const { files, exports } = require('../package.json');
  for (const entry of Object.values(exports['.']).flatMap((condition) => Object.values(condition))) {
    assert.ok(fs.existsSync(path.join(ROOT, entry)), `${entry} is not there`);
    assert.ok(files.some((pattern) => entry.endsWith(pattern.slice(1))), `${entry} is not packed`);
  }
});
