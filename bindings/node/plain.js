'use strict';
// What an app gives, as JSON can carry it. What JSON would drop or turn into something else, a Map into {} or NaN into
// null, is refused by its name instead.

const { ZIMError, described, invalid } = require('./errors.js');

/** A request that is longer is not taken (`LINE_BYTES_MAX` of the engine). Each value in it takes a byte at least, so
 * there are no more of them: else an app that gives a list of a thousand million would wait for it to be read. */
const LINE_BYTES_MAX = 1024 * 1024;

/** An object of which all is in fields of its own. Of an instance of a class JSON would carry but a part. */
function isPlain(value) {
  if (typeof value !== 'object' || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  // Object.prototype, of whichever realm.
  return (
    prototype === null || (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'isPrototypeOf'))
  );
}

/** What `read` gives. What it throws, of a getter or a Proxy of the app's, is a refusal like any other. */
function legible(name, read) {
  try {
    return read();
  } catch (error) {
    if (error instanceof ZIMError) throw error;
    throw invalid(name, `cannot be written as JSON (${described(error)})`);
  }
}

/** The same as JSON; `name` is what to call it where it is refused. */
function serialize(value, name) {
  return legible(name, () => JSON.stringify(plain(value, name, { around: [], budget: { name, values: LINE_BYTES_MAX } })));
}

function plain(value, name, at) {
  spend(at.budget, 1);
  switch (typeof value) {
    case 'object':
      return value === null ? null : structure(value, name, at);
    case 'string':
      if (!value.isWellFormed()) throw invalid(name, 'has half of a surrogate pair, which is no character');
      return value;
    case 'number':
      if (!Number.isFinite(value)) throw invalid(name, `${value} is no number of JSON`);
      return value;
    case 'bigint':
    case 'function':
    case 'symbol':
      throw invalid(name, `is a ${typeof value}, which JSON has not`);
    default:
      return value;
  }
}

function spend(budget, values) {
  if (!(values <= budget.values)) throw invalid(budget.name, `has more than ${LINE_BYTES_MAX} values`);
  budget.values -= values;
}

function structure(value, name, { around, budget }) {
  if (around.includes(value)) throw invalid(name, 'is within itself');
  const inside = { around: [...around, value], budget };
  if (Array.isArray(value)) {
    // What is not there counts too, as a null of JSON's; what is there counts again, for the comma.
    spend(budget, value.length);
    return value.map((one) => plain(one, name, inside));
  }
  if (!isPlain(value)) throw invalid(name, `is ${described(kind(value))}; give a plain value`);
  const copy = {};
  for (const [key, member] of Object.entries(value)) {
    if (!key.isWellFormed()) throw invalid(name, 'has a field whose name has half of a surrogate pair');
    // Assigned, `__proto__` would be no field.
    Object.defineProperty(copy, key, { value: plain(member, path(name, key), inside), enumerable: true });
  }
  return copy;
}

/** Fields of a config are called by their own names, those within them by the way there. */
function path(name, key) {
  return name === 'config' || name === 'params' ? key : `${name}.${key}`;
}

function kind(value) {
  const made = value.constructor?.name;
  return typeof made === 'string' && made !== '' && made !== 'Object' ? `an instance of ${made}` : 'an object with a prototype';
}

module.exports = { LINE_BYTES_MAX, isPlain, legible, serialize };
