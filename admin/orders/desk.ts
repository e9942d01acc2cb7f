/**
 * The order desk: what one process does about orders. Transactions of the database and calls to payment providers take
 * turns here, and never lie inside each other: what is asked of a provider is written down first, and what was written
 * down is asked again until its outcome is known.
 */
import { sql } from 'drizzle-orm';
import { Denial } from '../../plugin/errors.ts';
import type { Clock, Log } from '../../plugin/ports.ts';
import type { Database, Executor } from '../db/connect.ts';
import { paymentEvents } from '../db/schema.ts';
import { newId } from '../ids.ts';
import { askProvider } from '../payments/ask.ts';
import {
  awaitOperation,
  claimOperation,
  findDueOperations,
  findOperation,
  findPaymentById,
  type Operation,
  type Payment,
} from '../payments/payments.ts';
import type { PaymentProvider, Providers } from '../payments/providers.ts';
import { findIssued } from '../tickets/issue.ts';
import type { TicketAuthority } from '../trust/signing-keys.ts';
import { abandonAuthorization, endOperation } from './pay.ts';
import { findAnyOrder } from './orders.ts';
import { placeOrder, type PlacedOrder } from './place.ts';
import type { Buyer, OrderRequest } from './request.ts';
import { orderOfRenewal, type RenewalRequest } from './renew.ts';
import {
  findDueAmong,
  findDueOfSession,
  findDueOrders,
  postpone,
  settleOrder,
  type Settled,
} from './settle.ts';

export interface DeskOptions {
  readonly db: Database;
  readonly authority: TicketAuthority;
  readonly clock: Clock;
  readonly log: Pick<Log, 'warn'>;
  /** What went wrong and will be tried again. */
  readonly failed: (error: unknown, fields: object, message: string) => void;
  readonly providers: Providers;
  /** Told of an order that was charged, or of which something was given back; now and then of one that was not. */
  readonly charged?: (orderId: string) => void;
  /** How long a provider may take to answer. Default 10 s. */
  readonly answerWithinMs?: number;
}

export interface OrderDesk {
  /**
   * Places an order and asks the provider that pays for it.
   * @throws Denial as `placeOrder`, `payment_declined`; `input_invalid` for a card of which no provider knows;
   *   `not_on_sale` when the ticket could not be issued after all.
   */
  place(request: OrderRequest, buyer: Buyer): Promise<PlacedOrder>;
  /**
   * The same for a ticket that may take the place of another one in a running session.
   * @throws Denial as `place`, `orderOfRenewal`, `requireRenewable`
   */
  renew(request: RenewalRequest, buyer: Buyer): Promise<PlacedOrder>;
  /** Asks providers what has been written down. */
  run(settled: Settled): Promise<void>;
  /** Settles those of some orders that are due. Never rejects; `close` waits for it. */
  settle(orderIds: readonly string[]): Promise<void>;
  /** The same for the order of a viewing. */
  settleSession(sessionId: string): Promise<void>;
  /**
   * Takes what a provider tells. Told twice, it is done once.
   * @throws Denial `not_found` (no such provider or operation), and as `readWebhook`.
   */
  takeWebhook(provider: string, signature: string | undefined, body: string): Promise<void>;
  /**
   * Settles what is due, and then asks again what was not answered; one process at a time, the others do nothing.
   * @param signal ends it after what it is at.
   * @returns how many orders and operations were due.
   */
  sweep(signal?: AbortSignal): Promise<number>;
  /** Waits for what is being settled or asked; what else is due is left to the next sweep. */
  close(): Promise<void>;
}

/** "sweep" in ASCII. */
const SWEEP_LOCK = 0x7377656570;
const PER_SWEEP = 200;
/** An authorization of which nothing is heard for this long has failed. */
const AUTHORIZED_WITHIN_MS = 3_600_000;
/** A provider that decides later is asked this long after, if it does not tell. */
const ASK_AGAIN_MS = 60_000;
/** Operations that are asked at the same time: one provider that hangs does not hold up the others for long. */
const ASKED_AT_ONCE = 8;

