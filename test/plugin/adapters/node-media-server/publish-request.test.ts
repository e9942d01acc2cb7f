import { parse as querystring } from 'node:querystring';
import { describe, expect, test } from 'vitest';
import {
  isStreamKeyShape,
  parsePublishRequest,
} from '../../../../plugin/adapters/node-media-server/publish-request.ts';
import { asDenial } from '../../../../plugin/errors.ts';

const KEY = 'abcDEF0123456789_-';

function codeOf(app: unknown, name: unknown, query: Record<string, unknown>): string {
  try {
    parsePublishRequest({ app, name, query });
    return 'admitted';
  } catch (error) {
    return asDenial(error).code;
  }
}

test('path and key are read', () => {
  expect(parsePublishRequest({ app: 'live', name: 'cam-1', query: querystring(`key=${KEY}`) })).toEqual({
    uri: '/live/cam-1',
    streamKey: KEY,
  });
});

describe('what is not exactly a path and a key is refused', () => {
  test.each([
    ['no key', 'live', 'a', '', 'stream_key_invalid'],
    ['an empty key', 'live', 'a', 'key=', 'stream_key_invalid'],
    ['a short key', 'live', 'a', 'key=abc', 'stream_key_invalid'],
    ['two keys', 'live', 'a', `key=${KEY}&key=${KEY}`, 'stream_key_invalid'],
    ['something beside the key', 'live', 'a', `key=${KEY}&sign=1`, 'request_malformed'],
    ['an app of two segments', 'live/x', 'a', `key=${KEY}`, 'request_malformed'],
    ['an empty app', '', 'a', `key=${KEY}`, 'request_malformed'],
    ['a name that the host would not take', 'live', 'a.b', `key=${KEY}`, 'request_malformed'],
    ['dots', 'live', '..', `key=${KEY}`, 'request_malformed'],
    ['a number for an app', 7, 'a', `key=${KEY}`, 'request_malformed'],
    ['no name at all', 'live', undefined, `key=${KEY}`, 'request_malformed'],
  ])('%s', (_, app, name, query, code) => {
    expect(codeOf(app, name, querystring(query))).toBe(code);
  });
});

test.each([
  ['a'.repeat(15), false],
  ['a'.repeat(16), true],
  ['a'.repeat(80), true],
  ['a'.repeat(81), false],
  [`${'a'.repeat(20)}\n`, false],
  ['ä'.repeat(20), false],
])('the shape of a stream key: %j', (text, ok) => {
  expect(isStreamKeyShape(text)).toBe(ok);
});
