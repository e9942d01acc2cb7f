/** The register of streaming servers: who they are, where they listen, which keys are theirs. */
import { and, asc, eq, inArray, notExists, or, sql } from 'drizzle-orm';
import type { JWK } from 'jose';
import { serverSchema, type StreamingServer } from '../../plugin/registration.ts';
import { thumbprint } from '../../plugin/ticket/index.ts';
import { Denial } from '../../plugin/errors.ts';
import type { Executor } from '../db/connect.ts';
import { builtOnce } from '../db/prepare.ts';
import { streamingServers, titleServers } from '../db/schema.ts';

const COLUMNS = {
  id: streamingServers.id,
  publicUrl: streamingServers.publicUrl,
  signingKey: streamingServers.signingKey,
  sealingKey: streamingServers.sealingKey,
};

export type { StreamingServer };

/** What was stored went through the same schema; parsing again narrows its type and catches a tampered row. */
const fromRow = (row: unknown): StreamingServer => serverSchema.parse(row);

/** Registers a server, or replaces what is known of it: what the keys before signed is refused from now on. */
export async function registerServer(db: Executor, server: StreamingServer, now: Date): Promise<void> {
  const row = {
    ...server,
    active: true,
    registeredAt: now,
    previousSigningKey: null,
    previousSigningUntil: null,
  };
  await db.insert(streamingServers).values(row).onConflictDoUpdate({ target: streamingServers.id, set: row });
}

export interface RegisteredServer extends StreamingServer {
  /** False once staff has deactivated it. */
  readonly active: boolean;
  readonly registeredAt: Date;
}

/** All servers, deactivated ones too, by id. */
export async function listRegistered(db: Executor): Promise<RegisteredServer[]> {
  const rows = await db
    .select({ ...COLUMNS, active: streamingServers.active, registeredAt: streamingServers.registeredAt })
    .from(streamingServers)
    .orderBy(asc(streamingServers.id));
  return rows.map(({ active, registeredAt, ...row }) => ({ ...fromRow(row), active, registeredAt }));
}

/**
 * Takes a server's registration back: none of its messages is taken any more, by any process, and no ticket is sold
 * for it. It comes back by enrolling anew. Idempotent.
 * @throws Denial `not_found`.
 */
export async function deactivateServer(tx: Executor, id: string): Promise<RegisteredServer> {
  const [before] = await tx
    .select({ active: streamingServers.active })
    .from(streamingServers)
    .where(eq(streamingServers.id, id))
    .for('update');
  const [row] = await tx
    .update(streamingServers)
    .set({ active: false, previousSigningKey: null, previousSigningUntil: null })
    .where(eq(streamingServers.id, id))
    .returning({ ...COLUMNS, registeredAt: streamingServers.registeredAt });
  if (before === undefined || row === undefined) throw new Denial('not_found', { detail: 'server' });
  const { registeredAt, ...server } = row;
  return { ...fromRow(server), ...before, registeredAt };
}

/** The public keys that an active server may sign messages with now; none for any other server. */
export async function findMessageKeys(
  db: Executor,
  id: string,
  now: Date,
): Promise<readonly { readonly kid: string; readonly jwk: JWK }[]> {
  const [row] = await db
    .select({
      signingKey: streamingServers.signingKey,
      previous: streamingServers.previousSigningKey,
      previousUntil: streamingServers.previousSigningUntil,
    })
    .from(streamingServers)
    .where(and(eq(streamingServers.id, id), eq(streamingServers.active, true)));
  if (row === undefined) return [];
  const isOverlap = row.previousUntil !== null && row.previousUntil > now;
  return [row.signingKey, isOverlap ? row.previous : null]
    .filter((jwk) => jwk !== null)
    .map((jwk) => ({ kid: jwk.kid ?? thumbprint(jwk), jwk }));
}

export async function listServers(db: Executor): Promise<StreamingServer[]> {
  const rows = await db
    .select(COLUMNS)
    .from(streamingServers)
    .where(eq(streamingServers.active, true))
    .orderBy(asc(streamingServers.id));
  return rows.map(fromRow);
}

export async function findServer(db: Executor, id: string): Promise<StreamingServer | null> {
  const [row] = await db
    .select(COLUMNS)
    .from(streamingServers)
    .where(and(eq(streamingServers.id, id), eq(streamingServers.active, true)));
  return row === undefined ? null : fromRow(row);
}

const carryingServers = builtOnce((db) => {
  const named = db
    .select({ serverId: titleServers.serverId })
    .from(titleServers)
    .where(eq(titleServers.titleId, sql.placeholder('titleId')));
  return db
    .select({ ...COLUMNS, capacity: streamingServers.capacity })
    .from(streamingServers)
    .where(and(eq(streamingServers.active, true), or(notExists(named), inArray(streamingServers.id, named))))
    .orderBy(asc(streamingServers.id))
    .prepare('carrying_servers');
});

/** A server that carries a title. */
export interface CarryingServer {
  readonly server: StreamingServer;
  /** True if it has a capacity. */
  readonly isLimited: boolean;
}

/** The active servers that carry a title (the ones it names, else all of them), and which have a capacity. */
export async function serversOf(db: Executor, titleId: string): Promise<CarryingServer[]> {
  const rows = await carryingServers(db).execute({ titleId });
  return rows.map(({ capacity, ...row }) => ({ server: fromRow(row), isLimited: capacity !== null }));
}
