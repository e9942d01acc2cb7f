import fc from 'fast-check';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { iceServersOf } from '../../player-demo/src/ice-servers.ts';
import { issuerOf } from '../../player-demo/src/order.ts';
import { created, setUp } from './support/watching.ts';

const TURN = '<turn:t.example?transport=udp>; rel="ice-server"; username="u"; credential="p"';
const SERVER = { urls: 'turn:t.example?transport=udp', username: 'u', credential: 'p' };

test.each<[string, string | null, RTCIceServer[]]>([
  ['no field', null, []],
  ['a STUN server', '<stun:s.example>; rel="ice-server"', [{ urls: 'stun:s.example' }]],
  ['a token for a relation', '<stun:s>;rel=ice-server', [{ urls: 'stun:s' }]],
  ['a relation among others', '<stun:s>; rel="x Ice-Server"', [{ urls: 'stun:s' }]],
  ['a TURN server', `${TURN}; credential-type="password"`, [SERVER]],
  [
    'several in one field',
    `<stun:s>; rel="ice-server",${TURN} , ${TURN}`,
    [{ urls: 'stun:s' }, SERVER, SERVER],
  ],
  [
    'quotes, backslashes, commas and semicolons in a value',
    String.raw`<turn:t>; rel="ice-server"; username="a\"b\\c,d;e"; credential="+/="`,
    [{ urls: 'turn:t', username: String.raw`a"b\c,d;e`, credential: '+/=' }],
  ],
  ['an attribute without a value', '<stun:s>; crossorigin; rel="ice-server"', [{ urls: 'stun:s' }]],
  ['an attribute that is there twice', '<stun:s>; rel="ice-server"; rel="next"', [{ urls: 'stun:s' }]],
  ['another relation', '<stun:s>; rel="next", <https://x>; rel="urn:ietf:params:whep:ext:core:layer"', []],
  ['another scheme', '<https://x>; rel="ice-server"', []],
  ['TURN without a password', '<turn:t>; rel="ice-server"; username="u"', []],
  ['another type of credential', `${TURN}; credential-type="oauth"`, []],
  ['a value that does not end', '<stun:s>; rel="ice-server', []],
  ['what is no link', 'stun:s; rel="ice-server"', []],
  ['a good one before rubbish', '<stun:s>; rel="ice-server", rubbish', [{ urls: 'stun:s' }]],
  ['more than eight', Array(20).fill('<stun:s>; rel="ice-server"').join(), Array(8).fill({ urls: 'stun:s' })],
  ['more than is read', `<stun:s>; rel="ice-server"; x="${'x'.repeat(9000)}"`, []],
])('ICE servers of a Link field: %s', (_what, field, servers) => {
  expect(iceServersOf(field)).toEqual(servers);
});

test('no field is fatal, whatever is in it', () => {
  const piece = fc.constantFrom(
    '<',
    '>',
    '"',
    '\\',
    ';',
    ',',
    '=',
    ' ',
    'rel',
    'ice-server',
    'turn:t',
    'username',
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(piece, fc.string()), { maxLength: 60 }), (pieces) => {
      for (const { urls } of iceServersOf(pieces.join(''))) expect(urls).toMatch(/^(?:stun|turn)s?:/i);
    }),
  );
});

describe('a viewing', () => {
  test('gathers candidates with the servers that the answer names, and keeps the rest of its configuration', async () => {
    const { watch, connections, reach } = setUp([created({ link: TURN })]);
    watch.play();
    await reach('live');
    expect(connections[0]?.gatheredWith).toEqual({ bundlePolicy: 'max-bundle', iceServers: [SERVER] });
    await watch.stop();
  });

  test('goes on without servers that the browser does not take', async () => {
    const warned = vi.spyOn(console, 'warn').mockReturnValue();
    onTestFinished(() => warned.mockRestore());
    const link = '<turn:refused.example>; rel="ice-server"; username="u"; credential="p"';
    const { watch, connections, reach } = setUp([created({ link })]);
    watch.play();
    await reach('live');
    expect(connections[0]?.gatheredWith).toEqual({ bundlePolicy: 'max-bundle' });
    expect(warned).toHaveBeenCalledTimes(1);
    await watch.stop();
  });
});

test.each([
  ['http://localhost:4000/', 'http://localhost:4000'],
  ['http://localhost:4000/#/title/x/y', 'http://localhost:4000'],
  ['https://example.com/usher/#/usage', 'https://example.com/usher'],
  ['https://example.com/a/b/index.html?x=/y', 'https://example.com/a/b'],
  ['http://[::1]:4000/#/', 'http://[::1]:4000'],
])('the page %s belongs to the shop %s', (page, issuer) => {
  expect(issuerOf(page)).toBe(issuer);
});
