import { beforeEach, describe, expect, it } from 'vitest';
import { redemptionSchema } from '../../../plugin/contract.ts';
import {
  createReplayMemory,
  signServerMessage,
  verifyServerMessage,
  type ReplayMemory,
  type VerifyServerMessageOptions,
} from '../../../plugin/ticket/index.ts';
import {
  codeOf,
  decode,
  FrozenClock,
  holderEcKey,
  holderKey,
  NOW_SECONDS,
  orderServerKey,
  signObjects,
  signTexts,
} from './support.ts';

const SESSION = '019a0000-0000-7000-8000-00000000000a';
const AUDIENCE = 'https://orders.example.com';
const SERVER = 'edge-1';
/** The streaming server's key; which key of the tests it is does not matter. */
const serverKey = holderKey;

let clock: FrozenClock;
let replay: ReplayMemory;
beforeEach(() => {
  clock = new FrozenClock();
  replay = createReplayMemory({ clock });
});

const sign = (change: Partial<Parameters<typeof signServerMessage>[0]> = {}) =>
  signServerMessage({
    typ: 'redemption+jwt',
    payload: { op: 'commit', session: SESSION },
    iss: SERVER,
    aud: AUDIENCE,
    key: serverKey,
    clock,
    ...change,
  });

const findKey = (iss: string, kid: string) => {
  const key = [serverKey, holderEcKey].find((candidate) => candidate.kid === kid);
  return Promise.resolve(iss === SERVER && key !== undefined ? key : null);
};

const verify = (
  jws: string,
  change: Partial<Omit<VerifyServerMessageOptions<unknown>, 'schema' | 'replay'>> = {},
) =>
  verifyServerMessage(jws, {
    typ: 'redemption+jwt',
    audience: AUDIENCE,
    schema: redemptionSchema,
    findKey,
    nowSeconds: NOW_SECONDS,
    maxChars: 8192,
    replay,
    ...change,
  });

async function resign(header: object, payload: object): Promise<string> {
  const genuine = decode(await sign());
  return signObjects({ ...genuine.header, ...header }, { ...genuine.payload, ...payload }, serverKey);
}

describe('a message of a registered server', () => {
  it('arrives with who sent it, when, and a number of its own', async () => {
    const message = await verify(await sign());
    expect(message).toMatchObject({
      op: 'commit',
      session: SESSION,
      iss: SERVER,
      aud: AUDIENCE,
      iat: NOW_SECONDS,
    });
    expect((await verify(await sign())).jti).not.toBe(message.jti);
  });

  it('may be signed with ES256', async () => {
    expect((await verify(await sign({ key: holderEcKey }))).op).toBe('commit');
  });

  it.each([-60, 5])('may be of a clock that differs by %i s', async (seconds) => {
    expect((await verify(await resign({}, { iat: NOW_SECONDS + seconds }))).op).toBe('commit');
  });
});

describe('a message is refused', () => {
  it.each<[string, string, () => string | Promise<string>]>([
    ['when it is no JWS', 'request_malformed: not a compact JWS', () => 'abc'],
    [
      'when it is too long',
      'request_malformed: not a compact JWS',
      () => resign({}, { pad: 'x'.repeat(8192) }),
    ],
    [
      'when a member is there twice',
      'request_malformed: not a compact JWS',
      async () => {
        const { header, payload } = decode(await sign());
        const text = JSON.stringify(payload).replace('{', '{"op":"release",');
        return signTexts(JSON.stringify(header), text, serverKey);
      },
    ],
    ['of another type', 'request_malformed: typ', () => sign({ typ: 'receipts+jwt' })],
    ['with alg none', 'request_malformed: alg', () => resign({ alg: 'none' }, {})],
    ['with jwk', 'request_malformed: header', () => resign({ jwk: serverKey.publicJwk }, {})],
    ['without a sender', 'request_malformed: iss', () => resign({}, { iss: undefined })],
    ['of a server that is not registered', 'server_untrusted: kid', () => sign({ iss: 'edge-2' })],
    ['with a key that is not registered', 'server_untrusted: kid', () => sign({ key: orderServerKey })],
    [
      'with a key of another algorithm',
      'server_untrusted: kid',
      () => sign({ key: { ...serverKey, kid: holderEcKey.kid } }),
    ],
    [
      'with the signature of another key',
      'server_untrusted: signature',
      () => sign({ key: { ...orderServerKey, kid: serverKey.kid } }),
    ],
    ['for another order server', 'server_untrusted: aud', () => sign({ aud: 'https://other.example.com' })],
    ['that is too old', 'server_untrusted: iat', () => resign({}, { iat: NOW_SECONDS - 61 })],
    ['from the future', 'server_untrusted: iat', () => resign({}, { iat: NOW_SECONDS + 6 })],
    ['with a number that is no UUID', 'request_malformed: jti', () => resign({}, { jti: '1' })],
    ['that the schema does not know', 'request_malformed: op', () => resign({}, { op: 'steal' })],
    ['with an unknown member', 'request_malformed: payload', () => resign({}, { extra: 1 })],
  ])('%s', async (_name, code, make) => {
    expect(await codeOf(verify(await make()))).toBe(code);
    expect(replay.size()).toBe(0);
  });

  it('when it is used twice', async () => {
    const message = await sign();
    await verify(message);
    expect(await codeOf(verify(message))).toBe('message_replayed');
  });

  it('beyond the age that the receiver sets', async () => {
    const message = await resign({}, { iat: NOW_SECONDS - 11 });
    expect(await codeOf(verify(message, { maxAgeSeconds: 10 }))).toBe('server_untrusted: iat');
  });
});
