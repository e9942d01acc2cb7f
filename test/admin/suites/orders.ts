import { eq, sql } from 'drizzle-orm';
import { decodeJwt } from 'jose';
import { expect, it } from 'vitest';
import {
  ledgerAccounts,
  ledgerEntries,
  ledgerTransactions,
  orders,
  tickets,
} from '../../../admin/db/schema.ts';
import { updateOffer, type OfferPatch } from '../../../admin/catalog/offers.ts';
import { balancesOf, creditCustomer } from '../../../admin/ledger/ledger.ts';
import { money } from '../../../admin/ledger/money.ts';
import { newId } from '../../../admin/ids.ts';
import { openClientPart, openTicket } from '../../../plugin/ticket/index.ts';
import { generateSealingKey } from '../../../plugin/ticket/index.ts';
import {
  createCustomer,
  createOrderRequest,
  createTestOffer,
  orderOffer,
  place,
  ticketed,
  START_MS,
  type World,
} from '../../support/databases.ts';

const codes = (results: PromiseSettledResult<unknown>[]) =>
  results.map((result) => (result.status === 'fulfilled' ? 'ok' : String(result.reason.code)));

async function entriesSum({ db }: World): Promise<unknown[]> {
  return db.execute(sql`select currency from ledger_entries group by currency having sum(amount_minor) <> 0`);
}

