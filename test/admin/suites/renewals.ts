/** Tickets that may take the place of others. */
import { eq } from 'drizzle-orm';
import { decodeJwt } from 'jose';
import { expect, it } from 'vitest';
import { createOffer } from '../../../admin/catalog/offers.ts';
import { orders, tickets } from '../../../admin/db/schema.ts';
import { newId } from '../../../admin/ids.ts';
import { balancesOf } from '../../../admin/ledger/ledger.ts';
import { money } from '../../../admin/ledger/money.ts';
import { findIssued } from '../../../admin/tickets/issue.ts';
import type { RenewalRequest } from '../../../admin/orders/renew.ts';
import { revokeTicket } from '../../../admin/revocations/revoke.ts';
import { UNLIMITED_PLAY, type Rights } from '../../../plugin/rights/index.ts';
import {
  buyerOf,
  createCustomer,
  createOrderRequest,
  createTestOffer,
  place,
  START_MS,
  ticketed,
  type World,
} from '../../support/databases.ts';
import { createTestDesk, type TestDesk } from '../../support/order-desk.ts';
import { createViewing } from '../../support/viewings.ts';

const HOUR = 3600;
const HD: Partial<Rights> = { tier: { maxHeight: 1080 } };
const SD: Partial<Rights> = { tier: { maxHeight: 576 } };

