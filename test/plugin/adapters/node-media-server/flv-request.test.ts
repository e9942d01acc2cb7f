import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseFlvUrl, type FlvTarget } from '../../../../plugin/adapters/node-media-server/flv-request.ts';
import { asDenial, type Code } from '../../../../plugin/errors.ts';

const PASS = 'ps_insecureTestPass0000_-';

function read(url: string, basePath?: string): FlvTarget | Code {
  try {
    return parseFlvUrl(url, basePath);
  } catch (error) {
    return asDenial(error).code;
  }
}

test.each([
  ['/live/a.flv', { uri: '/live/a' }],
  ['/live/a.flv?', { uri: '/live/a' }],
  [`/live/a.flv?pass=${PASS}`, { uri: '/live/a', pass: PASS }],
  ['/live/a.flv?key=sk_insecure-Test', { uri: '/live/a', key: 'sk_insecure-Test' }],
  [`/A-z_0/9_-Z.flv?pass=${'x'.repeat(80)}`, { uri: '/A-z_0/9_-Z', pass: 'x'.repeat(80) }],
  [`/${'a'.repeat(64)}/${'b'.repeat(64)}.flv`, { uri: `/${'a'.repeat(64)}/${'b'.repeat(64)}` }],
])('%s is read', (url, target) => {
  expect(read(url)).toEqual(target);
});

test.each<[string, string, FlvTarget | Code]>([
  ['under the base', '/usher/flv/live/a.flv?key=sk_x', { uri: '/live/a', key: 'sk_x' }],
  ['without it', '/live/a.flv', 'not_found'],
  ['under another that begins alike', '/usher/flvs/live/a.flv', 'not_found'],
  ['under the base twice', '/usher/flv/usher/flv/live/a.flv', 'request_malformed'],
  ['under the base in another spelling', '/usher/%66lv/live/a.flv', 'not_found'],
  ['under the base with two slashes', '/usher/flv//live/a.flv', 'request_malformed'],
])('with a base path, what is %s', (_what, url, target) => {
  expect(read(url, '/usher/flv')).toEqual(target);
});

describe('two readers could read it in two ways: malformed', () => {
  test.each([
    ['an encoded space', '/a%20b/c.flv'],
    ['an encoded slash', '/live%2fa.flv'],
    ['an encoded slash in a name', '/live/a%2Fb.flv'],
    ['an encoded letter', '/live/%61.flv'],
    ['an encoded NUL', '/live/a%00.flv'],
    ['NUL', '/live/a\0.flv'],
    ['a backslash', '/live\\a.flv'],
    ['a dot segment', '/live/../a.flv'],
    ['a single dot', '/./a.flv'],
    ['dots for a name', '/live/...flv'],
    ['an encoded dot segment', '/live/%2e%2e/a.flv'],
    ['a dot in the name', '/live/a.b.flv'],
    ['the suffix twice', '/live/a.flv.flv'],
    ['another case of the suffix', '/live/a.FLV'],
    ['a slash behind the suffix', '/live/a.flv/'],
    ['a parameter of the path', '/live/a.flv;x=1'],
    ['the suffix inside', '/live/a.flvx'],
    ['no name', '/live/.flv'],
    ['no app', '//a.flv'],
    ['two slashes', '//live/a.flv'],
    ['one segment', '/a.flv'],
    ['three segments', '/live/a/b.flv'],
    ['a space', '/live/a b.flv'],
    ['a line feed', '/live/a\n.flv'],
    ['letters outside ASCII', '/live/ä.flv'],
    ['letters that look like ASCII', '/live/ａ.flv'],
    ['a name of 65 characters', `/live/${'a'.repeat(65)}.flv`],
    ['the absolute form', 'http://host/live/a.flv'],
    ['an asterisk', '*'],
    ['an authority', 'host:80'],
    ['nothing', ''],
    ['more than 2,048 characters', `/live/a.flv?pass=${'x'.repeat(2048)}`],
    ['a fragment', `/live/a.flv#x`],
    ['a pass twice', `/live/a.flv?pass=${PASS}&pass=${PASS}`],
    ['a pass and a key', `/live/a.flv?pass=${PASS}&key=${PASS}`],
    ['the host’s own sign', '/live/a.flv?sign=1-2'],
    ['sign twice', '/live/a.flv?sign=1&sign=2'],
    ['a pass and more', `/live/a.flv?pass=${PASS}&x`],
    ['an ampersand at the end', `/live/a.flv?pass=${PASS}&`],
    ['a second question mark', `/live/a.flv?pass=${PASS}?`],
    ['another case', `/live/a.flv?PASS=${PASS}`],
    ['an array', `/live/a.flv?pass[]=${PASS}`],
    ['an encoded pass', '/live/a.flv?pass=%70s'],
    ['an empty pass', '/live/a.flv?pass='],
    ['a pass of 81 characters', `/live/a.flv?pass=${'x'.repeat(81)}`],
    ['a line feed behind the pass', `/live/a.flv?pass=${PASS}\n`],
  ])('%s', (_, url) => {
    expect(read(url)).toBe('request_malformed');
  });
});

test.each(['/', '/admin/', '/api/v1/streams', '/live/a', '/live/a.mp4', '/live/a?x=.flv', '/live/a%2eflv'])(
  '%s is not FLV at all',
  (url) => {
    expect(read(url)).toBe('not_found');
  },
);

test('whatever is accepted is the only spelling of what it names', () => {
  const pieces = fc.array(
    fc.oneof(
      fc.constantFrom(
        '/',
        '/live',
        '/a',
        '.flv',
        '.',
        '..',
        '?',
        'pass=',
        'key=',
        '&',
        PASS,
        '%2f',
        '%00',
        '\\',
        ';',
        '#',
        'FLV',
      ),
      fc.string({ maxLength: 3 }),
      fc.string({ unit: 'binary', maxLength: 3 }),
    ),
    { maxLength: 10 },
  );
  const nearly = fc
    .tuple(
      fc.stringMatching(/^[\w-]{1,5}$/),
      fc.stringMatching(/^[\w-]{1,5}$/),
      fc.constantFrom('', '?', `?pass=${PASS}`, `?key=${PASS}`),
    )
    .map(([app, name, query]) => `/${app}/${name}.flv${query}`);
  let accepted = 0;
  fc.assert(
    fc.property(
      fc.oneof(
        pieces.map((parts) => parts.join('')),
        nearly,
      ),
      (url) => {
        const target = read(url);
        if (typeof target === 'string') {
          expect(['request_malformed', 'not_found']).toContain(target);
          return;
        }
        accepted += 1;
        const { uri, pass, key } = target;
        const query = pass !== undefined ? `?pass=${pass}` : key !== undefined ? `?key=${key}` : '';
        expect(url.replace(/\?$/, '')).toBe(`${uri}.flv${query}`);
        // And a web reader sees the same.
        const { pathname, searchParams } = new URL(url, 'http://host');
        expect([
          pathname,
          searchParams.get('pass') ?? undefined,
          searchParams.get('key') ?? undefined,
        ]).toEqual([`${uri}.flv`, pass, key]);
      },
    ),
  );
  expect(accepted).toBeGreaterThan(10);
});
