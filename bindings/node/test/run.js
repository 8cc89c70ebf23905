'use strict';
// `npm test`: builds the native module and the server with cargo, then has Node's own runner run the tests; with
// names of test files after `--`, only those. OFFHOOK_BINARY names a server that is built already.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const { built, cargo, targetFolder } = require('../build.js');

const TOP = path.join(__dirname, '../../..');

built('debug');
let binary = process.env.OFFHOOK_BINARY;
if (!binary) {
  cargo(['build', '--locked', '--bin', 'offhook'], TOP);
  binary = path.join(targetFolder(), 'debug', process.platform === 'win32' ? 'offhook.exe' : 'offhook');
}

const asked = process.argv.slice(2);
const files = fs
  .readdirSync(__dirname)
  .filter((name) => name.endsWith('.test.js') && (asked.length === 0 || asked.some((part) => name.includes(part))))
  .map((name) => path.join(__dirname, name));
const { status } = spawnSync(process.execPath, ['--test', '--test-reporter=spec', ...files], {
  stdio: 'inherit',
  env: { ...process.env, OFFHOOK_BINARY: binary },
});
process.exit(status ?? 1);
