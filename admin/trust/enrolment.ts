/** How a streaming server comes into the register, with a one-time code from staff, and how it changes its keys. */
import { and, eq, sql } from 'drizzle-orm';
import { randomBytes } from 'node:crypto';
import { Denial } from '../../plugin/errors.ts';
import {
  verifyPossession,
  type Enrolment,
  type ServerKeysChanged,
  type ServerKeysMessage,
} from '../../plugin/registration.ts';
import { thumbprint } from '../../plugin/ticket/index.ts';
import type { Executor } from '../db/connect.ts';
import { enrolmentCodes, offers, streamingServers, tickets } from '../db/schema.ts';
import { sha256 } from '../ids.ts';
import { registerServer } from './servers.ts';

/** How long a code can be used. */
const CODE_SECONDS = 3600;
/** How long a server's signing key is taken beside the one that has replaced it: its processes read the new one. */
export const OVERLAP_SECONDS = 24 * 3600;
/** An order that runs beside the rotation may still seal to the key before. */
const RUNNING_ORDER_SECONDS = 300;

export interface EnrolmentCode {
  readonly serverId: string;
  /** Shown once: only its hash is kept. */
  readonly code: string;
  readonly expiresAt: Date;
}

/** Makes the one-time code with which a server may enrol under this id; a code made for it before is void. */
export async function createEnrolmentCode(
  db: Executor,
  serverId: string,
  createdBy: string,
  now: Date,
): Promise<EnrolmentCode> {
  const code = `ec_${randomBytes(16).toString('base64url')}`;
  const expiresAt = new Date(now.getTime() + CODE_SECONDS * 1000);
  const row = { codeHash: sha256(code), createdBy, createdAt: now, expiresAt, usedAt: null, usedBy: null };
  await db
    .insert(enrolmentCodes)
    .values({ serverId, ...row })
    .onConflictDoUpdate({ target: enrolmentCodes.serverId, set: row });
  return { serverId, code, expiresAt };
}

/**
 * Registers the server that an enrolment speaks of, and uses the code up; run it in a transaction of its own. The same
 * server with the same key again, its answer having been lost, is answered alike.
 * @param message read by `readEnrolment`: its sender holds the key
 * @throws Denial `enrolment_refused`: the code is not known, was used, has expired or is for another server; which of
 *   these is not said.
 */
export async function enrolServer(tx: Executor, message: Enrolment, now: Date): Promise<void> {
  const { iss: id, code, publicUrl, signingKey, sealingKey } = message;
  // The row's lock decides between two that come with one code at once.
  const [row] = await tx
    .select()
    .from(enrolmentCodes)
    .where(and(eq(enrolmentCodes.serverId, id), eq(enrolmentCodes.codeHash, sha256(code))))
    .for('update');
  if (row === undefined || row.expiresAt <= now) throw new Denial('enrolment_refused');
  const usedBy = thumbprint(signingKey);
  if (row.usedAt !== null) {
    const [server] = await tx.select().from(streamingServers).where(eq(streamingServers.id, id));
    const isRepetition =
      row.usedBy === usedBy && server?.active === true && thumbprint(server.signingKey) === usedBy;
    if (!isRepetition) throw new Denial('enrolment_refused');
    return;
  }
  await tx.update(enrolmentCodes).set({ usedAt: now, usedBy }).where(eq(enrolmentCodes.serverId, id));
  await registerServer(tx, { id, publicUrl, signingKey, sealingKey }, now);
}

/** When the last ticket has expired that may be sealed to a server's key of now. */
async function lastTicketExpires(tx: Executor, serverId: string, now: Date): Promise<number> {
  const [sold] = await tx
    .select({ at: sql<number | null>`extract(epoch from max(${tickets.expiresAt}))::float8` })
    .from(tickets)
    .where(sql`${tickets.audience} @> array[${serverId}]::text[]`);
  const [longest] = await tx
    .select({ seconds: sql<number | null>`max(${offers.validSeconds})` })
    .from(offers);
  const nowSeconds = Math.ceil(now.getTime() / 1000);
  return Math.max(Math.ceil(sold?.at ?? 0), nowSeconds + RUNNING_ORDER_SECONDS + (longest?.seconds ?? 0));
}

/**
 * Replaces a server's keys; run it in a transaction, with the message's use marked in it. Tickets are sealed to the new
 * key from now on, and messages may be signed with the old one for `OVERLAP_SECONDS` more. The same keys again, the
 * answer having been lost, are answered alike.
 * @param message verified
 * @param signedBy `kid` of the key that signed it
 * @throws Denial `server_untrusted`: the new key's possession is not shown, or the message is signed with a key that
 *   has been replaced itself.
 */
export async function changeServerKeys(
  tx: Executor,
  message: ServerKeysMessage,
  signedBy: string,
  now: Date,
): Promise<ServerKeysChanged> {
  const { iss: id, signingKey, sealingKey } = message;
  await verifyPossession(message.possession, message);
  const [row] = await tx
    .select()
    .from(streamingServers)
    .where(and(eq(streamingServers.id, id), eq(streamingServers.active, true)))
    .for('update');
  if (row === undefined) throw new Denial('server_untrusted', { detail: 'iss' });
  const current = thumbprint(row.signingKey);
  const answer = async (until: Date): Promise<ServerKeysChanged> => ({
    sealedUntil: await lastTicketExpires(tx, id, now),
    signedUntil: Math.floor(until.getTime() / 1000),
  });
  if (current === thumbprint(signingKey) && thumbprint(row.sealingKey) === thumbprint(sealingKey))
    return answer(row.previousSigningUntil ?? now);
  if ((row.signingKey.kid ?? current) !== signedBy) throw new Denial('server_untrusted', { detail: 'kid' });
  const until = new Date(now.getTime() + OVERLAP_SECONDS * 1000);
  await tx
    .update(streamingServers)
    .set({
      signingKey,
      sealingKey,
      previousSigningKey: row.signingKey,
      previousSigningUntil: until,
    })
    .where(eq(streamingServers.id, id));
  return answer(until);
}