export function renewalsSuite(world: () => World): void {
  /** As if a receipt had come. */
  const use = (orderId: string) =>
    world()
      .db.update(orders)
      .set({ deliveredAt: new Date(START_MS) })
      .where(eq(orders.id, orderId));

  async function setUp(rights: Partial<Rights> = SD, balance = 1000, isUsed = true) {
    const desk = createTestDesk(world());
    const customer = await createCustomer(world(), balance);
    const offer = await createTestOffer(world(), { priceMinor: 300, rights });
    const request = await createOrderRequest(offer.id);
    const order = ticketed(await place(world(), request, customer.id));
    if (isUsed) await use(order.order.id);
    const renewal = async (change: Partial<RenewalRequest> = {}): Promise<RenewalRequest> => ({
      ticketId: order.issued.jti,
      proofKey: request.proofKey,
      sealKey: (await createOrderRequest(offer.id)).sealKey,
      idempotencyKey: newId(),
      ...change,
    });
    const buyer = buyerOf(customer.id);
    const renew = async (change: Partial<RenewalRequest> = {}, from: TestDesk = desk) =>
      ticketed(await from.renew(await renewal(change), buyer));
    return { desk, customer, offer, order, renewal, renew, buyer };
  }

  /** Another offer of the same title. */
  const offerFor = (titleId: string, rights: Partial<Rights>, validSeconds = HOUR) =>
    world().db.transaction((tx) =>
      createOffer(
        tx,
        {
          titleId,
          name: 'Other',
          priceMinor: 500,
          currency: 'EUR',
          timeOption: { kind: 'rights', rights: { ...UNLIMITED_PLAY, ...rights }, validSeconds },
          active: true,
        },
        new Date(START_MS),
      ),
    );

  it('is an order of its own, with the key, stream and servers of the ticket before, good from that one’s end on', async () => {
    const { desk, order, renew, customer } = await setUp();
    desk.advance(HOUR * 1000 - 60_000);
    const next = await renew();
    const [before, after] = [decodeJwt(order.issued.ticket), decodeJwt(next.issued.ticket)];
    expect(after).toMatchObject({
      iss: before.iss,
      aud: before.aud,
      cnf: before['cnf'],
      uri: before['uri'],
      endpoints: before['endpoints'],
      rights: before['rights'],
      exp: (before.exp ?? 0) + HOUR,
    });
    expect([after.jti === before.jti, after.sub === before.sub]).toEqual([false, false]);
    expect(next.order.id).not.toBe(order.order.id);
    expect(await balancesOf(world().db, customer.id)).toEqual([money(400, 'EUR')]);
    await createViewing(world(), order).begin();
    await createViewing(world(), next).begin();
  });

  it('the same request again is answered alike, without a charge, even when the ticket before is over', async () => {
    const { desk, renewal, buyer, customer } = await setUp();
    const request = await renewal();
    const first = await desk.renew(request, buyer);
    desk.advance(HOUR * 1000 + 1);
    expect(await desk.renew(request, buyer)).toMatchObject({ replayed: true, issued: first.issued });
    await expect(
      desk.renew({ ...(await renewal()), idempotencyKey: request.idempotencyKey }, buyer),
    ).rejects.toMatchObject({ code: 'idempotency_conflict' });
    expect(await balancesOf(world().db, customer.id)).toEqual([money(400, 'EUR')]);
  });

  it('by another offer with better rights begins at once', async () => {
    const { desk, offer, order, renew } = await setUp();
    const better = await offerFor(offer.titleId, HD);
    desk.advance(600_000);
    const next = await renew({ offerId: better.id });
    expect(next.issued.rights.tier).toEqual({ maxHeight: 1080 });
    expect(next.issued.expiresAt.getTime()).toBe(order.issued.expiresAt.getTime() + 600_000);
  });

  it('is refused where it would take something away, before anything is paid', async () => {
    const { desk, offer, renew, customer } = await setUp(HD);
    const worse = await offerFor(offer.titleId, SD);
    await expect(renew({ offerId: worse.id })).rejects.toMatchObject({
      code: 'rights_insufficient',
      detail: 'tier.maxHeight',
    });
    const other = await createTestOffer(world(), { rights: HD });
    await expect(renew({ offerId: other.id })).rejects.toMatchObject({ code: 'input_invalid' });
    expect(await balancesOf(world().db, customer.id)).toEqual([money(700, 'EUR')]);
    desk.advance(HOUR * 1000);
    await expect(renew()).rejects.toMatchObject({ code: 'ticket_expired' });
  });

  it('of a ticket with more than a whole term left is refused: time is not piled up', async () => {
    const { desk, renew, renewal, buyer } = await setUp({}, 2000);
    const next = await renew();
    await use(next.order.id);
    await expect(desk.renew(await renewal({ ticketId: next.issued.jti }), buyer)).rejects.toMatchObject({
      detail: 'ticketId: it has more than a whole term left',
    });
    desk.advance(HOUR * 1000);
    const third = ticketed(await desk.renew(await renewal({ ticketId: next.issued.jti }), buyer));
    expect(third.issued.expiresAt.getTime()).toBe(START_MS + 3 * HOUR * 1000);
  });

  it('of a ticket that was not used is refused: it could still be cancelled, and its time be had for nothing', async () => {
    const { renew, customer } = await setUp(SD, 1000, false);
    await expect(renew()).rejects.toMatchObject({
      code: 'conflict',
      detail: 'ticketId: it has not been used',
    });
    expect(await balancesOf(world().db, customer.id)).toEqual([money(700, 'EUR')]);
  });

  it('gives what is left of a ticket once, also to those who ask at the same time', async () => {
    const { desk, renewal, renew, buyer, customer } = await setUp();
    const requests = await Promise.all([renewal(), renewal(), renewal()]);
    const answers = await Promise.allSettled(requests.map((request) => desk.renew(request, buyer)));
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const answer of answers)
      if (answer.status === 'rejected') expect(answer.reason).toMatchObject({ code: 'conflict' });
    await expect(renew()).rejects.toMatchObject({ detail: 'ticketId: it has been renewed' });
    expect(await balancesOf(world().db, customer.id)).toEqual([money(400, 'EUR')]);
  });

  it('of a ticket that is paid on delivery is refused until it is', async () => {
    const { order, renew } = await setUp();
    const { terms } = order.order;
    await world()
      .db.update(orders)
      .set({ terms: { ...terms, charging: 'on_delivery' }, capturedMinor: 0 })
      .where(eq(orders.id, order.order.id));
    await expect(renew()).rejects.toMatchObject({ detail: 'ticketId: it has not been charged' });
  });

  it('of a revoked ticket, of another buyer, or with another key is refused', async () => {
    const { desk, order, renewal, buyer, customer } = await setUp();
    const stranger = await createCustomer(world(), 1000);
    const { proofKey } = await createOrderRequest(order.order.offerId);
    for (const [request, by] of [
      [await renewal(), buyerOf(stranger.id)],
      [await renewal(), buyerOf(null)],
      [await renewal({ proofKey }), buyer],
      [await renewal({ ticketId: newId() }), buyer],
    ] as const)
      await expect(desk.renew(request, by)).rejects.toMatchObject({ code: 'not_found', detail: 'ticket' });
    await world().db.transaction((tx) =>
      revokeTicket(tx, order.issued.jti, {
        accountId: customer.id,
        reason: 'test',
        now: new Date(START_MS),
      }),
    );
    await expect(desk.renew(await renewal(), buyer)).rejects.toMatchObject({ code: 'ticket_revoked' });
  });

  it('by a preview is refused, as it would go on until the quota is gone; from one to a paid offer it goes on', async () => {
    const { desk, offer, renew, customer } = await setUp({});
    const preview = await world().db.transaction((tx) =>
      createOffer(
        tx,
        {
          titleId: offer.titleId,
          name: 'Preview',
          priceMinor: 0,
          currency: 'EUR',
          timeOption: { kind: 'preview', seconds: 60 },
          previewsPerAddress: 5,
          active: true,
        },
        new Date(START_MS),
      ),
    );
    await expect(renew({ offerId: preview.id })).rejects.toMatchObject({
      code: 'not_on_sale',
      detail: 'offerId: a preview renews no ticket',
    });
    const request = await createOrderRequest(preview.id);
    const taste = ticketed(await place(world(), request, customer.id));
    await use(taste.order.id);
    desk.advance(10_000);
    const held = { ticketId: taste.issued.jti, proofKey: request.proofKey };
    await expect(renew(held)).rejects.toMatchObject({ code: 'not_on_sale' });
    expect((await renew({ ...held, offerId: offer.id })).order.offerId).toBe(offer.id);
    const placed = await world().db.select().from(orders).where(eq(orders.offerId, preview.id));
    expect(placed).toHaveLength(1);
  });

  it('that the balance does not cover changes nothing', async () => {
    const { renew, customer, order } = await setUp(SD, 400);
    await expect(renew()).rejects.toMatchObject({ code: 'funds_insufficient' });
    expect(await balancesOf(world().db, customer.id)).toEqual([money(100, 'EUR')]);
    const rows = await world()
      .db.select()
      .from(tickets)
      .where(eq(tickets.jkt, decodeJkt(order.issued.ticket)));
    expect(rows).toHaveLength(1);
  });

  it('by card has its ticket when the payment is authorized, still of the ticket before', async () => {
    const { desk, order, renewal, buyer } = await setUp();
    const placed = await desk.renew(await renewal({ cardToken: 'tok_delayed' }), buyer);
    expect(placed.issued).toBeNull();
    expect(await desk.tellWebhooks()).toBe(1);
    const issued = await findIssued(world().db, placed.order.id);
    expect(issued?.expiresAt.getTime()).toBe(order.issued.expiresAt.getTime() + HOUR * 1000);
    expect(decodeJwt(issued?.ticket ?? '')['cnf']).toEqual(decodeJwt(order.issued.ticket)['cnf']);
  });
}

const decodeJkt = (ticket: string): string => (decodeJwt(ticket)['cnf'] as { jkt: string }).jkt;
