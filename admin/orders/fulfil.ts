/** From an authorized order to its ticket. */
import { sql } from 'drizzle-orm';
import type { JWK } from 'jose';
import { Denial } from '../../plugin/errors.ts';
import { reserveCapacity, returnPlaces } from '../catalog/capacity.ts';
import type { Executor } from '../db/connect.ts';
import { validityOf } from '../pricing/compile.ts';
import { issueForOrder, type IssuedTicket } from '../tickets/issue.ts';
import type { StreamingServer } from '../trust/servers.ts';
import type { TicketAuthority } from '../trust/signing-keys.ts';
import type { Order } from './orders.ts';
import { findRenewed, noteRenewal, serversOfRenewal, validityOfRenewal } from './renew.ts';
import { RECEIPTS_WITHIN_MS } from './settlement.ts';
import type { OrderTerms } from './terms.ts';

export interface Fulfilment {
  readonly order: Pick<Order, 'id' | 'accountId' | 'titleId' | 'terms'>;
  /** Stream path of the title. */
  readonly path: string;
  readonly jkt: string;
  readonly sealKey: JWK;
  readonly nowMs: number;
  /** Where a place is kept for it already. */
  readonly servers?: readonly StreamingServer[];
  /** The ticket (`jti`) that it may take the place of. */
  readonly renews?: string;
}

/** What of an order changes with its first ticket. */
export interface Fulfilled {
  readonly issued: IssuedTicket;
  readonly changes: { readonly clientKeys: null; readonly expiresAt: Date; readonly dueAt: Date };
}

const momentOf = (text: string | null): Date | null => (text === null ? null : new Date(text));

/** From when until when tickets of these terms are good, if they are issued then. Unix seconds. */
export function validityOfTerms(terms: OrderTerms, nowMs: number): { nbf: number; exp: number } {
  const { validSeconds, validFrom, validUntil } = terms;
  return validityOf(
    { validSeconds, validFrom: momentOf(validFrom), validUntil: momentOf(validUntil) },
    Math.floor(nowMs / 1000),
  );
}

/**
 * Why an account or a proof key gets no ticket: revoked; null when neither is, nor can be while the transaction runs.
 * Whoever locks tickets asks before: revoking locks them after the account or the key.
 */
export async function refusalOf(tx: Executor, accountId: string | null, jkt: string): Promise<Denial | null> {
  const [row] = await tx.execute<{ what: string | null }>(
    sql`select order_refusal(${accountId}::uuid, ${jkt}) as what`,
  );
  const what = row?.what ?? null;
  return what === null ? null : new Denial('forbidden', { detail: `${what}: revoked` });
}

/**
 * Issues the first ticket of an order.
 * @throws Denial `forbidden` when the account or the proof key is revoked, `overloaded` when no streaming server has room, `not_on_sale` when what was sold is over.
 */
export async function fulfil(
  tx: Executor,
  authority: TicketAuthority,
  { order, path, jkt, sealKey, nowMs, servers, renews }: Fulfilment,
): Promise<Fulfilled> {
  const refusal = await refusalOf(tx, order.accountId, jkt);
  if (refusal !== null) throw refusal;
  const renewed = renews === undefined ? null : await findRenewed(tx, renews);
  const ordered = validityOfTerms(order.terms, nowMs);
  const validity = renewed === null ? ordered : validityOfRenewal(renewed, order.terms, ordered);
  if (validity.exp * 1000 <= nowMs)
    throw new Denial('not_on_sale', { detail: 'what the offer is for is over' });
  let open = servers;
  if (renewed !== null) open = await serversOfRenewal(tx, renewed, order.titleId);
  else if (open === undefined) {
    // Its own place would count against it.
    await returnPlaces(tx, order.id);
    open = await reserveCapacity(tx, order.titleId, order.id, nowMs);
  }
  const issued = await issueForOrder(tx, authority, {
    orderId: order.id,
    terms: order.terms,
    path,
    servers: open,
    validity,
    jkt,
    sealKey,
    nowMs,
  });
  if (renewed !== null) await noteRenewal(tx, renewed, order.terms, issued.jti);
  const dueAt = new Date(issued.expiresAt.getTime() + RECEIPTS_WITHIN_MS);
  return { issued, changes: { clientKeys: null, expiresAt: issued.expiresAt, dueAt } };
}
