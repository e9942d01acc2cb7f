import { eq } from 'drizzle-orm';
import type { JWK } from 'jose';
import { randomBytes, randomUUID } from 'node:crypto';
import { Denial } from '../../plugin/errors.ts';
import type { Rights } from '../../plugin/rights/index.ts';
import { issueTicket, thumbprint, type TicketOrder as TicketContent } from '../../plugin/ticket/index.ts';
import type { Offer } from '../catalog/offers.ts';
import type { Executor } from '../db/connect.ts';
import { tickets } from '../db/schema.ts';
import { newId } from '../ids.ts';
import { serversOf, type StreamingServer } from '../trust/servers.ts';
import type { TicketAuthority } from '../trust/signing-keys.ts';

/** As many as a ticket may name. */
const MAX_SERVERS = 8;

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
 * A ticket for as many of the servers as it has room for, the first ones first: one with long names and URLs is too
 * long before it names eight.
 */
async function issueForServers(
  servers: readonly StreamingServer[],
  contentFor: (servers: readonly StreamingServer[]) => TicketContent,
) {
  for (let count = servers.length; ; count--) {
    const content = contentFor(servers.slice(0, count));
    try {
      return { ...(await issueTicket(content)), claims: content.claims };
    } catch (error) {
      if (!(error instanceof RangeError) || count === 1) throw error;
    }
  }
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
  // A pseudonym per order: neither the account nor another order can be told from it.
  const subject = randomUUID();
  const secret = { k: randomBytes(32) };
  const { ticket, clientPart, claims } = await issueForServers(servers, (chosen) => ({
    claims: {
      iss: authority.issuer,
      aud: chosen.map((server) => server.id),
      sub: subject,
      jti,
      iat,
      nbf: iat,
      exp,
      cnf: { jkt },
      uri: path,
      endpoints: chosen.map((server) => `${server.publicUrl}/whep${path}`),
      rights: offer.rights,
      charging: offer.charging,
      suites: ['DTLS-SRTP'],
      ...(offer.transport === null ? {} : { transport: offer.transport }),
    },
    secret,
    servers: chosen.map(({ sealingKey }) => ({
      kid: sealingKey.kid ?? thumbprint(sealingKey),
      publicJwk: sealingKey,
    })),
    client: { sealKey },
    signingKey: authority.signingKey,
  }));
  const issued = {
    jti,
    ticket,
    clientPart,
    uri: path,
    endpoints: claims.endpoints,
    rights: offer.rights,
    expiresAt: new Date(exp * 1000),
  };
  await tx.insert(tickets).values({
    ...issued,
    orderId,
    subject,
    jkt,
    audience: claims.aud,
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
