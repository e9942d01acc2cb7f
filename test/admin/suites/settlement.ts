/** What becomes of the money of orders, in every mode of charging. */
import { randomUUID } from 'node:crypto';
import { eq, sql } from 'drizzle-orm';
import { beforeAll, expect, it } from 'vitest';
import { orderEvents, promotions } from '../../../admin/db/schema.ts';
import { reconcile } from '../../../admin/ledger/reconcile.ts';
import { accountStatement, titleStatement } from '../../../admin/ledger/statements.ts';
import { cancelOrder } from '../../../admin/orders/cancel.ts';
import { SYSTEM, transition } from '../../../admin/orders/change.ts';
import { refundOrder, type RefundRequest } from '../../../admin/orders/refund.ts';
import { RECEIPTS_WITHIN_MS } from '../../../admin/orders/settlement.ts';
import type { OfferInput } from '../../../admin/catalog/offers.ts';
import { createPromotion } from '../../../admin/pricing/promotions.ts';
import { createVouchers } from '../../../admin/pricing/vouchers.ts';
import { latestSeq, readEntries } from '../../../admin/revocations/entries.ts';
import { revokeOrder } from '../../../admin/revocations/revoke.ts';
import { commit } from '../../../admin/tickets/redeem.ts';
import { Denial } from '../../../plugin/errors.ts';
import {
  createCustomer,
  createOrderRequest,
  orderOffer,
  place,
  START_MS,
  type World,
} from '../../support/databases.ts';
import { createTestDesk, type TestDesk } from '../../support/order-desk.ts';
import { booksOf, createSale } from '../../support/sales.ts';
import { createViewing } from '../../support/viewings.ts';

const HOUR_MS = 3_600_000;
const OVER_MS = HOUR_MS + RECEIPTS_WITHIN_MS;
const PAGE = { after: undefined, before: undefined, limit: 20, inverted: false };

