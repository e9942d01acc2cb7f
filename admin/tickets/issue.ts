import { eq } from 'drizzle-orm';
import type { JWK } from 'jose';
import { randomBytes, randomUUID } from 'node:crypto';
import { Denial } from '../../plugin/errors.ts';
import type { Rights } from '../../plugin/rights/index.ts';
import { issueTicket, thumbprint } from '../../plugin/ticket/index.ts';
import type { Offer } from '../catalog/offers.ts';
import type { Executor } from '../db/connect.ts';
import { tickets } from '../db/schema.ts';
import { newId } from '../ids.ts';
import { serversOf } from '../trust/servers.ts';
import type { TicketAuthority } from '../trust/signing-keys.ts';

/** Each server adds about 500 characters to a ticket, which may have 4,096. */
const MAX_SERVERS = 4;

export interface IssuedTicket {
  readonly jti: string;
  readonly ticket: string;
  readonly clientPart: string | null;
  /** Stream path. */
  readonly uri: string;
  /** Absolute WHEP URLs, one per streaming server. */
  readonly endpoints: readonly string[];
  readonly rights: Rights;
  readonly expiresAt: Date;
}

const COLUMNS = {
  jti: tickets.jti,
  ticket: tickets.ticket,
  clientPart: tickets.clientPart,
  uri: tickets.uri,
  endpoints: tickets.endpoints,
  rights: tickets.rights,
  expiresAt: tickets.expiresAt,
};

export interface TicketOrder {
  readonly orderId: string;
  readonly offer: Offer;
  /** Stream path of the title. */
  readonly path: string;
  /** Thumbprint of the buyer's proof key. */
  readonly jkt: string;
  readonly sealKey: JWK;
  readonly nowMs: number;
}

/**
 * Issues and stores the ticket of an order.
 * @throws Denial `overloaded` when no streaming server carries the title.
 */
export async function issueForOrder(
  tx: Executor,
  authority: TicketAuthority,
  { orderId, offer, path, jkt, sealKey, nowMs }: TicketOrder,
): Promise<IssuedTicket> {
  const servers = (await serversOf(tx, offer.titleId)).slice(0, MAX_SERVERS);
  if (servers.length === 0)
    throw new Denial('overloaded', { detail: 'no streaming server carries this title' });
  const iat = Math.floor(nowMs / 1000);
  const exp = iat + offer.validSeconds;
  const jti = newId();
  const audience = servers.map((server) => server.id);
  const endpoints = servers.map((server) => `${server.publicUrl}/whep${path}`);
  const { ticket, clientPart } = await issueTicket({
    claims: {
      iss: authority.issuer,
      aud: audience,
      // A pseudonym per order: neither the account nor another order can be told from it.
      sub: randomUUID(),
      jti,
      iat,
      nbf: iat,
      exp,
      cnf: { jkt },
      uri: path,
      endpoints,
      rights: offer.rights,
      charging: offer.charging,
      suites: ['DTLS-SRTP'],
      ...(offer.transport === null ? {} : { transport: offer.transport }),
    },
    secret: { k: randomBytes(32) },
    servers: servers.map(({ sealingKey }) => ({
      kid: sealingKey.kid ?? thumbprint(sealingKey),
      publicJwk: sealingKey,
    })),
    client: { sealKey },
    signingKey: authority.signingKey,
  });
  const issued = {
    jti,
    ticket,
    clientPart,
    uri: path,
    endpoints,
    rights: offer.rights,
    expiresAt: new Date(exp * 1000),
  };
  await tx.insert(tickets).values({
    ...issued,
    orderId,
    jkt,
    audience,
    issuedAt: new Date(iat * 1000),
    mediaMsUsed: 0,
    bytesUsed: 0,
  });
  return issued;
}

/** The ticket that was issued for an order, as it was answered then. */
export async function findIssued(db: Executor, orderId: string): Promise<IssuedTicket> {
  const [row] = await db.select(COLUMNS).from(tickets).where(eq(tickets.orderId, orderId));
  if (row === undefined) throw new Error('an order has no ticket');
  return row;
}
