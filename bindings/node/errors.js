'use strict';

const { ZIMErrorCode } = require('./enums.js');

/** What promises are rejected with. */
class ZIMError extends Error {
  constructor(code, name, message, detail) {
    super(message);
    Object.defineProperty(this, 'name', { value: name, configurable: true, writable: true });
    this.code = code;
    Object.assign(this, { reason: '', retryable: false }, detail);
  }
}

/** The error of a JSON-RPC reply. */
function refused({ code, message, data = {} }) {
  const { name = 'Internal', ...detail } = data;
  return new ZIMError(code, name, message, detail);
}

function invalid(parameter, message) {
  const code = ZIMErrorCode.CommonModuleParamsInvalid;
  return new ZIMError(code, 'InvalidParameter', `${parameter}: ${message}`, { reason: parameter });
}

function closed() {
  const message = 'the engine is closed; log in, or create another instance';
  return new ZIMError(ZIMErrorCode.EngineClosed, 'Closed', message, { reason: 'closed', retryable: true });
}

function tooMany() {
  const code = ZIMErrorCode.CommonModuleTriggerSDKFrequencyLimit;
  const message = 'too many requests wait for the engine; wait for one';
  return new ZIMError(code, 'TooManyRequests', message, { reason: 'waiting', retryable: true });
}

/** What was thrown, in words; it can be anything. */
function described(thrown) {
  try {
    return String(thrown?.message ?? thrown);
  } catch {
    return 'something that has no words for itself';
  }
}

module.exports = { ZIMError, closed, described, invalid, refused, tooMany };
