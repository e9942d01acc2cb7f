/** The register of streaming servers: who they are, where they listen, which keys are theirs. */
import { and, asc, eq, inArray } from 'drizzle-orm';
import { z } from 'zod';
import { serverIdSchema } from '../../plugin/ticket/index.ts';
import type { Executor } from '../db/connect.ts';
import { streamingServers, titleServers } from '../db/schema.ts';

const coordinate = z.string().regex(/^[A-Za-z0-9_-]{43}$/);
const kid = z.string().regex(/^[A-Za-z0-9._-]{1,64}$/);
const labels = {
  kid: kid.exactOptional(),
  use: z.string().max(10).exactOptional(),
  alg: z.string().max(30).exactOptional(),
};

/** Public key that a streaming server signs its messages with: Ed25519 or P-256. A private member is refused. */
export const signingJwkSchema = z.discriminatedUnion('kty', [
  z.strictObject({ kty: z.literal('OKP'), crv: z.literal('Ed25519'), x: coordinate, ...labels }),
  z.strictObject({ kty: z.literal('EC'), crv: z.literal('P-256'), x: coordinate, y: coordinate, ...labels }),
]);

/** Public key that tickets are sealed to: X25519 or P-256. */
export const sealingJwkSchema = z.discriminatedUnion('kty', [
  z.strictObject({ kty: z.literal('OKP'), crv: z.literal('X25519'), x: coordinate, ...labels }),
  z.strictObject({ kty: z.literal('EC'), crv: z.literal('P-256'), x: coordinate, y: coordinate, ...labels }),
]);

export const publicUrlSchema = z
  .url({ protocol: /^https?$/ })
  .max(200)
  .transform((text) => text.replace(/\/+$/, ''))
  .refine((text) => {
    const url = new URL(text);
    return url.search === '' && url.hash === '' && url.username === '' && url.password === '';
  }, 'a URL without query, fragment and user');

export const serverSchema = z.strictObject({
  id: serverIdSchema,
  publicUrl: publicUrlSchema,
  signingKey: signingJwkSchema,
  sealingKey: sealingJwkSchema,
});
export type StreamingServer = z.infer<typeof serverSchema>;

const COLUMNS = {
  id: streamingServers.id,
  publicUrl: streamingServers.publicUrl,
  signingKey: streamingServers.signingKey,
  sealingKey: streamingServers.sealingKey,
};

/** What was stored went through the same schema; parsing again narrows its type and catches a tampered row. */
const fromRow = (row: unknown): StreamingServer => serverSchema.parse(row);

/** Registers a server, or replaces what is known of it. */
export async function registerServer(db: Executor, server: StreamingServer, now: Date): Promise<void> {
  const row = { ...server, active: true, registeredAt: now };
  await db.insert(streamingServers).values(row).onConflictDoUpdate({ target: streamingServers.id, set: row });
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

/** The active servers that carry a title: the ones it names, else all of them. */
export async function serversOf(db: Executor, titleId: string): Promise<StreamingServer[]> {
  const named = await db
    .select({ serverId: titleServers.serverId })
    .from(titleServers)
    .where(eq(titleServers.titleId, titleId));
  if (named.length === 0) return listServers(db);
  const rows = await db
    .select(COLUMNS)
    .from(streamingServers)
    .where(
      and(
        eq(streamingServers.active, true),
        inArray(
          streamingServers.id,
          named.map((row) => row.serverId),
        ),
      ),
    )
    .orderBy(asc(streamingServers.id));
  return rows.map(fromRow);
}