export function ordersSuite(world: () => World): void {
  it('debits the balance once and answers a retried order alike', async () => {
    const { db } = world();
    const [customer, offer] = [
      await createCustomer(world(), 1000),
      await createTestOffer(world(), { priceMinor: 299 }),
    ];
    const request = await createOrderRequest(offer.id);
    const again = () => place(world(), request, customer.id);
    const first = await again();
    const second = await again();
    expect(first.replayed).toBe(false);
    expect(second).toEqual({ ...first, replayed: true });
    expect(await balancesOf(db, customer.id)).toEqual([money(701, 'EUR')]);
    expect(await db.select().from(tickets).where(eq(tickets.orderId, first.order.id))).toHaveLength(1);
  });

  it('charges once when the same order arrives 10 times at once: who comes meanwhile is told so', async () => {
    const { db } = world();
    const [customer, offer] = [
      await createCustomer(world(), 1000),
      await createTestOffer(world(), { priceMinor: 299 }),
    ];
    const request = await createOrderRequest(offer.id);
    const results = await Promise.allSettled(
      Array.from({ length: 10 }, () => place(world(), request, customer.id)),
    );
    const placed = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    expect(placed.filter(({ replayed }) => !replayed)).toHaveLength(1);
    expect(new Set(placed.map(({ issued }) => issued?.ticket)).size).toBe(1);
    for (const code of codes(results)) expect(['ok', 'conflict']).toContain(code);
    expect(await balancesOf(db, customer.id)).toEqual([money(701, 'EUR')]);
    const again = await place(world(), request, customer.id);
    expect(again).toMatchObject({ replayed: true, issued: placed[0]?.issued });
  });

  it.each([
    [true, 'clear'],
    [false, undefined],
  ])(
    'an offer that allows clear transport (%s) makes tickets that say so: %s',
    async (allowed, transport) => {
      const offer = await createTestOffer(world(), { allowClearTransport: allowed });
      expect(offer.transport).toBe(transport ?? null);
      const { issued } = await orderOffer(world(), offer.id);
      expect(decodeJwt(issued.ticket)['transport']).toBe(transport);
    },
  );

  it('a changed offer keeps what the patch does not name, clear transport too', async () => {
    const { db } = world();
    const { id } = await createTestOffer(world(), { allowClearTransport: true });
    const change = (patch: OfferPatch) =>
      db.transaction((tx) => updateOffer(tx, id, patch, new Date(START_MS)));
    expect(await change({ name: 'Other' })).toMatchObject({ name: 'Other', transport: 'clear' });
    expect(await change({ allowClearTransport: false })).toMatchObject({ name: 'Other', transport: null });
    expect(await change({ allowClearTransport: true })).toMatchObject({ transport: 'clear' });
  });

  it('refuses an idempotency key that was used with another offer or key', async () => {
    const [customer, offer] = [await createCustomer(world(), 1000), await createTestOffer(world())];
    const other = await createTestOffer(world());
    const request = await createOrderRequest(offer.id);
    await place(world(), request, customer.id);
    const { idempotencyKey } = request;
    for (const changed of [
      { ...request, offerId: other.id },
      { ...(await createOrderRequest(offer.id)), idempotencyKey },
    ]) {
      await expect(place(world(), changed, customer.id)).rejects.toMatchObject({
        code: 'idempotency_conflict',
      });
    }
  });

  it('lets the same idempotency key of two accounts stand for two orders', async () => {
    const offer = await createTestOffer(world());
    const request = await createOrderRequest(offer.id);
    const placed = [];
    for (const customer of [await createCustomer(world()), await createCustomer(world())]) {
      placed.push(await place(world(), request, customer.id));
    }
    expect(placed.map(({ replayed }) => replayed)).toEqual([false, false]);
  });

  it('never lets a balance fall below zero, with 20 orders at once', async () => {
    const { db } = world();
    const [customer, offer] = [
      await createCustomer(world(), 1000),
      await createTestOffer(world(), { priceMinor: 299 }),
    ];
    const results = await Promise.allSettled(
      Array.from({ length: 20 }, () => orderOffer(world(), offer.id, customer.id)),
    );
    expect(codes(results).filter((code) => code === 'ok')).toHaveLength(3);
    expect(codes(results).filter((code) => code === 'funds_insufficient')).toHaveLength(17);
    expect(await balancesOf(db, customer.id)).toEqual([money(103, 'EUR')]);
    expect(await db.select().from(orders).where(eq(orders.accountId, customer.id))).toHaveLength(3);
    expect(await entriesSum(world())).toEqual([]);
  });

  it('leaves nothing of an order that is refused for its price', async () => {
    const { db } = world();
    const [customer, offer] = [
      await createCustomer(world()),
      await createTestOffer(world(), { priceMinor: 1 }),
    ];
    await expect(orderOffer(world(), offer.id, customer.id)).rejects.toMatchObject({
      code: 'funds_insufficient',
    });
    expect(await db.select().from(orders).where(eq(orders.offerId, offer.id))).toEqual([]);
  });

  it('sells free offers without an account, and no others', async () => {
    const [free, priced] = [
      await createTestOffer(world()),
      await createTestOffer(world(), { priceMinor: 1 }),
    ];
    await expect(orderOffer(world(), free.id)).resolves.toMatchObject({ order: { accountId: null } });
    await expect(orderOffer(world(), priced.id)).rejects.toMatchObject({ code: 'unauthenticated' });
  });

  it('issues a ticket that the streaming server and the client can open, and nobody else', async () => {
    const { authority, server, sealingKey } = world();
    const offer = await createTestOffer(world(), { rights: { accesses: 2, window: 60 } });
    const clientKey = await generateSealingKey();
    const { kty, crv, x } = clientKey.publicJwk;
    const request = { ...(await createOrderRequest(offer.id)), sealKey: { kty, crv, x } } as Awaited<
      ReturnType<typeof createOrderRequest>
    >;
    const { issued } = ticketed(await place(world(), request));
    const { claims, secret } = await openTicket(issued.ticket, {
      keys: authority,
      nowSeconds: START_MS / 1000,
      serverId: server.id,
      uri: offer.path,
      unsealKeys: [{ kid: sealingKey.kid, privateJwk: sealingKey.privateJwk }],
    });
    expect(claims).toMatchObject({
      iss: authority.issuer,
      aud: ['ss-1'],
      uri: offer.path,
      endpoints: [`https://media.example/whep${offer.path}`],
      rights: { accesses: 2, window: 60 },
      exp: START_MS / 1000 + 3600,
    });
    const part = await openClientPart(issued.clientPart!, clientKey.privateJwk, claims);
    expect(Buffer.from(part).equals(Buffer.from(secret.k!))).toBe(true);
  });

  it('uses a new pseudonym for each order', async () => {
    const { authority } = world();
    const [customer, offer] = [await createCustomer(world()), await createTestOffer(world())];
    const subjects = new Set<unknown>();
    for (let count = 0; count < 3; count++) {
      const { issued } = await orderOffer(world(), offer.id, customer.id);
      const payload = JSON.parse(Buffer.from(issued.ticket.split('.')[1]!, 'base64url').toString());
      expect(JSON.stringify(payload)).not.toContain(customer.id);
      subjects.add(payload.sub);
    }
    expect(subjects.size).toBe(3);
    expect(authority.publicJwks[0]).not.toHaveProperty('d');
  });

  it.each(['update', 'delete', 'truncate'])('refuses to %s ledger entries and transactions', async (verb) => {
    const { db } = world();
    await createCustomer(world(), 1);
    const statements = {
      update: [
        'update ledger_entries set amount_minor = 5',
        `update ledger_transactions set kind = 'credit'`,
      ],
      delete: ['delete from ledger_entries', 'delete from ledger_transactions'],
      truncate: ['truncate ledger_entries', 'truncate ledger_transactions cascade'],
    }[verb]!;
    for (const statement of statements) {
      await expect(db.execute(sql.raw(statement))).rejects.toMatchObject({
        cause: { message: 'the ledger is append-only' },
      });
    }
  });

  it.each([
    ['does not sum to zero', [100, -99]],
    ['has no entries', []],
  ])('refuses a ledger transaction that %s', async (_what, amounts) => {
    const { db } = world();
    const customer = await createCustomer(world(), 500);
    const [account] = await db.select().from(ledgerAccounts).where(eq(ledgerAccounts.ownerId, customer.id));
    const transactionId = newId();
    const booking = db.transaction(async (tx) => {
      await tx
        .insert(ledgerTransactions)
        .values({ id: transactionId, kind: 'credit', createdAt: new Date() });
      for (const amountMinor of amounts) {
        await tx
          .insert(ledgerEntries)
          .values({ id: newId(), transactionId, ledgerAccountId: account!.id, amountMinor, currency: 'EUR' });
      }
    });
    await expect(booking).rejects.toThrow();
    expect(await balancesOf(db, customer.id)).toEqual([money(500, 'EUR')]);
    expect(
      await db.select().from(ledgerTransactions).where(eq(ledgerTransactions.id, transactionId)),
    ).toEqual([]);
  });

  it('refuses an entry in another currency than its account', async () => {
    const { db } = world();
    const customer = await createCustomer(world(), 500);
    const [account] = await db.select().from(ledgerAccounts).where(eq(ledgerAccounts.ownerId, customer.id));
    const transactionId = newId();
    const entry = (amountMinor: number) => ({
      id: newId(),
      transactionId,
      ledgerAccountId: account!.id,
      amountMinor,
      currency: 'USD',
    });
    const booking = db.transaction(async (tx) => {
      await tx
        .insert(ledgerTransactions)
        .values({ id: transactionId, kind: 'credit', createdAt: new Date() });
      await tx.insert(ledgerEntries).values([entry(1), entry(-1)]);
    });
    await expect(booking).rejects.toMatchObject({
      cause: { message: 'an entry must have the currency of its account' },
    });
  });

  it('keeps a balance that is the sum of its entries', async () => {
    const { db } = world();
    const rows = await db.execute(sql`
      select 1 from ledger_accounts a left join ledger_entries e on e.ledger_account_id = a.id
      where a.kind = 'customer_balance' group by a.id
      having a.balance_minor <> coalesce(sum(e.amount_minor), 0)`);
    expect(rows).toHaveLength(0);
    expect(await entriesSum(world())).toEqual([]);
  });

  it('credits once per requester and key, and refuses the key with another amount', async () => {
    const { db } = world();
    const customer = await createCustomer(world());
    const credit = (amountMinor: number) =>
      db.transaction((tx) =>
        creditCustomer(
          tx,
          {
            kind: 'top_up',
            requestedBy: customer.id,
            accountId: customer.id,
            amount: money(amountMinor, 'EUR'),
            idempotencyKey: 'top-up-1',
          },
          new Date(START_MS),
        ),
      );
    expect([await credit(100), await credit(100)]).toEqual([false, true]);
    await expect(credit(200)).rejects.toMatchObject({ code: 'idempotency_conflict' });
    expect(await balancesOf(db, customer.id)).toEqual([money(100, 'EUR')]);
  });
}
