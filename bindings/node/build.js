'use strict';
// Builds the native module with cargo and puts it beside index.js. `--release` for what is shipped or measured.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const LIBRARIES = { darwin: 'liboffhook_node.dylib', win32: 'offhook_node.dll' };

function cargo(args) {
  const { error, status } = spawnSync('cargo', args, { cwd: __dirname, stdio: 'inherit' });
  if (error) {
    console.error(`cannot run cargo (${error.message}); install Rust from https://rustup.rs`);
    process.exit(1);
  }
  if (status !== 0) process.exit(status ?? 1);
}

/** Where cargo put what it built; .cargo/config.toml and the environment have a say in it. */
function targetFolder() {
  const { stdout } = spawnSync('cargo', ['metadata', '--format-version=1', '--no-deps', '--locked'], {
    cwd: __dirname,
    encoding: 'utf8',
    maxBuffer: 64 << 20,
  });
  return JSON.parse(stdout).target_directory;
}

const release = process.argv.includes('--release');
cargo(['build', '--locked', ...(release ? ['--release'] : [])]);
const built = path.join(
  targetFolder(),
  release ? 'release' : 'debug',
  LIBRARIES[process.platform] ?? 'liboffhook_node.so',
);
// Under another name first: a process may have the old one loaded.
const fresh = path.join(__dirname, `offhook.node.${process.pid}`);
fs.copyFileSync(built, fresh);
fs.renameSync(fresh, path.join(__dirname, 'offhook.node'));
