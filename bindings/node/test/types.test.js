'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const test = require('node:test');
const ts = require('typescript');

const offhook = require('..');
const { folder } = require('./support/server.js');
const exceptions = require('./types/exceptions.js');

const ROOT = path.join(__dirname, '..');
const VENDOR = path.join(ROOT, 'node_modules/zego-zim-web/entity/index.d.ts');
const OURS = path.join(ROOT, 'index.d.ts');
/** What the vendor's names look like that have to do with calls, with being connected, or with what they need. */
const ABOUT_CALLS = /Call(?!back)|^ZIM(Connection|Error|Login|LogoutConfig|AppConfig|PushConfig|VoIP)|CXHandle|Token|ConnectionState|^ZIMUserInfo$/;

function compile(file, paths = {}) {
  const program = ts.createProgram([file], {
    noEmit: true,
    strict: true,
    target: ts.ScriptTarget.ES2022,
    lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'],
    module: ts.ModuleKind.Node16,
    skipDefaultLibCheck: true,
    types: ['node'],
    typeRoots: [path.join(ROOT, 'node_modules/@types')],
    baseUrl: ROOT,
    paths,
  });
  return {
    program,
    faults: ts.getPreEmitDiagnostics(program).map((fault) => {
      const at = fault.file?.getLineAndCharacterOfPosition(fault.start);
      const where = fault.file ? `${path.basename(fault.file.fileName)}:${at.line + 1} ` : '';
      return where + ts.flattenDiagnosticMessageText(fault.messageText, '\n');
    }),
  };
}

const file = (name) => path.join(__dirname, 'types', name);

test('a program typed against the vendor\'s package compiles against this one as it stands', () => {
  for (const sdk of [VENDOR, OURS]) {
    const { faults } = compile(file('program.ts'), { 'calls-sdk': [sdk] });
    assert.deepEqual(faults, [], `against ${path.relative(ROOT, sdk)}`);
  }
});

test('each type of the vendor\'s is taken where an app gives it and fits where an app gets it', () => {
  assert.deepEqual(compile(file('compare.ts')).faults, []);
});

test('what is beyond is typed, and what is wrong is told', () => {
  assert.deepEqual(compile(file('own.mts')).faults, []);
});

test('what the readme shows compiles', (t) => {
  const readme = fs.readFileSync(path.join(ROOT, 'README.md'), 'utf8');
  const snippets = [...readme.matchAll(/^```js\n(.*?)^```/gms)].map(([, snippet]) => snippet);
  assert.equal(snippets.length, 3);
  const given = "import { ZIM } from 'offhook';\ndeclare const zim: ZIM;\ndeclare const lastPosition: number;\n";
  snippets.forEach((snippet, n) => {
    const program = path.join(folder(t), 'readme.mts');
    fs.writeFileSync(program, snippet.includes('import ') ? snippet : given + snippet);
    assert.deepEqual(compile(program, { offhook: [OURS] }).faults, [], `snippet ${n + 1}`);
  });
});

test('nothing about calls in the vendor\'s package is left out without a reason', () => {
  const { program } = compile(VENDOR);
  const checker = program.getTypeChecker();
  const module = checker.getSymbolAtLocation(program.getSourceFile(VENDOR));
  const exported = new Map(checker.getExportsOfModule(module).map((symbol) => [symbol.name, symbol]));
  const members = (name) => [...exported.get(name).members.keys()].map(String);
  const names = [
    ...[...exported.keys()].filter((name) => ABOUT_CALLS.test(name)),
    ...members('ZIMEventHandler').filter((name) => /^call|^connection|^token/.test(name)),
    ...members('ZIM').filter((name) => /^call|^queryCall|^log(in|out)$|^renewToken|^destroy/.test(name)),
  ];
  assert.ok(names.includes('ZIMCallInviteConfig') && names.includes('callEnd'), 'the filter finds what there is');

  const compared = fs.readFileSync(file('compare.ts'), 'utf8');
  const isCompared = (name) => new RegExp(`Theirs\\.${name}\\b|'${name}'`).test(compared);
  const declared = fs.readFileSync(OURS, 'utf8');
  for (const name of new Set(names)) {
    if (name in exceptions) continue;
    assert.ok(isCompared(name), `${name} is neither compared nor an exception`);
    assert.match(declared, new RegExp(`\\b${name}\\b`), `${name} is not declared`);
  }
  for (const name of Object.keys(exceptions)) {
    assert.ok(names.includes(name), `${name} is an exception to nothing`);
  }
});

test('the enumerations that are declared are those that there are', () => {
  const source = ts.createSourceFile(OURS, fs.readFileSync(OURS, 'utf8'), ts.ScriptTarget.ES2022, true);
  const declared = source.statements.filter(ts.isEnumDeclaration);
  assert.equal(declared.length, 7);
  for (const { name, members } of declared) {
    const numbers = Object.fromEntries(members.map((member) => [member.name.text, Number(member.initializer.getText())]));
    const there = Object.entries(offhook[name.text]).filter(([key]) => Number.isNaN(Number(key)));
    assert.deepEqual(Object.fromEntries(there), numbers, name.text);
    for (const [key, number] of there) assert.equal(offhook[name.text][number], key);
  }
});

test('every code that the engine has is one of the codes', () => {
  const codes = Object.values(JSON.parse(require('../offhook.node').codes()));
  assert.ok(codes.length > 20);
  const reserved = [0, 1];
  const numbers = Object.values(offhook.ZIMErrorCode).filter((value) => typeof value === 'number');
  const sorted = (list) => [...list].sort((a, b) => a - b);
  assert.deepEqual(sorted(numbers), sorted([...reserved, ...codes]));
});

test('every exported value is declared, and every declared value is exported', () => {
  const { program } = compile(OURS);
  const checker = program.getTypeChecker();
  const module = checker.getSymbolAtLocation(program.getSourceFile(OURS));
  const values = checker.getExportsOfModule(module).filter(({ flags }) => flags & ts.SymbolFlags.Value);
  assert.deepEqual(values.map(({ name }) => name).sort(), Object.keys(offhook).sort());
});
