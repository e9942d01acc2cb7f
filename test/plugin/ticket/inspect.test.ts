import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { KeySource } from '../../../plugin/ports.ts';
import { inspectTicket, type InspectOptions } from '../../../plugin/ticket/inspect.ts';
import { issueTicket, verifyTicket } from '../../../plugin/ticket/index.ts';
import { Denial } from '../../../plugin/errors.ts';
import {
  claims,
  codeOf,
  decode,
  flipBit,
  ISSUER,
  keySource,
  NOW_SECONDS,
  order,
  orderServerEcKey,
  orderServerKey,
  SERVER_ID,
  signObjects,
} from './support.ts';
import { CLIENT_X25519, STREAMING_SERVER_P256, STREAMING_SERVER_X25519 } from './insecure-test-keys.ts';
import { recipient } from './support.ts';

const { ticket, clientPart } = await issueTicket(order);
const genuine = decode(ticket);
const inspect = (text: string, options: Partial<InspectOptions> = {}) =>
  inspectTicket(text, { nowSeconds: NOW_SECONDS, keys: keySource, ...options });
const problemsOf = async (text: string, options: Partial<InspectOptions> = {}) =>
  (await inspect(text, options)).problems.map(({ code, detail }) => `${code}: ${detail}`);
const withPayload = (change: object) =>
  signObjects(genuine.header, { ...genuine.payload, ...change }, orderServerKey);

describe('a good ticket', () => {
  it('is well-formed, signed, in time and has no problems', async () => {
    const { verdict, problems, chars, maxChars } = await inspect(ticket, { serverId: SERVER_ID });
    expect(verdict).toEqual({ form: 'well-formed', signature: 'valid', time: 'in time', server: 'named' });
    expect(problems).toEqual([]);
    expect({ chars, maxChars }).toEqual({ chars: ticket.length, maxChars: 4096 });
  });

  it('says each claim in plain words, times with their distance', async () => {
    const shown = (await inspect(ticket)).claims;
    expect(shown.map(({ name }) => name)).toEqual([
      ...['iss', 'aud', 'sub', 'jti', 'iat', 'nbf', 'exp', 'cnf', 'uri', 'endpoints', 'rights', 'charging'],
      ...['suites', 'ss', 'cph'],
    ]);
    const wordsOf = (name: string) => shown.find((member) => member.name === name)?.words;
    expect(wordsOf('exp')).toEqual(['ends at 2026-02-02T04:40:00Z, in 2 h']);
    expect(wordsOf('iat')).toEqual(['issued at 2026-02-02T02:40:00Z, now']);
    expect(wordsOf('rights')).toEqual([
      'may play',
      '1 time',
      '2 h of media in all',
      'no limit of bytes',
      '1 session at once, more are refused',
      'until the ticket ends',
      'may pause',
      'at most 1080 lines',
    ]);
    expect(wordsOf('uri')).toEqual(['for the stream /live/concert, and no other']);
  });

  it('says what it means that a claim is not there', async () => {
    const { client: _client, ...rest } = order;
    const { cnf: _cnf, ...unbound } = claims;
    const bearer = (await issueTicket({ ...rest, claims: unbound })).ticket;
    const shown = (await inspect(bearer)).claims;
    expect(shown).toContainEqual({
      name: 'cnf',
      words: ['not bound to a key: whoever has the ticket can use it'],
    });
    expect(shown).toContainEqual({ name: 'cph', words: ['no client part'] });
  });

  it('names the keys that can open the sealed part, with their curves', async () => {
    const servers = [STREAMING_SERVER_X25519, STREAMING_SERVER_P256, CLIENT_X25519].map(recipient);
    const { sealed } = await inspect((await issueTicket({ ...order, servers })).ticket);
    expect(sealed.map(({ kid, curve }) => `${kid} ${curve}`)).toEqual([
      'insecure-test-ss-1 X25519',
      'insecure-test-ss-2 P-256',
      'insecure-test-client X25519',
    ]);
  });

  it('shows nothing that anybody could use', async () => {
    const ss = genuine.payload.ss as Record<string, unknown> & { recipients: { encrypted_key: string }[] };
    const secrets = [
      ...ticket.split('.'),
      ...(['protected', 'iv', 'ciphertext', 'tag'] as const).map((name) => String(ss[name])),
      ...ss.recipients.map((one) => one.encrypted_key),
      String(orderServerKey.publicJwk.x),
    ];
    const shown = JSON.stringify(await inspect(ticket));
    for (const secret of secrets) expect(shown).not.toContain(secret);
  });

  it('without keys is not said to be signed', async () => {
    const { verdict, problems } = await inspectTicket(ticket, { nowSeconds: NOW_SECONDS });
    expect(verdict).toMatchObject({ signature: 'not checked', server: 'not checked' });
    expect(problems).toEqual([]);
  });
});

