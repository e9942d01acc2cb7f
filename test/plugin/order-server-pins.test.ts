import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JWK } from 'jose';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { endorseKey, isEndorsed } from '../../plugin/key-endorsement.ts';
import { createPinning, loadPins, savePins } from '../../plugin/order-server-pins.ts';
import { generateSigningKey, signServerMessage, type SigningKeyPair } from '../../plugin/ticket/index.ts';

const ISSUER = 'https://orders.example';
const nowMs = Date.now();
let first: SigningKeyPair;
let second: SigningKeyPair;
let third: SigningKeyPair;
let stranger: SigningKeyPair;
beforeAll(async () => {
  [first, second, third, stranger] = await Promise.all([
    generateSigningKey(),
    generateSigningKey('ES256'),
    generateSigningKey(),
    generateSigningKey(),
  ]);
});

const endorsed = (key: SigningKeyPair, by: SigningKeyPair, issuer = ISSUER) => ({
  ...key.publicJwk,
  endorsement: endorseKey(by, { issuer, jwk: key.publicJwk, nowMs }),
});

let dataDir: string;
let logged: { fields: object; message: string }[];
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'usher-pins-'));
  logged = [];
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

function pinning(...pinned: SigningKeyPair[]) {
  const note = (fields: object, message: string) => void logged.push({ fields, message });
  const pins = { issuer: ISSUER, fingerprints: pinned.map(({ kid }) => kid) };
  const filter = createPinning({ dataDir, pins, log: { info: note, error: note } });
  return async (...keys: unknown[]) =>
    ((await filter({ keys })) as { keys: JWK[] }).keys.map(({ kid }) => kid);
}

describe('an endorsement', () => {
  it('is good for its key, issuer and signer only', async () => {
    const endorsement = endorseKey(first, { issuer: ISSUER, jwk: second.publicJwk, nowMs });
    const as = (changes: object) =>
      isEndorsed(endorsement, { issuer: ISSUER, jwk: second.publicJwk, by: first.publicJwk, ...changes });
    expect(await as({})).toBe(true);
    expect(await as({ issuer: 'https://other.example' })).toBe(false);
    expect(await as({ jwk: third.publicJwk })).toBe(false);
    expect(await as({ by: stranger.publicJwk })).toBe(false);
    expect(await as({ by: second.publicJwk })).toBe(false);
  });

  it('is not a message of another kind by the same key', async () => {
    const message = await signServerMessage({
      typ: 'redemption+jwt',
      payload: { jkt: second.kid },
      iss: ISSUER,
      aud: ISSUER,
      key: first,
      clock: { nowMs: () => nowMs },
    });
    expect(await isEndorsed(message, { issuer: ISSUER, jwk: second.publicJwk, by: first.publicJwk })).toBe(
      false,
    );
  });

  it.each([[undefined], [''], ['a.b.c'], [7], ['x'.repeat(2000)]])('is not %j', async (endorsement) => {
    const about = { issuer: ISSUER, jwk: second.publicJwk, by: first.publicJwk };
    expect(await isEndorsed(endorsement, about)).toBe(false);
  });
});

