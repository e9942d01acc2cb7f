/** Tabs of one browser: each with a succession of its own, all with the same store and the same locks. */
import { expect, test } from 'vitest';
import { createOrderKeys } from '../../player-demo/src/keys.ts';
import { Problem } from '../../player-demo/src/problems.ts';
import type { StoredTicket } from '../../player-demo/src/store.ts';
import { createSuccession } from '../../player-demo/src/succession.ts';
import { NOW_MS, OFFER, TITLE, WHEP } from './support/shop.ts';

async function browserWith(more: Partial<StoredTicket> = {}) {
  const first: StoredTicket = {
    orderId: crypto.randomUUID(),
    account: 'account',
    titleId: TITLE.id,
    offerId: OFFER.id,
    offerName: OFFER.name,
    uri: TITLE.path,
    ticket: 'ticket 1',
    endpoint: WHEP,
    expiresAtSeconds: NOW_MS / 1000 + 60,
    countsAccesses: false,
    keys: await createOrderKeys(),
    ...more,
  };
  const stored = [first];
  const orders: string[] = [];
  /** @param use what comes of handing a ticket in; default nothing */
  function openTab(use: (next: StoredTicket) => Promise<void> = async () => undefined) {
    const used: string[] = [];
    const succession = createSuccession({
      first,
      store: { findTickets: async () => stored.toSorted((a, b) => b.expiresAtSeconds - a.expiresAtSeconds) },
      locks: navigator.locks,
      async order(held) {
        orders.push(held.ticket);
        const next = {
          ...held,
          orderId: crypto.randomUUID(),
          ticket: `ticket ${String(stored.length + 1)}`,
          expiresAtSeconds: held.expiresAtSeconds + 60,
        };
        stored.push(next);
        return next;
      },
      async use(next) {
        await use(next);
        used.push(next.ticket);
      },
    });
    return { ...succession, used };
  }
  return { first, stored, orders, openTab };
}

test('of two tabs at the same time one buys, and both go on with it; so the time after', async () => {
  const { orders, openTab } = await browserWith();
  const [one, other] = [openTab(), openTab()];
  await Promise.all([one.renew(), other.renew()]);
  expect([orders, one.used, other.used]).toEqual([['ticket 1'], ['ticket 2'], ['ticket 2']]);
  await Promise.all([other.renew(), one.renew()]);
  expect([orders, one.used.at(-1), other.used.at(-1)]).toEqual([
    ['ticket 1', 'ticket 2'],
    'ticket 3',
    'ticket 3',
  ]);
});

test('a tab that buys nothing goes on with what another one has bought, once that one uses it', async () => {
  const handing = Promise.withResolvers<undefined>();
  const handed = Promise.withResolvers<undefined>();
  const { openTab } = await browserWith();
  const other = openTab();
  expect(await other.takeOver()).toBe(false);
  const buying = openTab(() => {
    handed.resolve(undefined);
    return handing.promise;
  }).renew();
  await handed.promise;
  expect(await other.takeOver()).toBe(false);
  handing.resolve(undefined);
  await buying;
  expect([await other.takeOver(), other.used]).toEqual([true, ['ticket 2']]);
});

test('where accesses are counted, none of another tab’s is taken away without being asked', async () => {
  const { openTab } = await browserWith({ countsAccesses: true });
  await openTab().renew();
  const other = openTab();
  expect([await other.takeOver(), other.used]).toEqual([false, []]);
});

test('what was bought and not taken is handed in again, and not bought again', async () => {
  const { orders, openTab } = await browserWith();
  let answers = 0;
  const tab = openTab(async () => {
    if (answers++ === 0) throw new Problem('network');
  });
  await expect(tab.renew()).rejects.toMatchObject({ code: 'network' });
  await tab.renew();
  expect([orders, tab.used]).toEqual([['ticket 1'], ['ticket 2']]);
});

test.each<[string, () => Promise<Partial<StoredTicket>>]>([
  ['another offer', async () => ({ offerId: 'offer-2' })],
  ['another key', async () => ({ keys: await createOrderKeys() })],
  ['an earlier end', async () => ({ expiresAtSeconds: NOW_MS / 1000 + 30 })],
])('a ticket of %s is no next one', async (_name, differing) => {
  const { first, stored, orders, openTab } = await browserWith();
  stored.push({ ...first, expiresAtSeconds: first.expiresAtSeconds + 90, ...(await differing()) });
  await openTab().renew();
  expect(orders).toEqual(['ticket 1']);
});
