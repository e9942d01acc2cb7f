import { parse as querystring } from 'node:querystring';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  isStreamKeyShape,
  parsePlayRequest,
  parsePublishRequest,
} from '../../../../plugin/adapters/node-media-server/rtmp-request.ts';
import { asDenial } from '../../../../plugin/errors.ts';

const KEY = 'abcDEF0123456789_-';
const PASS = 'ps_insecureTestPass0000_-';

type Parse = typeof parsePublishRequest | typeof parsePlayRequest;

function codeOf(parse: Parse, app: unknown, name: unknown, query: Record<string, unknown>): string {
  try {
    parse({ app, name, query });
    return 'admitted';
  } catch (error) {
    return asDenial(error).code;
  }
}

test('path and stream key of a publisher are read', () => {
  const request = { app: 'live', name: 'cam-1', query: querystring(`key=${KEY}`) };
  expect(parsePublishRequest(request)).toEqual({ uri: '/live/cam-1', streamKey: KEY });
});

test('path and pass of a player are read', () => {
  const request = { app: 'live', name: 'cam_1', query: querystring(`pass=${PASS}`) };
  expect(parsePlayRequest(request)).toEqual({ uri: '/live/cam_1', pass: PASS });
});

describe('a publisher without exactly a path and a key is refused', () => {
  test.each([
    ['no key', 'live', 'a', '', 'stream_key_invalid'],
    ['an empty key', 'live', 'a', 'key=', 'stream_key_invalid'],
    ['a short key', 'live', 'a', 'key=abc', 'stream_key_invalid'],
    ['two keys', 'live', 'a', `key=${KEY}&key=${KEY}`, 'request_malformed'],
    ['something beside the key', 'live', 'a', `key=${KEY}&sign=1`, 'request_malformed'],
    ['a pass', 'live', 'a', `pass=${PASS}`, 'request_malformed'],
    ['key and pass', 'live', 'a', `key=${KEY}&pass=${PASS}`, 'request_malformed'],
    ['another spelling of key', 'live', 'a', `Key=${KEY}`, 'request_malformed'],
    ['a member of every object', 'live', 'a', `key=${KEY}&__proto__=1`, 'request_malformed'],
    ['an app of two segments', 'live/x', 'a', `key=${KEY}`, 'request_malformed'],
    ['an empty app', '', 'a', `key=${KEY}`, 'request_malformed'],
    ['an encoded slash', 'live', 'a%2fb', `key=${KEY}`, 'request_malformed'],
    ['a backslash', 'live', 'a\\b', `key=${KEY}`, 'request_malformed'],
    ['a name that the host would not take', 'live', 'a.b', `key=${KEY}`, 'request_malformed'],
    ['dots', 'live', '..', `key=${KEY}`, 'request_malformed'],
    ['a line feed at the end', 'live', 'a\n', `key=${KEY}`, 'request_malformed'],
    ['NUL', 'live', 'a\0', `key=${KEY}`, 'request_malformed'],
    ['a name of 65 characters', 'live', 'a'.repeat(65), `key=${KEY}`, 'request_malformed'],
    ['a number for an app', 7, 'a', `key=${KEY}`, 'request_malformed'],
    ['no name at all', 'live', undefined, `key=${KEY}`, 'request_malformed'],
  ])('%s', (_, app, name, query, code) => {
    expect(codeOf(parsePublishRequest, app, name, querystring(query))).toBe(code);
  });
});

describe('a player without exactly a path and a pass is refused', () => {
  test.each([
    ['no pass', 'live', 'a', '', 'ticket_missing'],
    ['an empty pass', 'live', 'a', 'pass=', 'pass_invalid'],
    ['what has not the shape of a pass', 'live', 'a', 'pass=abc', 'pass_invalid'],
    ['two passes', 'live', 'a', `pass=${PASS}&pass=${PASS}`, 'request_malformed'],
    ['a key', 'live', 'a', `key=${KEY}`, 'request_malformed'],
    ['the host’s own sign', 'live', 'a', `pass=${PASS}&sign=1-2`, 'request_malformed'],
    ['dots', '..', 'a', `pass=${PASS}`, 'request_malformed'],
    ['no app', undefined, 'a', `pass=${PASS}`, 'request_malformed'],
    ['an object for a name', 'live', {}, `pass=${PASS}`, 'request_malformed'],
  ])('%s', (_, app, name, query, code) => {
    expect(codeOf(parsePlayRequest, app, name, querystring(query))).toBe(code);
  });
});

test('whatever a peer sends for app, name and query: a code of ours, or one spelling', () => {
  fc.assert(
    fc.property(
      fc.anything(),
      fc.anything(),
      fc.dictionary(fc.string(), fc.anything()),
      (app, name, query) => {
        for (const parse of [parsePublishRequest, parsePlayRequest]) {
          expect(codeOf(parse, app, name, query)).not.toMatch(/admitted|internal/);
          expect(codeOf(parse, 'live', 'a', query)).not.toMatch(/admitted|internal/);
        }
      },
    ),
  );
  const names = fc.string({ unit: fc.constantFrom(...Array.from('abZ09_-./\\%~ \0é')), maxLength: 8 });
  fc.assert(
    fc.property(names, names, (app, name) => {
      const isPlain = /^[\w-]{1,64}$/.test(app) && /^[\w-]{1,64}$/.test(name);
      expect(codeOf(parsePlayRequest, app, name, { pass: PASS }) === 'admitted').toBe(isPlain);
    }),
  );
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