export function settlementSuite(world: () => World): void {
  let staffId = '';
  beforeAll(async () => {
    staffId = (await createCustomer(world())).id;
  });

  async function sell(terms: Partial<OfferInput> = {}) {
    const [customer, offer] = [await createCustomer(world(), 1000), await createSale(world(), terms)];
    const placed = await orderOffer(world(), offer.id, customer.id);
    const desk = createTestDesk(world());
    const { id } = placed.order;
    return { customer, offer, placed, desk, id, viewing: createViewing(world(), placed) };
  }

  const books = (id: string) => booksOf(world(), id);

  const cancel = (id: string, ownerId: string | null, beforeRevoking?: () => void) =>
    world().db.transaction((tx) =>
      cancelOrder(tx, {
        orderId: id,
        ownerId,
        actor: { kind: 'buyer', id: ownerId },
        accountId: ownerId ?? staffId,
        reason: 'test',
        now: new Date(START_MS),
        ...(beforeRevoking === undefined ? {} : { beforeRevoking }),
      }),
    );

  const refund = (request: Omit<RefundRequest, 'reason'>, key = staffId) =>
    world().db.transaction((tx) =>
      refundOrder(tx, { ...request, reason: 'test' }, { id: key, accountId: staffId }, new Date(START_MS)),
    );

  async function sweepAt(desk: TestDesk, ms: number): Promise<void> {
    desk.advance(ms);
    while ((await desk.sweep()) > 0);
    expect(desk.failures).toEqual([]);
  }

  /** Settles an order when what was told of it lies behind. */
  const settleLater = (desk: TestDesk, id: string) => {
    desk.advance(1_000_000);
    return desk.settle([id]);
  };

  it('prepaid: holds the price, and charges it at the first picture, once', async () => {
    const { id, desk, viewing, customer, offer } = await sell();
    expect(await books(id)).toMatchObject({ state: 'ticketed', balance: 700, held: 300, captured: 0 });
    await viewing.begin();
    await desk.settleSession(viewing.session);
    await desk.settle([id]);
    await sweepAt(desk, OVER_MS);
    expect(await books(id)).toMatchObject({ state: 'captured', balance: 700, held: 0, captured: 300 });
    const history = await world().db.select().from(orderEvents).where(eq(orderEvents.orderId, id));
    expect(history.map(({ toState }) => toState)).toEqual([
      'placed',
      'authorized',
      'ticketed',
      'delivered',
      'captured',
    ]);
    const own = await accountStatement(world().db, customer.id, PAGE);
    expect(own.map(({ kind, balance, held }) => [kind, balance.amountMinor, held.amountMinor])).toEqual([
      ['capture', 0, -300],
      ['hold', -300, 300],
      ['credit', 1000, 0],
    ]);
    const title = await titleStatement(world().db, offer.titleId, PAGE);
    expect(title.map(({ kind, revenue }) => [kind, revenue.amountMinor])).toEqual([
      ['capture', 300],
      ['hold', 0],
    ]);
    const [newest] = own;
    const rest = await accountStatement(world().db, customer.id, { ...PAGE, after: newest?.id });
    expect(rest).toEqual(own.slice(1));
  });

  it('a ticket that is not counted is charged for by its first receipt', async () => {
    const { id, desk, viewing } = await sell({ timeOption: { kind: 'duration', seconds: 3600 } });
    await viewing.use({ seconds: 0, bytes: 0 }, START_MS);
    await settleLater(desk, id);
    expect(await books(id)).toMatchObject({ state: 'ticketed' });
    await viewing.use({ seconds: 5 });
    await settleLater(desk, id);
    expect(await books(id)).toMatchObject({ state: 'captured', captured: 300, held: 0 });
  });

  it.each(['refund', 'forfeit'] as const)('prepaid and never used: %s', async (unusedPolicy) => {
    const { id, desk } = await sell({ unusedPolicy });
    await sweepAt(desk, OVER_MS - 1);
    expect(await books(id)).toMatchObject({ state: 'ticketed', held: 300 });
    await sweepAt(desk, 1);
    expect(await books(id)).toMatchObject(
      unusedPolicy === 'refund'
        ? { state: 'released', balance: 1000, held: 0, captured: 0 }
        : { state: 'captured', balance: 700, held: 0, captured: 300 },
    );
  });

  it('on delivery: charges when enough was delivered, not before', async () => {
    const { id, desk, viewing } = await sell({ charging: 'on_delivery', captureAfterSeconds: 30 });
    await viewing.begin();
    await viewing.use({ seconds: 29 });
    await settleLater(desk, id);
    expect(await books(id)).toMatchObject({ state: 'delivered', captured: 0, held: 300 });
    await viewing.use({ seconds: 1 });
    await settleLater(desk, id);
    expect(await books(id)).toMatchObject({ state: 'captured', captured: 300, held: 0 });
  });

  it('on delivery: charges nothing for less', async () => {
    const { id, desk, viewing } = await sell({ charging: 'on_delivery', captureAfterSeconds: 30 });
    await viewing.begin();
    await viewing.use({ seconds: 29 });
    await sweepAt(desk, OVER_MS);
    expect(await books(id)).toMatchObject({ state: 'released', balance: 1000, held: 0 });
  });

  const metered: Partial<OfferInput> = {
    timeOption: { kind: 'metered', unit: 'minute', max: 10, validSeconds: 3600 },
    meterPriceMinor: 25,
  };

  it('metered: holds the most, charges the minutes that were begun, and gives back the rest', async () => {
    const { id, desk, viewing } = await sell(metered);
    expect(await books(id)).toMatchObject({ balance: 750, held: 250 });
    await viewing.begin();
    await viewing.use({ seconds: 61 });
    await settleLater(desk, id);
    expect(await books(id)).toMatchObject({ state: 'delivered', held: 250, captured: 0 });
    await sweepAt(desk, OVER_MS);
    expect(await books(id)).toMatchObject({ state: 'captured', captured: 50, balance: 950, held: 0 });
  });

  it('has no history of a change that came too late, even for a caller who goes on', async () => {
    const { id, placed } = await sell();
    await cancel(id, placed.order.accountId);
    const lines = () => world().db.select().from(orderEvents).where(eq(orderEvents.orderId, id));
    const before = await lines();
    await world().db.transaction(async (tx) => {
      const steps = [{ to: 'delivered' }, { to: 'captured', amountMinor: 250 }] as const;
      const late = transition(tx, placed.order, steps, { actor: SYSTEM, now: new Date(START_MS) });
      await expect(late).rejects.toMatchObject({
        code: 'conflict',
        detail: 'order: it has changed meanwhile',
      });
    });
    expect(await lines()).toEqual(before);
  });

  it('metered, and left early: he may come back until the ticket is over, and pays once for both', async () => {
    const { id, desk, viewing, placed } = await sell(metered);
    await viewing.begin();
    await viewing.use({ seconds: 61, ends: 'viewer_left' });
    await settleLater(desk, id);
    expect(await books(id)).toMatchObject({ state: 'delivered', held: 250, captured: 0 });
    const second = createViewing(world(), placed);
    await second.begin();
    await second.use({ seconds: 30, ends: 'viewer_left' });
    await sweepAt(desk, OVER_MS);
    expect(await books(id)).toMatchObject({ state: 'captured', captured: 50, balance: 950, held: 0 });
  });

  it('metered, and revoked while it is watched: what was used is charged ten minutes later', async () => {
    const { id, desk, viewing } = await sell(metered);
    await viewing.begin();
    await viewing.use({ seconds: 61, ends: 'revoked' });
    const revoking = { accountId: staffId, reason: 'test', now: new Date(START_MS) };
    await world().db.transaction((tx) => revokeOrder(tx, id, revoking));
    await sweepAt(desk, RECEIPTS_WITHIN_MS - 1);
    expect(await books(id)).toMatchObject({ state: 'delivered', held: 250, captured: 0 });
    await sweepAt(desk, 1);
    expect(await books(id)).toMatchObject({ state: 'captured', captured: 50, balance: 950, held: 0 });
  });

  it('metered: is charged at once when all of it is used up', async () => {
    const { id, desk, viewing } = await sell(metered);
    await viewing.begin();
    await viewing.use({ seconds: 600 });
    await settleLater(desk, id);
    expect(await books(id)).toMatchObject({ state: 'captured', captured: 250, balance: 750, held: 0 });
  });

  it('receipts that come late are charged for', async () => {
    const { id, desk, viewing } = await sell(metered);
    await viewing.begin();
    await sweepAt(desk, OVER_MS - 1);
    await viewing.use({ seconds: 30 });
    await sweepAt(desk, 1);
    expect(await books(id)).toMatchObject({ state: 'captured', captured: 25 });
  });

  it('cancels before the first picture: the money is back and the ticket ends', async () => {
    const { id, customer, viewing } = await sell();
    const first = await cancel(id, customer.id);
    expect((await cancel(id, customer.id)).order.state).toBe(first.order.state);
    expect(await books(id)).toMatchObject({ state: 'cancelled', balance: 1000, held: 0 });
    await expect(viewing.begin()).rejects.toMatchObject({ code: 'ticket_revoked' });
  });

  it("does not cancel what has begun, or is another's", async () => {
    const { id, customer, viewing } = await sell();
    await expect(cancel(id, staffId)).rejects.toMatchObject({ code: 'not_found' });
    await viewing.begin();
    await expect(cancel(id, customer.id)).rejects.toMatchObject({ code: 'conflict' });
  });

  it('a viewing that begins beside a cancellation is either charged for or refused', async () => {
    const { id, customer, viewing, desk } = await sell();
    const [begun, cancelled] = await Promise.allSettled([viewing.begin(), cancel(id, customer.id)]);
    await desk.settle([id]);
    expect(begun.status).not.toBe(cancelled.status);
    expect((await books(id)).state).toBe(begun.status === 'fulfilled' ? 'captured' : 'cancelled');
  });

  it.each([
    [0, { state: 'released', balance: 1000 }],
    [4, { state: 'captured', balance: 700 }],
  ])('cancelled, and not counted: %i s that were watched meanwhile decide', async (seconds, expected) => {
    const { id, customer, desk, viewing } = await sell({ timeOption: { kind: 'duration', seconds: 3600 } });
    await cancel(id, customer.id);
    expect(await books(id)).toMatchObject({ state: 'ticketed', held: 300 });
    if (seconds > 0) await viewing.use({ seconds });
    await sweepAt(desk, RECEIPTS_WITHIN_MS);
    expect(await books(id)).toMatchObject({ ...expected, held: 0 });
  });

  it.each([
    ['counted: not told of', undefined, 0],
    ['not counted: told of, as often as its buyer may', { kind: 'duration', seconds: 3600 }, 1],
  ] as const)('what is cancelled, and the revocation feed; %s', async (_what, timeOption, entries) => {
    const { id, customer, viewing } = await sell(timeOption === undefined ? {} : { timeOption });
    const after = await latestSeq(world().db);
    const refuse = () => {
      throw new Denial('rate_limited');
    };
    if (entries > 0)
      await expect(cancel(id, customer.id, refuse)).rejects.toMatchObject({ code: 'rate_limited' });
    await cancel(id, customer.id, entries > 0 ? () => undefined : refuse);
    expect(await readEntries(world().db, { after, limit: 10 })).toHaveLength(entries);
    await expect(viewing.begin()).rejects.toMatchObject({ code: 'ticket_revoked' });
  });

  it('cancelled, and not counted: the voucher and the use of a promotion come back with the money', async () => {
    const { db } = world();
    const now = new Date(START_MS);
    const offer = await createSale(world(), { timeOption: { kind: 'duration', seconds: 3600 } });
    const { id: promotionId } = await createPromotion(
      db,
      { code: `P${randomUUID().slice(0, 18).toUpperCase()}`, name: 'Test', percent: 50, maxUses: 1 },
      now,
    );
    const batch = { name: 'Test', count: 1, offerId: offer.id, expiresAt: new Date(START_MS + HOUR_MS) };
    const { codes } = await db.transaction((tx) => createVouchers(tx, batch, now));
    const [promotion] = await db.select().from(promotions).where(eq(promotions.id, promotionId));
    const desk = createTestDesk(world());
    for (const code of [{ promotionCode: promotion?.code ?? '' }, { voucherCode: codes[0] ?? '' }]) {
      const customer = await createCustomer(world(), 1000);
      const request = async () => ({ ...(await createOrderRequest(offer.id)), ...code });
      const { id } = (await place(world(), await request(), customer.id)).order;
      const second = () => request().then((again) => place(world(), again, customer.id));
      await cancel(id, customer.id);
      await expect(second()).rejects.toMatchObject({ code: 'code_invalid' });
      await sweepAt(desk, RECEIPTS_WITHIN_MS);
      expect(await books(id)).toMatchObject({ state: 'released', balance: 1000, held: 0 });
      expect((await second()).replayed).toBe(false);
    }
  });

  it('refunds in parts, up to what was charged, and each request once', async () => {
    const { id, viewing, desk } = await sell();
    await expect(refund({ orderId: id, idempotencyKey: 'refund-0' })).rejects.toMatchObject({
      code: 'conflict',
    });
    await viewing.begin();
    await desk.settle([id]);
    const part = { orderId: id, amountMinor: 100, idempotencyKey: `part-${id}` };
    expect([(await refund(part)).replayed, (await refund(part)).replayed]).toEqual([false, true]);
    await expect(refund({ ...part, amountMinor: 50 })).rejects.toMatchObject({
      code: 'idempotency_conflict',
    });
    expect(await books(id)).toMatchObject({ state: 'captured', refunded: 100, balance: 800 });
    await expect(
      refund({ orderId: id, amountMinor: 201, idempotencyKey: `more-${id}` }),
    ).rejects.toMatchObject({ code: 'conflict' });
    const rest = { orderId: id, endTickets: true, idempotencyKey: `rest-${id}` };
    expect(await refund(rest)).toMatchObject({ amountMinor: 200, replayed: false });
    expect(await refund(rest)).toMatchObject({ amountMinor: 200, replayed: true });
    expect(await books(id)).toMatchObject({ state: 'refunded', refunded: 300, balance: 1000 });
    await expect(commit(world().db, viewing.session, world().server.id, START_MS)).rejects.toMatchObject({
      code: 'ticket_revoked',
    });
  });

  it('refunds that run at once never give back more than was charged', async () => {
    const { id, viewing, desk } = await sell();
    await viewing.begin();
    await desk.settle([id]);
    const results = await Promise.allSettled(
      Array.from({ length: 8 }, (_, at) =>
        refund({ orderId: id, amountMinor: 100, idempotencyKey: `at-once-${String(at)}-${id}` }),
      ),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
    expect(await books(id)).toMatchObject({ state: 'refunded', refunded: 300, balance: 1000 });
  });

  it('settles each order once, however many sweep at the same time', async () => {
    const sold: Awaited<ReturnType<typeof sell>>[] = [];
    for (let count = 0; count < 5; count++) sold.push(await sell({ unusedPolicy: 'forfeit' }));
    const desks = sold.map(({ desk }) => desk);
    for (const desk of desks) desk.advance(OVER_MS);
    await Promise.all(desks.map((desk) => desk.sweep()));
    await Promise.all(desks.map((desk) => desk.settle(sold.map(({ id }) => id))));
    for (const { id } of sold)
      expect(await books(id)).toMatchObject({ state: 'captured', captured: 300, balance: 700, held: 0 });
    expect(desks.flatMap(({ failures }) => failures)).toEqual([]);
  });

  it('keeps the history of orders as it was written', async () => {
    for (const statement of ['update order_events set reason = null', 'delete from order_events'])
      await expect(world().db.execute(sql.raw(statement))).rejects.toMatchObject({
        cause: { message: 'the history of orders is append-only' },
      });
  });

  it('leaves books that agree with the entries and receipts', async () => {
    expect(await reconcile(world().db)).toEqual([]);
  });
}
