/** From an authorized order to its ticket. */
import { sql } from 'drizzle-orm';
import type { JWK } from 'jose';
import { Denial } from '../../plugin/errors.ts';
import { reserveCapacity, returnPlaces } from '../catalog/capacity.ts';
import type { Executor } from '../db/connect.ts';
import { writtenOnce } from '../db/prepare.ts';
import { together } from '../db/together.ts';
import { validityOf } from '../pricing/compile.ts';
import { insertTicket, makeTicket, type IssuedTicket } from '../tickets/issue.ts';
import { serversOf, type StreamingServer } from '../trust/servers.ts';
import type { TicketAuthority } from '../trust/signing-keys.ts';
import { transition, type OrderActor } from './change.ts';
import type { Order } from './orders.ts';
import { findRenewed, noteRenewal, serversOfRenewal, validityOfRenewal } from './renew.ts';
import { RECEIPTS_WITHIN_MS } from './settlement.ts';
import type { OrderTerms } from './terms.ts';

export interface Fulfilment {
  readonly order: Order;
  readonly actor: OrderActor;
  /** True for an order that was just placed. */
  readonly isNew: boolean;
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

export interface Fulfilled {
  /** As it is with its first ticket. */
  readonly order: Order;
  readonly issued: IssuedTicket;
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

const refusal = writtenOnce<{ what: string | null }>(
  sql`select order_refusal(${sql.placeholder('accountId')}::uuid, ${sql.placeholder('jkt')}) as what`,
);

/**
 * Why an account or a proof key gets no ticket: revoked; null when neither is, nor can be while the transaction runs.
 * Whoever locks tickets asks before: revoking locks them after the account or the key.
 */
export async function refusalOf(tx: Executor, accountId: string | null, jkt: string): Promise<Denial | null> {
  const [row] = await refusal(tx).execute({ accountId, jkt });
  const what = row?.what ?? null;
  return what === null ? null : new Denial('forbidden', { detail: `${what}: revoked` });
}

/**
 * Issues the first ticket of an order, which is authorized by then. That neither the account nor the proof key is revoked
 * is the caller's to see to (`refusalOf`).
 * @throws Denial `overloaded` when no streaming server has room, `not_on_sale` when what was sold is over, and as
 *   `transition`.
 */
export async function fulfil(
  tx: Executor,
  authority: TicketAuthority,
  { order, actor, isNew, path, jkt, sealKey, nowMs, servers, renews }: Fulfilment,
): Promise<Fulfilled> {
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
    open = await reserveCapacity(tx, await serversOf(tx, order.titleId), order.id, nowMs);
  }
  const { issued, row } = await makeTicket(authority, {
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
  const { expiresAt } = issued;
  const dueAt = new Date(expiresAt.getTime() + RECEIPTS_WITHIN_MS);
  const [ticketed] = await together([
    transition(tx, order, [{ to: 'authorized' }, { to: 'ticketed' }], {
      actor,
      now: new Date(nowMs),
      changes: { clientKeys: null, expiresAt, dueAt },
      isNew,
    }),
    insertTicket(tx, row),
  ]);
  return { order: ticketed, issued };
}
