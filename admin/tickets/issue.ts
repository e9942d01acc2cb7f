import { and, eq, isNull } from 'drizzle-orm';
import type { JWK } from 'jose';
import { randomBytes, randomUUID } from 'node:crypto';
import type { Rights } from '../../plugin/rights/index.ts';
import { issueTicket, thumbprint, type TicketOrder as TicketContent } from '../../plugin/ticket/index.ts';
import type { Executor } from '../db/connect.ts';
import { builtOnce, placeholdersOf } from '../db/prepare.ts';
import { tickets } from '../db/schema.ts';
import { newId } from '../ids.ts';
import type { OrderTerms } from '../orders/terms.ts';
import type { StreamingServer } from '../trust/servers.ts';
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
  readonly terms: Pick<OrderTerms, 'rights' | 'charging' | 'transport'>;
  /** Stream path of the title. */
  readonly path: string;
  /** Those that may serve it, the best first; `reserveCapacity` has them. At least one. */
  readonly servers: readonly StreamingServer[];
  /** Unix seconds. */
  readonly validity: { readonly nbf: number; readonly exp: number };
  /** Thumbprint of the buyer's proof key. */
  readonly jkt: string;
  readonly sealKey: JWK;
  readonly nowMs: number;
  /** Of a further ticket of the order: what its repetition is known by. */
  readonly request?: { readonly idempotencyKey: string; readonly requestHash: string };
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

const TICKET = [
  ...(['jti', 'orderId', 'subject', 'uri', 'jkt', 'audience', 'endpoints', 'rights'] as const),
  ...(['ticket', 'clientPart', 'issuedAt', 'expiresAt', 'mediaMsUsed', 'bytesUsed'] as const),
  ...(['idempotencyKey', 'requestHash'] as const),
];
type TicketRow = Pick<typeof tickets.$inferSelect, (typeof TICKET)[number]>;

const inserting = builtOnce((db) =>
  db.insert(tickets).values(placeholdersOf(tickets, TICKET)).prepare('insert_ticket'),
);

/** Makes a ticket of an order; it is issued once its row is kept, by `insertTicket`. */
export async function makeTicket(
  authority: TicketAuthority,
  { orderId, terms, path, servers, validity, jkt, sealKey, nowMs, request }: TicketOrder,
): Promise<{ readonly issued: IssuedTicket; readonly row: TicketRow }> {
  const iat = Math.floor(nowMs / 1000);
  const { nbf, exp } = validity;
  const jti = newId();
  // A pseudonym per order: neither the account nor another order can be told from it.
  const subject = randomUUID();
  const secret = { k: randomBytes(32) };
  const { ticket, clientPart, claims } = await issueForServers(servers.slice(0, MAX_SERVERS), (chosen) => ({
    claims: {
      iss: authority.issuer,
      aud: chosen.map((server) => server.id),
      sub: subject,
      jti,
      iat,
      nbf,
      exp,
      cnf: { jkt },
      uri: path,
      endpoints: chosen.map((server) => `${server.publicUrl}/whep${path}`),
      rights: terms.rights,
      charging: terms.charging === 'on_delivery' ? 'on-delivery' : terms.charging,
      suites: ['DTLS-SRTP'],
      ...(terms.transport === null ? {} : { transport: terms.transport }),
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
    rights: terms.rights,
    expiresAt: new Date(exp * 1000),
  };
  const row = {
    ...issued,
    orderId,
    subject,
    jkt,
    audience: claims.aud,
    issuedAt: new Date(iat * 1000),
    mediaMsUsed: 0,
    bytesUsed: 0,
    idempotencyKey: request?.idempotencyKey ?? null,
    requestHash: request?.requestHash ?? null,
  };
  return { issued, row };
}

/** Keeps a ticket, so that a retried order is answered alike. */
export async function insertTicket(tx: Executor, row: TicketRow): Promise<void> {
  await inserting(tx).execute(row);
}

/** The first ticket that was issued for an order, as it was answered then; `null` when there is none. */
export async function findIssued(db: Executor, orderId: string): Promise<IssuedTicket | null> {
  const [row] = await db
    .select(COLUMNS)
    .from(tickets)
    .where(and(eq(tickets.orderId, orderId), isNull(tickets.idempotencyKey)));
  return row ?? null;
}

/** A further ticket of an order, by the key of its request. */
export async function findFurther(
  db: Executor,
  orderId: string,
  idempotencyKey: string,
): Promise<{ issued: IssuedTicket; requestHash: string | null } | null> {
  const [row] = await db
    .select({ ...COLUMNS, requestHash: tickets.requestHash })
    .from(tickets)
    .where(and(eq(tickets.orderId, orderId), eq(tickets.idempotencyKey, idempotencyKey)));
  if (row === undefined) return null;
  const { requestHash, ...issued } = row;
  return { issued, requestHash };
}
