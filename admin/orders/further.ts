/** Further tickets of an order: of a category, each title gets its own. */
import { and, eq, isNull, ne, sql } from 'drizzle-orm';
import { z } from 'zod';
import { Denial } from '../../plugin/errors.ts';
import { sealingJwkSchema, signingJwkSchema } from '../../plugin/registration.ts';
import { isSealKey, thumbprint } from '../../plugin/ticket/index.ts';
import { whyUnavailable } from '../catalog/availability.ts';
import { reserveCapacity, returnPlaces } from '../catalog/capacity.ts';
import { isOfCategory } from '../catalog/categories.ts';
import { findTitleRow, type TitleRow } from '../catalog/titles.ts';
import type { Executor } from '../db/connect.ts';
import { mediaSessions, tickets } from '../db/schema.ts';
import { sha256 } from '../ids.ts';
import { markTicket, revokeTicket } from '../revocations/revoke.ts';
import { findFurther, insertTicket, makeTicket } from '../tickets/issue.ts';
import { serversOf } from '../trust/servers.ts';
import type { TicketAuthority } from '../trust/signing-keys.ts';
import { lockOrder, type LockedOrder } from './change.ts';
import { refusalOf } from './fulfil.ts';
import { idempotencyKeySchema } from './orders.ts';
import type { PlacedOrder } from './place.ts';
import type { Buyer } from './request.ts';

export const furtherTicketSchema = z.strictObject({
  orderId: z.uuid(),
  titleId: z.uuid(),
  proofKey: signingJwkSchema,
  sealKey: sealingJwkSchema,
  idempotencyKey: idempotencyKeySchema,
});
export type FurtherTicketRequest = z.infer<typeof furtherTicketSchema>;

/** As many as nobody watches; each is a row that is locked with the order. */
const MAX_TICKETS = 500;

/** @throws Denial `conflict` when the order gives no further tickets. */
function openUntil({ state, terms, expiresAt, revokedAt }: LockedOrder, nowMs: number): Date {
  const isOpen = state === 'ticketed' || state === 'delivered' || state === 'captured';
  if (terms.categoryId === null) throw new Denial('conflict', { detail: 'order: it is for one title' });
  if (!isOpen || revokedAt !== null || expiresAt === null || expiresAt.getTime() <= nowMs)
    throw new Denial('conflict', { detail: 'order: it is over' });
  return expiresAt;
}

async function findTitle(
  tx: Executor,
  titleId: string,
  categoryId: string | null,
  country: string | null,
  nowMs: number,
): Promise<TitleRow> {
  const title = await findTitleRow(tx, titleId);
  if (title?.published !== true || categoryId === null || !(await isOfCategory(tx, titleId, categoryId)))
    throw new Denial('not_found', { detail: 'title' });
  const unavailable = whyUnavailable(title, { country, nowMs });
  if (unavailable !== null) throw new Denial('not_on_sale', { detail: unavailable });
  return title;
}

/** Who asks for a further ticket. */
export interface Holder extends Pick<Buyer, 'country'> {
  readonly accountId: string;
  /** Called before something is added to the revocation feed; what it throws refuses the ticket. */
  readonly beforeRevoking?: () => void;
}

/** Ends the tickets before this one: together they would allow more at the same time than was sold. */
async function endOthers(
  tx: Executor,
  orderId: string,
  jti: string,
  { accountId, beforeRevoking }: Holder,
  now: Date,
): Promise<void> {
  const running = tx
    .select({ one: sql`1` })
    .from(mediaSessions)
    .where(and(eq(mediaSessions.ticketId, tickets.jti), eq(mediaSessions.state, 'committed')));
  const others = await tx
    .select({ jti: tickets.jti, isRunning: sql<boolean>`exists ${running}` })
    .from(tickets)
    .where(and(eq(tickets.orderId, orderId), ne(tickets.jti, jti), isNull(tickets.revokedAt)));
  for (const other of others.filter(({ isRunning }) => !isRunning)) await markTicket(tx, other.jti, now);
  const reason = 'another title of the order was begun';
  for (const other of others.filter(({ isRunning }) => isRunning)) {
    beforeRevoking?.();
    await revokeTicket(tx, other.jti, { accountId, reason, now });
  }
}

/**
 * Issues a ticket for another title of a category that an account has bought; it is good as long as the order is. Run
 * it in a transaction of its own. The same request with the same key gets the same answer again.
 * @throws Denial `not_found`, `not_on_sale`, `conflict` (not of a category, over, or it has had 500), `forbidden`,
 *   `idempotency_conflict`, `input_invalid` (the seal key), `overloaded`.
 */
export async function issueFurther(
  tx: Executor,
  authority: TicketAuthority,
  request: FurtherTicketRequest,
  holder: Holder,
  nowMs: number,
): Promise<PlacedOrder> {
  const { orderId, titleId, sealKey, idempotencyKey } = request;
  const { accountId, country } = holder;
  const now = new Date(nowMs);
  const jkt = thumbprint(request.proofKey);
  const requestHash = sha256(JSON.stringify([titleId, jkt, thumbprint(sealKey)]));
  const refusal = await refusalOf(tx, accountId, jkt);
  const order = await lockOrder(tx, orderId);
  if (order === null || order.accountId !== accountId) throw new Denial('not_found', { detail: 'order' });
  const before = await findFurther(tx, orderId, idempotencyKey);
  if (before !== null) {
    if (before.requestHash !== requestHash) throw new Denial('idempotency_conflict');
    return { order, issued: before.issued, replayed: true, operationId: null };
  }
  const expiresAt = openUntil(order, nowMs);
  if ((await tx.$count(tickets, eq(tickets.orderId, orderId))) >= MAX_TICKETS)
    throw new Denial('conflict', { detail: 'order: it has had as many tickets as there are' });
  const title = await findTitle(tx, titleId, order.terms.categoryId, country, nowMs);
  if (refusal !== null) throw refusal;
  if (!isSealKey(sealKey)) throw new Denial('input_invalid', { detail: 'sealKey: not a valid key' });
  await returnPlaces(tx, orderId);
  const { issued, row } = await makeTicket(authority, {
    orderId,
    terms: order.terms,
    path: title.path,
    servers: await reserveCapacity(tx, await serversOf(tx, titleId), orderId, nowMs),
    validity: { nbf: Math.floor(nowMs / 1000), exp: Math.floor(expiresAt.getTime() / 1000) },
    jkt,
    sealKey,
    nowMs,
    request: { idempotencyKey, requestHash },
  });
  await insertTicket(tx, row);
  if (order.terms.rights.concurrent !== null) await endOthers(tx, orderId, issued.jti, holder, now);
  return { order, issued, replayed: false, operationId: null };
}
