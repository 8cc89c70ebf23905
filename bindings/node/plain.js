'use strict';
// What an app gives, as JSON can carry it. What JSON would drop or turn into something else, a Map into {} or NaN into
// null, is refused by its name instead.

const { ZIMError, described, invalid } = require('./errors.js');

/** An object of which all is in fields of its own. Of an instance of a class JSON would carry but a part. */
function isPlain(value) {
  if (typeof value !== 'object' || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  // Object.prototype, of whichever realm.
  return (
    prototype === null || (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'isPrototypeOf'))
  );
}

/** The same as JSON; `name` is what to call it where it is refused. */
function serialize(value, name) {
  try {
    return JSON.stringify(plain(value, name, []));
  } catch (error) {
    if (error instanceof ZIMError) throw error;
    throw invalid(name, `cannot be written as JSON (${described(error)})`);
  }
}

function plain(value, name, around) {
  switch (typeof value) {
    case 'object':
      return value === null ? null : structure(value, name, around);
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

function structure(value, name, around) {
  if (around.includes(value)) throw invalid(name, 'is within itself');
  const inside = [...around, value];
  if (Array.isArray(value)) return value.map((one) => plain(one, name, inside));
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

module.exports = { isPlain, serialize };