describe('the problems of a ticket', () => {
  const unreachable: KeySource = {
    findSigningKey: () => Promise.reject(new Denial('order_server_unreachable')),
  };
  it.each<[string, string[], () => Promise<string> | string, Partial<InspectOptions>?]>([
    ['nothing', ['ticket_malformed: not the three parts of a compact JWS'], () => ''],
    [
      'a client part',
      ['ticket_malformed: a compact JWE (five parts): a client part, perhaps, but no ticket'],
      () => clientPart ?? '',
    ],
    [
      'a padded signature',
      ['ticket_malformed: the signature is not base64url in its one spelling'],
      () => `${ticket}==`,
    ],
    [
      'a payload that is no JSON',
      ['ticket_malformed: the payload is not a JSON object that names each member once'],
      () => 'e30.AAAA.AAAA',
    ],
    [
      'a foreign key',
      ['ticket_untrusted: kid'],
      () => signObjects({ ...genuine.header, kid: 'x' }, genuine.payload, orderServerKey),
    ],
    ['another issuer', ['ticket_untrusted: iss'], () => withPayload({ iss: 'https://evil.example' })],
    [
      'another signature',
      ['ticket_untrusted: signature'],
      () =>
        signObjects(
          { ...genuine.header, kid: orderServerEcKey.kid, alg: 'ES256' },
          genuine.payload,
          orderServerKey,
        ),
    ],
    [
      'keys that cannot be had',
      ['order_server_unreachable: the keys could not be had'],
      () => ticket,
      { keys: unreachable },
    ],
    ['its end', ['ticket_expired: exp: ended now'], () => ticket, { nowSeconds: NOW_SECONDS + 7200 }],
    [
      'a time long past',
      ['ticket_expired: exp: ended 1 d 1 h ago'],
      () => ticket,
      { nowSeconds: NOW_SECONDS + 7200 + 90_000 },
    ],
    [
      'its beginning and its issue in the future',
      ['ticket_not_yet_valid: nbf: in 6 s', 'ticket_not_yet_valid: iat: in 6 s'],
      () => ticket,
      { nowSeconds: NOW_SECONDS - 6 },
    ],
    [
      'another server',
      ['ticket_wrong_audience: aud: does not name the server'],
      () => ticket,
      { serverId: 'edge-11' },
    ],
    [
      'several faults at once',
      [
        'ticket_malformed: uri: not a stream path',
        'ticket_malformed: scope: not a known claim',
        'ticket_expired: exp: ended 1 s ago',
      ],
      () => withPayload({ uri: '/live', scope: 'all', nbf: NOW_SECONDS - 9, exp: NOW_SECONDS - 1 }),
    ],
    [
      'a claim whose name is written for a terminal',
      ['ticket_malformed: (an odd name): not a known claim'],
      () => withPayload({ '\u001b[2J': 1 }),
    ],
    [
      'a header member that is not allowed',
      ['ticket_malformed: jwk: not a known header member'],
      () => signObjects({ ...genuine.header, jwk: { kty: 'oct' } }, genuine.payload, orderServerKey),
    ],
    [
      'a sealed part by another algorithm',
      ['ticket_malformed: ss: not ECDH-ES+A256KW with A256GCM and one ephemeral key for each server'],
      () => {
        const head = Buffer.from('{"alg":"dir","enc":"A256GCM"}').toString('base64url');
        return withPayload({ ss: { ...(genuine.payload.ss as object), protected: head } });
      },
    ],
  ])('%s: %j', async (_name, expected, make, options = {}) => {
    expect(await problemsOf(await make(), options)).toEqual(expected);
  });

  it('of a value that is not as it must be do not show it', async () => {
    const shown = await inspect(await withPayload({ addr: '\u001b]0;owned\u0007', iss: 7 }));
    expect(JSON.stringify(shown)).not.toMatch(/owned|u001b/);
    expect(shown.claims).toContainEqual({ name: 'addr', words: ['not as it must be'] });
  });

  it('of a ticket that is too long are told beside the others', async () => {
    const long = await withPayload({ endpoints: Array(8).fill(`https://a.example/${'a'.repeat(250)}`) });
    expect(await problemsOf(long)).toEqual(['ticket_malformed: longer than 4096 characters']);
  });
});

describe('inspection and verification agree', () => {
  async function agree(text: string): Promise<boolean> {
    const verified = await codeOf(
      verifyTicket(text, { keys: keySource, nowSeconds: NOW_SECONDS }).then(() => {
        throw new Denial('internal');
      }),
    );
    const problems = await problemsOf(text);
    return verified === 'internal' ? problems.length === 0 : problems.length > 0;
  }

  it('about any change of a claim', async () => {
    const names = Object.keys(genuine.payload).filter((name) => name !== 'ss');
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...names), fc.jsonValue(), async (name, value) => {
        expect(await agree(await withPayload({ [name]: value }))).toBe(true);
      }),
      { seed: 5, numRuns: 300 },
    );
  });

  it('about any bit of a ticket', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(ticket.length * 8 - 1), async (bit) => {
        expect(await agree(flipBit(ticket, bit))).toBe(true);
      }),
      { seed: 6, numRuns: 200 },
    );
  });

  it('about the times at the border', async () => {
    for (const [nbf, exp] of [
      [NOW_SECONDS + 5, NOW_SECONDS + 6],
      [NOW_SECONDS + 6, NOW_SECONDS + 7],
      [NOW_SECONDS - 1, NOW_SECONDS],
      [NOW_SECONDS - 1, NOW_SECONDS + 1],
    ])
      expect(await agree(await withPayload({ nbf, exp }))).toBe(true);
    expect(await agree(await withPayload({ iss: `${ISSUER}/` }))).toBe(true);
  });
});
