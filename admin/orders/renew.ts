/**
 * Renewing tickets: an order of its own, whose ticket may take the place of one that is in use. It has that one's key,
 * stream and streaming servers; more of the same rights begins where that one ends, other rights begin at once.
 */
import { isDeepStrictEqual } from 'node:util';
import { and, eq, isNull } from 'drizzle-orm';
import { z } from 'zod';
import { Denial } from '../../plugin/errors.ts';
import { requireAsMuch, type Rights } from '../../plugin/rights/index.ts';
import { thumbprint } from '../../plugin/ticket/index.ts';
import type { Executor } from '../db/connect.ts';
import { orders, tickets, titles } from '../db/schema.ts';
import { serversOf, type StreamingServer } from '../trust/servers.ts';
import type { Buyer, OrderRequest } from './request.ts';
import type { OrderTerms } from './terms.ts';

/** A ticket that another one is to take the place of. */
export interface RenewedTicket {
  readonly jti: string;
  readonly accountId: string | null;
  readonly offerId: string;
  /** Null when the title is gone. */
  readonly titleId: string | null;
  readonly jkt: string;
  /** Ids of its streaming servers, the best first. */
  readonly audience: readonly string[];
  readonly rights: Rights;
  readonly expiresAt: Date;
  readonly windowEndsAt: Date | null;
  readonly revokedAt: Date | null;
  /** The ticket that goes on where it ends. */
  readonly renewedBy: string | null;
  /** True once something was watched with it. */
  readonly isUsed: boolean;
  /** False while its order may still come to nothing by how little was watched. */
  readonly isCharged: boolean;
}

export const renewalOfSchema = z.strictObject({
  ticketId: z.uuid(),
  /** Another offer of the same title; without it, what the ticket was bought by. */
  offerId: z.uuid().exactOptional(),
});
/** An order request that names a ticket, and perhaps an offer, instead of an offer and a title. */
export type RenewalRequest = Omit<OrderRequest, 'offerId' | 'titleId'> & z.infer<typeof renewalOfSchema>;

/**
 * @param lock holds the ticket: before the order takes anything, as settling it does
 * @throws Denial `not_found`.
 */
export async function findRenewed(db: Executor, ticketId: string, lock = false): Promise<RenewedTicket> {
  const query = db
    .select({
      jti: tickets.jti,
      accountId: orders.accountId,
      offerId: orders.offerId,
      titleId: titles.id,
      jkt: tickets.jkt,
      audience: tickets.audience,
      rights: tickets.rights,
      expiresAt: tickets.expiresAt,
      windowEndsAt: tickets.windowEndsAt,
      revokedAt: tickets.revokedAt,
      renewedBy: tickets.renewedBy,
      deliveredAt: orders.deliveredAt,
      capturedMinor: orders.capturedMinor,
      priceMinor: orders.priceMinor,
      terms: orders.terms,
    })
    .from(tickets)
    .innerJoin(orders, eq(orders.id, tickets.orderId))
    .leftJoin(titles, eq(titles.path, tickets.uri))
    .where(eq(tickets.jti, ticketId));
  const [row] = await (lock ? query.for('update', { of: tickets }) : query);
  if (row === undefined) throw new Denial('not_found', { detail: 'ticket' });
  const { deliveredAt, capturedMinor, priceMinor, terms, ...renewed } = row;
  const isCharged = terms.charging !== 'on_delivery' || priceMinor === 0 || capturedMinor > 0;
  return { ...renewed, isUsed: deliveredAt !== null, isCharged };
}

/**
 * The order that a renewal is.
 * @throws Denial `not_found`: there is no such ticket, or it is of another buyer or another key.
 */
export async function orderOfRenewal(
  db: Executor,
  { ticketId, offerId, ...rest }: RenewalRequest,
  { accountId }: Pick<Buyer, 'accountId'>,
): Promise<OrderRequest> {
  const renewed = await findRenewed(db, ticketId);
  const isOwn = renewed.accountId === accountId && renewed.jkt === thumbprint(rest.proofKey);
  if (!isOwn || renewed.titleId === null) throw new Denial('not_found', { detail: 'ticket' });
  return { ...rest, offerId: offerId ?? renewed.offerId, titleId: renewed.titleId };
}

type Terms = Pick<OrderTerms, 'rights' | 'validSeconds'>;