describe('of a fetched key set', () => {
  it('the pinned key is trusted, and a stranger beside it is not', async () => {
    expect(await pinning(first)(stranger.publicJwk, first.publicJwk)).toEqual([first.kid]);
    expect(logged).toEqual([
      { fields: { fingerprint: stranger.kid }, message: expect.stringContaining('refused') },
    ]);
  });

  it('a key is trusted that a trusted one has endorsed, over any number of rotations', async () => {
    const filter = pinning(first);
    expect(await filter(endorsed(third, second), endorsed(second, first), first.publicJwk)).toEqual([
      first.kid,
      second.kid,
      third.kid,
    ]);
  });

  it('a key stays trusted when the one that endorsed it is gone, also after a restart', async () => {
    const filter = pinning(first);
    await filter(endorsed(second, first), first.publicJwk);
    expect(await filter(endorsed(second, first))).toEqual([second.kid]);
    const pins = await loadPins(dataDir);
    expect(pins).toEqual({ issuer: ISSUER, fingerprints: [first.kid, second.kid] });
    expect((await stat(join(dataDir, 'order-server.json'))).mode & 0o777).toBe(0o600);
  });

  it('an old copy of the set, served again, makes nobody forget the new key', async () => {
    const filter = pinning(first);
    await filter(endorsed(second, first), first.publicJwk);
    expect(await filter(first.publicJwk)).toEqual([first.kid]);
    expect(await filter(endorsed(second, first))).toEqual([second.kid]);
  });

  it.each<[string, () => JWK]>([
    ['endorsed by a stranger', () => endorsed(third, stranger)],
    ['endorsed by itself', () => endorsed(third, third)],
    ['endorsed for another issuer', () => endorsed(third, first, 'https://other.example')],
    [
      'with the endorsement of another key',
      () => ({ ...third.publicJwk, endorsement: endorsed(second, first).endorsement }),
    ],
    ['that takes the id of a pinned one', () => ({ ...third.publicJwk, kid: first.kid })],
  ])('a key %s is not trusted', async (_name, make) => {
    expect(await pinning(first)(make())).toEqual([]);
    expect(logged.map(({ fields }) => fields)).toEqual([{ fingerprint: third.kid }]);
  });

  it('a refused key is written down once, and no more than 64 of them', async () => {
    const filter = pinning(first);
    for (let count = 0; count < 3; count++) await filter(stranger.publicJwk);
    expect(logged).toHaveLength(1);
    const others = await Promise.all(Array.from({ length: 80 }, () => generateSigningKey()));
    for (const { publicJwk } of others) await filter(publicJwk);
    expect(logged).toHaveLength(64);
  });

  it('what cannot be trusted with does not change what is pinned', async () => {
    const filter = pinning(first);
    expect(await filter(stranger.publicJwk)).toEqual([]);
    expect(await filter(first.publicJwk)).toEqual([first.kid]);
    expect(await loadPins(dataDir)).toBeNull();
  });

  it('things that are no keys are passed over', async () => {
    const odd = [
      null,
      7,
      'x',
      [],
      {},
      { kty: 'RSA', n: 'AQAB', e: 'AQAB' },
      { ...first.publicJwk, x: 'short' },
    ];
    expect(await pinning(first)(...odd, first.publicJwk)).toEqual([first.kid]);
  });

  it.each([[{}], [null], [{ keys: 7 }], [{ keys: Array.from({ length: 65 }, () => ({})) }]])(
    'one that is none (%j) is refused',
    async (jwks) => {
      const log = { info: () => undefined, error: () => undefined };
      const filter = createPinning({ dataDir, pins: { issuer: ISSUER, fingerprints: [first.kid] }, log });
      await expect(filter(jwks)).rejects.toThrow(TypeError);
    },
  );
});

describe('the file of pins', () => {
  it('is not there before an enrolment', async () => {
    expect(await loadPins(dataDir)).toBeNull();
  });

  it('is replaced as a whole', async () => {
    await savePins(dataDir, { issuer: ISSUER, fingerprints: [first.kid] });
    await savePins(dataDir, { issuer: ISSUER, fingerprints: [second.kid] });
    expect(JSON.parse(await readFile(join(dataDir, 'order-server.json'), 'utf8'))).toEqual({
      issuer: ISSUER,
      fingerprints: [second.kid],
    });
  });

  it('is an error when something else is in it: nobody is trusted by mistake', async () => {
    await writeFile(
      join(dataDir, 'order-server.json'),
      '{"issuer":"https://orders.example","fingerprints":[]}',
    );
    await expect(loadPins(dataDir)).rejects.toThrow(/order-server\.json/);
  });
});
