import { createHmac } from 'node:crypto';
import { describe, expect, it, test } from 'vitest';
import { readMediaConfig } from '../../../plugin/config.ts';
import { createIceServers, iceServerUrlSchema } from '../../../plugin/http/ice-servers.ts';
import { iceServersOf } from '../../../player-demo/src/ice-servers.ts';

const NOW_SECONDS = 1_800_000_000;
const DAY_SECONDS = 86_400;
const clock = { nowMs: () => NOW_SECONDS * 1000 + 999 };
const SESSION = '01890a5d-ac96-774b-bcce-b302099a8057';
const TURN_SECRET = 'insecure-test-turn-secret';
const client = { sessionId: SESSION, expiresAtSeconds: NOW_SECONDS + 60 };

test.each([
  'stun:stun.example',
  'stun:192.0.2.1:3478',
  'stuns:[2001:db8::1]:5349',
  'turn:turn.example?transport=udp',
  'turns:turn.example:443?transport=tcp',
])('%s is a STUN or TURN server', (url) => {
  expect(iceServerUrlSchema.safeParse(url).success).toBe(true);
});

test.each([
  ['another scheme', 'https://turn.example'],
  ['slashes', 'turn://turn.example'],
  ['a user', 'turn:user@turn.example'],
  ['another transport', 'turn:turn.example?transport=sctp'],
  ['a transport of STUN', 'stun:stun.example?transport=udp'],
  ['a port of six digits', 'stun:stun.example:123456'],
  ['what would end the target', 'turn:turn.example>;rel="x"'],
  ['a comma', 'turn:a,turn:b'],
  ['no host', 'turn:'],
  ['a space', 'stun:a b'],
])('%s is no URL of one', (_what, url) => {
  expect(iceServerUrlSchema.safeParse(url).success).toBe(false);
});

describe('Link', () => {
  it('names STUN servers alone', () => {
    const links = createIceServers({ urls: ['stun:stun.example', 'stuns:[::1]'], clock });
    expect(links(client)).toEqual([
      '<stun:stun.example>; rel="ice-server"',
      '<stuns:[::1]>; rel="ice-server"',
    ]);
  });

  it('gives TURN servers credentials that end with the ticket', () => {
    const links = createIceServers({
      urls: ['stun:s', 'turn:t?transport=udp'],
      turnSecret: TURN_SECRET,
      clock,
    });
    const username = `${NOW_SECONDS + 60}:${SESSION}`;
    // draft-uberti-behave-turn-rest-00 section 2.2
    const credential = createHmac('sha1', TURN_SECRET).update(username).digest('base64');
    expect(links(client)).toEqual([
      '<stun:s>; rel="ice-server"',
      `<turn:t?transport=udp>; rel="ice-server"; username="${username}"; credential="${credential}"; credential-type="password"`,
    ]);
  });

  it('gives them for a day at most', () => {
    const links = createIceServers({ urls: ['turn:t'], turnSecret: TURN_SECRET, clock });
    const [link] = links({ ...client, expiresAtSeconds: NOW_SECONDS + 365 * DAY_SECONDS });
    expect(link).toContain(`username="${NOW_SECONDS + DAY_SECONDS}:${SESSION}"`);
  });

  it('never carries the secret', () => {
    const links = createIceServers({ urls: ['turn:t', 'stun:s'], turnSecret: TURN_SECRET, clock });
    expect(links(client).join()).not.toContain(TURN_SECRET);
  });

  it('refuses TURN without a secret', () => {
    expect(() => createIceServers({ urls: ['turn:t'], clock })).toThrow(TypeError);
  });

  it('is what the player reads', () => {
    const urls = ['stun:stun.example:3478', 'turn:turn.example?transport=udp', 'turns:turn.example:443'];
    const links = createIceServers({ urls, turnSecret: TURN_SECRET, clock })(client);
    const username = `${NOW_SECONDS + 60}:${SESSION}`;
    const credential = createHmac('sha1', TURN_SECRET).update(username).digest('base64');
    expect(iceServersOf(links.join(', '))).toEqual([
      { urls: 'stun:stun.example:3478' },
      { urls: 'turn:turn.example?transport=udp', username, credential },
      { urls: 'turns:turn.example:443', username, credential },
    ]);
  });

  it('is verified as coturn does: the credential is that of the name, and of no other name', () => {
    const links = createIceServers({ urls: ['turn:t'], turnSecret: TURN_SECRET, clock });
    const passwords = ['a', 'b'].map(
      (sessionId) => iceServersOf(links({ ...client, sessionId })[0] ?? '')[0],
    );
    const [one, two] = passwords;
    for (const server of [one, two]) {
      const expected = createHmac('sha1', TURN_SECRET).update(String(server?.username)).digest('base64');
      expect(server?.credential).toBe(expected);
    }
    expect(one?.credential).not.toBe(two?.credential);
  });
});

describe('settings', () => {
  it('are a list of URLs and the secret', () => {
    const config = readMediaConfig({
      USHER_ICE_SERVERS: 'stun:s.example, turn:t.example?transport=tcp',
      USHER_TURN_SECRET: TURN_SECRET,
    });
    expect(config.USHER_ICE_SERVERS).toEqual(['stun:s.example', 'turn:t.example?transport=tcp']);
  });

  test.each<[string, NodeJS.ProcessEnv, RegExp]>([
    ['TURN without a secret', { USHER_ICE_SERVERS: 'turn:t.example' }, /^USHER_TURN_SECRET: /],
    ['a secret without TURN', { USHER_TURN_SECRET: TURN_SECRET }, /^USHER_ICE_SERVERS: /],
    [
      'a short secret',
      { USHER_TURN_SECRET: 'short', USHER_ICE_SERVERS: 'turn:t' },
      /^USHER_TURN_SECRET: (?!.*short\b)/,
    ],
    ['what is no URL', { USHER_ICE_SERVERS: 'stun:s,http://x' }, /^USHER_ICE_SERVERS: stun:, stuns:/],
    ['nine of them', { USHER_ICE_SERVERS: Array(9).fill('stun:s').join() }, /^USHER_ICE_SERVERS: /],
    ['an empty one', { USHER_ICE_SERVERS: 'stun:s,' }, /^USHER_ICE_SERVERS: /],
  ])('refuse %s', (_what, env, message) => {
    expect(() => readMediaConfig(env)).toThrow(message);
  });
});