/** True if what is sold is more of what the ticket has: then it is good from that one's end on. */
const isMore = (renewed: RenewedTicket, terms: Terms): boolean =>
  terms.validSeconds !== null && isDeepStrictEqual(renewed.rights, terms.rights);

/**
 * Checks, before anything is paid, that a streaming server would take the ticket for the running session, and that it is
 * of use.
 * @throws Denial `ticket_revoked`, `ticket_expired`, `not_on_sale` (for another title, or by a preview: a taste does not go
 *   on by itself), `rights_insufficient` (something that the ticket allows would be lost), `conflict` (it has more than a
 *   whole term left, would last no longer, was renewed before, has not been used, or is not paid for: what is left of it
 *   must not be had twice, or for nothing)
 */
export function requireRenewable(
  renewed: RenewedTicket,
  terms: Terms & { readonly preview: boolean },
  validity: { readonly exp: number },
  titleId: string,
  nowMs: number,
): void {
  const { expiresAt, windowEndsAt, revokedAt, rights } = renewed;
  if (revokedAt !== null) throw new Denial('ticket_revoked');
  const endsMs = Math.min(expiresAt.getTime(), windowEndsAt?.getTime() ?? Infinity);
  if (endsMs <= nowMs) throw new Denial('ticket_expired', { detail: 'ticketId' });
  if (titleId !== renewed.titleId)
    throw new Denial('not_on_sale', { detail: 'offerId: it is for another title' });
  if (terms.preview) throw new Denial('not_on_sale', { detail: 'offerId: a preview renews no ticket' });
  requireAsMuch(terms.rights, rights);
  const { validSeconds } = terms;
  if (isMore(renewed, terms)) {
    if (renewed.renewedBy !== null) throw new Denial('conflict', { detail: 'ticketId: it has been renewed' });
    if (!renewed.isUsed) throw new Denial('conflict', { detail: 'ticketId: it has not been used' });
    if (!renewed.isCharged) throw new Denial('conflict', { detail: 'ticketId: it has not been charged' });
    if (validSeconds !== null && expiresAt.getTime() - nowMs > validSeconds * 1000)
      throw new Denial('conflict', { detail: 'ticketId: it has more than a whole term left' });
  } else if (isDeepStrictEqual(rights, terms.rights) && validity.exp * 1000 <= expiresAt.getTime()) {
    throw new Denial('conflict', { detail: 'offerId: it lasts no longer than the ticket' });
  }
}

/**
 * Writes down that what is left of a ticket is now another one's. Of two at the same time one gets it.
 * @throws Denial `conflict`.
 */
export async function noteRenewal(
  tx: Executor,
  renewed: RenewedTicket,
  terms: Terms,
  by: string,
): Promise<void> {
  if (!isMore(renewed, terms)) return;
  const [row] = await tx
    .update(tickets)
    .set({ renewedBy: by })
    .where(and(eq(tickets.jti, renewed.jti), isNull(tickets.renewedBy), isNull(tickets.revokedAt)))
    .returning({ jti: tickets.jti });
  if (row === undefined)
    throw new Denial('conflict', { detail: 'ticketId: it has been renewed, or revoked' });
}

/** When a ticket that takes the place of another begins and ends, Unix seconds. */
export function validityOfRenewal(
  renewed: RenewedTicket,
  terms: Terms,
  validity: { readonly nbf: number; readonly exp: number },
): { nbf: number; exp: number } {
  if (!isMore(renewed, terms)) return { ...validity };
  const leftSeconds = Math.max(0, Math.floor(renewed.expiresAt.getTime() / 1000) - validity.nbf);
  return { nbf: validity.nbf, exp: validity.exp + leftSeconds };
}

/**
 * The streaming servers of a renewed ticket that carry its title still: there its viewer has his place.
 * @throws Denial `overloaded` when none does.
 */
export async function serversOfRenewal(
  tx: Executor,
  { audience }: RenewedTicket,
  titleId: string,
): Promise<StreamingServer[]> {
  const carrying = new Map((await serversOf(tx, titleId)).map(({ server }) => [server.id, server]));
  const servers = audience.map((id) => carrying.get(id)).filter((server) => server !== undefined);
  if (servers.length === 0)
    throw new Denial('overloaded', { detail: 'none of the ticket’s streaming servers carries this title' });
  return servers;
}