export function createOrderDesk(options: DeskOptions): OrderDesk {
  const { db, authority, clock, log, failed, providers, answerWithinMs } = options;
  const charged = options.charged ?? (() => undefined);
  const pending = new Set<Promise<void>>();
  const closing = new AbortController();

  async function apply(operation: Operation, work: (tx: Executor, nowMs: number) => Promise<Settled | null>) {
    try {
      const settled = await db.transaction((tx) => work(tx, clock.nowMs()));
      if (settled !== null) await run(settled);
    } catch (error) {
      // It stays written down, and is asked again.
      failed(error, { operation: operation.id, kind: operation.kind }, 'a payment could not be booked');
    }
  }

  function providerOf(payment: Payment): PaymentProvider | undefined {
    return Object.values(providers).find(({ name }) => name === payment.provider);
  }

  async function ask(operation: Operation): Promise<void> {
    const payment = await findPaymentById(db, operation.paymentId);
    const provider = payment === null ? undefined : providerOf(payment);
    const isLate = clock.nowMs() - operation.createdAt.getTime() > AUTHORIZED_WITHIN_MS;
    const abandon = () =>
      apply(operation, (tx, nowMs) => abandonAuthorization(tx, authority, operation, nowMs));
    if (payment === null || provider === undefined) {
      log.warn({ operation: operation.id }, 'the provider of a payment is not configured');
      if (operation.kind === 'authorize' && isLate) await abandon();
      return;
    }
    const outcome = await askProvider(provider, operation, payment, answerWithinMs);
    const isOpen = outcome === null || outcome.state === 'waiting';
    if (isOpen && operation.kind === 'authorize' && isLate) return abandon();
    if (outcome === null) {
      log.warn({ operation: operation.id, kind: operation.kind }, 'a payment provider did not answer');
      return;
    }
    if (outcome.state === 'waiting') {
      await awaitOperation(db, operation.id, new Date(clock.nowMs() + ASK_AGAIN_MS));
      return;
    }
    const ended = { state: outcome.state, reason: outcome.state === 'refused' ? outcome.reason : null };
    await apply(operation, (tx, nowMs) => endOperation(tx, authority, operation.id, ended, nowMs));
    charged(payment.orderId);
  }

  async function run({ operations }: Settled): Promise<void> {
    for (const id of operations) {
      const operation = await findOperation(db, id);
      if (operation !== null && operation.dueAt !== null) await ask(operation);
    }
  }

  async function settleOne(orderId: string): Promise<Settled> {
    try {
      const settled = await db.transaction((tx) => settleOrder(tx, orderId, clock.nowMs()));
      charged(orderId);
      return settled;
    } catch (error) {
      failed(error, { order: orderId }, 'an order could not be settled');
      await postpone(db, orderId, new Date(clock.nowMs()));
      return { operations: [] };
    }
  }

  /** Settles orders, and only then asks providers: none of them holds up an order of another. */
  async function settleAll(
    orderIds: readonly string[],
    due: readonly Operation[],
    signal: AbortSignal,
  ): Promise<void> {
    const asking = due.map((operation) => () => ask(operation));
    for (const id of orderIds) {
      if (signal.aborted) return;
      const settled = await settleOne(id);
      if (settled.operations.length > 0) asking.push(() => run(settled));
    }
    const queue = asking.values();
    const work = async () => {
      for (const next of queue) {
        if (signal.aborted) return;
        await next();
      }
    };
    const results = await Promise.allSettled(Array.from({ length: ASKED_AT_ONCE }, work));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  function inBackground(find: () => Promise<string[]>): Promise<void> {
    const work = async () => {
      try {
        await settleAll(await find(), [], closing.signal);
      } catch (error) {
        failed(error, {}, 'orders that are due could not be read');
      }
    };
    const running = work().finally(() => pending.delete(running));
    pending.add(running);
    return running;
  }

  /** What is due, for the process that gets the lock. */
  async function findDue(): Promise<{ orders: string[]; operations: Operation[] }> {
    return db.transaction(async (tx) => {
      const [row] = await tx.execute<{ taken: boolean }>(
        sql`select pg_try_advisory_xact_lock(${SWEEP_LOCK}) as taken`,
      );
      if (row?.taken !== true) return { orders: [], operations: [] };
      const now = new Date(clock.nowMs());
      const operations: Operation[] = [];
      for (const id of await findDueOperations(tx, now, PER_SWEEP)) {
        const operation = await findOperation(tx, id);
        // Claimed: the next sweep, here or elsewhere, leaves it alone for a while.
        if (operation !== null && (await claimOperation(tx, operation, now))) operations.push(operation);
      }
      return { orders: await findDueOrders(tx, now, PER_SWEEP), operations };
    });
  }

  async function place(request: OrderRequest, buyer: Buyer, renews?: string): Promise<PlacedOrder> {
    const { cardToken } = request;
    const placed = await db.transaction(async (tx) => {
      const order = await placeOrder(tx, authority, request, buyer, clock.nowMs(), renews);
      // With nobody to ask it would wait for ever, and keep what it has taken.
      if (
        order.operationId !== null &&
        !Object.values(providers).some((provider) => cardToken !== undefined && provider.knows(cardToken))
      )
        throw new Denial('input_invalid', { detail: 'cardToken: of no payment provider here' });
      return order;
    });
    if (placed.operationId !== null) await run({ operations: [placed.operationId] });
    if (placed.issued !== null) return placed;
    const order = await findAnyOrder(db, placed.order.id);
    if (order === null) throw new Error('an order is gone');
    if (order.state === 'failed') throw new Denial('payment_declined');
    // Authorized, and then there was no ticket to be had: nothing was charged.
    if (order.state === 'released' && order.expiresAt === null)
      throw new Denial('not_on_sale', { detail: 'no ticket could be issued; the payment was released' });
    return { ...placed, order, issued: await findIssued(db, order.id) };
  }

  return {
    place: (request, buyer) => place(request, buyer),
    renew: async (request, buyer) => place(await orderOfRenewal(db, request, buyer), buyer, request.ticketId),
    run,
    settle: (orderIds) => inBackground(() => findDueAmong(db, orderIds, new Date(clock.nowMs()))),
    settleSession: (sessionId) =>
      inBackground(() => findDueOfSession(db, sessionId, new Date(clock.nowMs()))),
    async takeWebhook(name, signature, body) {
      const provider = Object.values(providers).find((known) => known.name === name);
      if (provider === undefined) throw new Denial('not_found', { detail: 'provider' });
      const nowMs = clock.nowMs();
      const { eventId, operationId, outcome, reason } = provider.readWebhook(signature, body, nowMs);
      const done = await db.transaction(async (tx) => {
        const operation = await findOperation(tx, operationId);
        const payment = operation === null ? null : await findPaymentById(tx, operation.paymentId);
        if (payment?.provider !== provider.name) throw new Denial('not_found', { detail: 'operation' });
        const [fresh] = await tx
          .insert(paymentEvents)
          .values({
            id: newId(),
            provider: provider.name,
            eventId,
            operationId,
            outcome,
            receivedAt: new Date(nowMs),
          })
          .onConflictDoNothing()
          .returning({ id: paymentEvents.id });
        if (fresh === undefined) return null;
        const settled = await endOperation(tx, authority, operationId, { state: outcome, reason }, nowMs);
        return settled === null ? null : { settled, orderId: payment.orderId };
      });
      if (done === null) return;
      charged(done.orderId);
      await run(done.settled);
    },
    async sweep(signal = closing.signal) {
      const due = await findDue();
      await settleAll(due.orders, due.operations, signal);
      return due.operations.length + due.orders.length;
    },
    close: async () => {
      closing.abort();
      await Promise.all(pending);
    },
  };
}
