import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { createOrderKeys, type OrderKeys } from '../../player-demo/src/keys.ts';
import { checkTicket, sameJson } from '../../player-demo/src/ticket.ts';
import { ISSUER, NOW_MS, OFFER, openShop, RIGHTS, TITLE, type Changes, type Shop } from './support/shop.ts';

const END = NOW_MS / 1000 + OFFER.validSeconds;

let shop: Shop;
let keys: OrderKeys;
let otherKeys: OrderKeys;

beforeAll(async () => {
  [shop, keys, otherKeys] = await Promise.all([openShop(), createOrderKeys(), createOrderKeys()]);
});

async function check(changes: Changes, nowMs = NOW_MS) {
  const ordered = { issuer: ISSUER, uri: TITLE.path, rights: RIGHTS, validSeconds: OFFER.validSeconds, keys };
  return checkTicket(await shop.deliver(keys, changes), ordered, shop.keySet, nowMs);
}

test('a ticket that is what was ordered passes', async () => {
  const checked = await check({});
  expect(checked).toMatchObject({
    expiresAtSeconds: NOW_MS / 1000 + OFFER.validSeconds,
    countsAccesses: false,
    allowedSeconds: null,
  });
});

test('counted accesses and seconds are known: the player does not spend the former, and explains its end', async () => {
  const rights = { ...RIGHTS, accesses: 1, seconds: 60 };
  const delivered = await shop.deliver(keys, { claims: { rights } });
  const checked = await checkTicket(
    delivered,
    { issuer: ISSUER, uri: TITLE.path, rights, validSeconds: OFFER.validSeconds, keys },
    shop.keySet,
    NOW_MS,
  );
  expect(checked).toMatchObject({ countsAccesses: true, allowedSeconds: 60 });
});

test('a shop without TLS, on this machine, may have a streaming server without TLS', async () => {
  const issuer = 'http://localhost:4000';
  const whep = 'http://localhost:4001/whep/live/demo';
  const delivered = await shop.deliver(keys, { whep, claims: { iss: issuer, endpoints: [whep] } });
  const ordered = { issuer, uri: TITLE.path, rights: RIGHTS, validSeconds: OFFER.validSeconds, keys };
  await checkTicket(delivered, ordered, shop.keySet, NOW_MS);
});

test('a clock that is a little behind the shop’s does not matter, nor does an answer that comes late', async () => {
  await check({}, NOW_MS - 60_000);
  await check({}, (END - 1) * 1000);
});

describe('a ticket is refused', () => {
  const cases: readonly [string, string, () => Changes][] = [
    ['of another type', 'typ', () => ({ header: { typ: 'JWT' } })],
    ['of another issuer', 'iss', () => ({ claims: { iss: 'https://elsewhere.example' } })],
    ['for another title', 'uri', () => ({ claims: { uri: '/live/demo2' } })],
    ['bound to another key', 'cnf', () => ({ claims: { cnf: { jkt: 'x'.repeat(43) } } })],
    ['bound to no key', 'cnf', () => ({ claims: { cnf: undefined } })],
    ['for another action', 'rights', () => ({ claims: { rights: { ...RIGHTS, action: 'publish' } } })],
    ['with fewer rights', 'rights', () => ({ claims: { rights: { ...RIGHTS, accesses: 1 } } })],
    ['with a lower tier', 'rights', () => ({ claims: { rights: { ...RIGHTS, tier: { maxHeight: 360 } } } })],
    ['whose client part was swapped', 'cph', () => ({ clientPart: 'a.b.c.d.e' })],
    ['whose client part is sealed to another key', 'client part', () => ({ sealedTo: otherKeys })],
    ['whose client part is of another ticket', 'jti', () => ({ clientPartJti: 'another' })],
    ['without a number', 'jti', () => ({ claims: { jti: undefined } })],
    ['without an end', 'exp', () => ({ claims: { exp: undefined } })],
    ['that is over sooner than the offer says', 'exp', () => ({ claims: { exp: END - 1 } })],
    ['that begins later, for a shorter time', 'exp', () => ({ claims: { nbf: NOW_MS / 1000 + 30 } })],
    ['that begins later than any clock is behind', 'nbf', () => ({ claims: { nbf: NOW_MS / 1000 + 61 } })],
    ['without a beginning', 'iat', () => ({ claims: { nbf: undefined } })],
    ['for no streaming server', 'aud', () => ({ claims: { aud: [] } })],
    ['for nine streaming servers', 'aud', () => ({ claims: { aud: 'a b c d e f g h i'.split(' ') } })],
    ['with a claim that it may not have', 'claims', () => ({ claims: { scope: 'all' } })],
    ['with a header member that it may not have', 'header', () => ({ header: { jku: 'https://a.example' } })],
    ['bound to more than a key', 'cnf', () => ({ cnfMore: { 'x5t#S256': 'a' } })],
    ['that is too long', 'size', () => ({ claims: { sub: 'a'.repeat(4000) } })],
    ['whose client part is no client part', 'client part', () => ({ clientPartHeader: { typ: 'JWT' } })],
    ['whose client part says more', 'client part', () => ({ clientPartContent: { exp: 1 } })],
    ['whose client part has a short key', 'client part', () => ({ clientPartContent: { k: 'AAAA' } })],
    ['whose client part is too long', 'client part', () => ({ clientPartContent: { k: 'A'.repeat(1000) } })],
    ...[
      'http://media.example/whep/live/demo',
      'https://media.example/whep/live/demo2',
      'https://media.example/live/demo',
      'https://me:pw@media.example/whep/live/demo',
      'https://media.example/whep/live/demo?ticket=1',
      'https://media.example/a/../whep/live/demo',
      'javascript://media.example/whep/live/demo',
      'not a URL/whep/live/demo',
    ].map((whep): [string, string, () => Changes] => [
      `served at ${whep}`,
      'endpoints',
      () => ({ whep, claims: { endpoints: [whep] } }),
    ]),
    [
      'for another streaming server',
      'endpoints',
      () => ({ whep: 'https://elsewhere.example/whep/live/demo' }),
    ],
  ];
  test.each(cases)('%s (%s)', async (_name, part, changes) => {
    await expect(check(changes())).rejects.toMatchObject({ name: 'TicketMismatch', part });
  });

  test('that has expired', async () => {
    const later = NOW_MS + OFFER.validSeconds * 1000;
    await expect(check({}, later)).rejects.toMatchObject({ part: 'exp' });
  });

  test('signed by another shop', async () => {
    const other = await openShop();
    const delivered = await other.deliver(keys);
    const ordered = {
      issuer: ISSUER,
      uri: TITLE.path,
      rights: RIGHTS,
      validSeconds: OFFER.validSeconds,
      keys,
    };
    await expect(checkTicket(delivered, ordered, shop.keySet, NOW_MS)).rejects.toMatchObject({
      part: 'signature',
    });
  });
});

test('the message names the part, never its value', async () => {
  await expect(check({ claims: { iss: 'https://elsewhere.example' } })).rejects.not.toThrow(/elsewhere/);
});

test('two JSON values are the same whatever the order of their members, and differ when one member does', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const reversed: unknown = JSON.parse(JSON.stringify(value), (_key, member: unknown) =>
        typeof member === 'object' && member !== null && !Array.isArray(member)
          ? Object.fromEntries(Object.entries(member).reverse())
          : member,
      );
      expect(sameJson(JSON.parse(JSON.stringify(value)), reversed)).toBe(true);
      expect(sameJson({ value, one: 1 }, { value, one: 2 })).toBe(false);
      expect(sameJson([value], [value, value])).toBe(false);
    }),
  );
});
