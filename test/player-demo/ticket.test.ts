import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { createOrderKeys, type OrderKeys } from '../../player-demo/src/keys.ts';
import { checkTicket, sameJson } from '../../player-demo/src/ticket.ts';
import { ISSUER, NOW_MS, OFFER, openShop, RIGHTS, TITLE, type Changes, type Shop } from './support/shop.ts';

let shop: Shop;
let keys: OrderKeys;
let otherKeys: OrderKeys;

beforeAll(async () => {
  [shop, keys, otherKeys] = await Promise.all([openShop(), createOrderKeys(), createOrderKeys()]);
});

async function check(changes: Changes, nowMs = NOW_MS) {
  const ordered = { issuer: ISSUER, uri: TITLE.path, rights: RIGHTS, keys };
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
    { issuer: ISSUER, uri: TITLE.path, rights, keys },
    shop.keySet,
    NOW_MS,
  );
  expect(checked).toMatchObject({ countsAccesses: true, allowedSeconds: 60 });
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
    const ordered = { issuer: ISSUER, uri: TITLE.path, rights: RIGHTS, keys };
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
