'use strict';

const test = require('node:test');

const { read } = require('./support/document.js');
const examples = require('./support/examples.js');
const { tell } = require('./support/stories.js');

tell(test, 'examples', examples, 'bob');

const snippets = read();
if (snippets === null) {
  const reason = 'it is not beside the checkout, and OFFHOOK_DOCUMENT does not say where it is';
  test('the snippets of the document', { skip: reason }, () => {});
} else {
  // The users that the document's snippets invite are called as they stand there.
  tell(test, 'the document', snippets, 'xxxx');
}
