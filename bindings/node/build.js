'use strict';
// Builds the native module with cargo and puts it beside index.js. `--release` for what is shipped or measured.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const LIBRARIES = { darwin: 'liboffhook_node.dylib', win32: 'offhook_node.dll' };

function cargo(args, cwd = __dirname) {
  const { error, status } = spawnSync('cargo', args, { cwd, stdio: 'inherit' });
  if (error) {
    console.error(`cannot run cargo (${error.message}); install Rust from https://rustup.rs`);
    process.exit(1);
  }
  if (status !== 0) process.exit(status ?? 1);
}

/** Where cargo puts what it builds; .cargo/config.toml and the environment have a say in it. */
function targetFolder() {
  const args = ['metadata', '--format-version=1', '--no-deps', '--locked'];
  const { stdout } = spawnSync('cargo', args, { cwd: __dirname, encoding: 'utf8', maxBuffer: 64 << 20 });
  return JSON.parse(stdout).target_directory;
}

/** Builds it, `debug` or `release`. */
function built(profile) {
  cargo(['build', '--locked', ...(profile === 'release' ? ['--release'] : [])]);
  const library = LIBRARIES[process.platform] ?? 'liboffhook_node.so';
  // Under another name first: a process may have the old one loaded.
  const fresh = path.join(__dirname, `offhook.node.${process.pid}`);
  fs.copyFileSync(path.join(targetFolder(), profile, library), fresh);
  fs.renameSync(fresh, path.join(__dirname, 'offhook.node'));
}

if (require.main === module) built(process.argv.includes('--release') ? 'release' : 'debug');

module.exports = { built, cargo, targetFolder };
