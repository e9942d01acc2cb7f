/** The tickets of a file, each with what its holder needs to use it. */
import { stat } from 'node:fs/promises';
import { decodeJwt } from 'jose';
import { z } from 'zod';
import {
  importSigningKey,
  MAX_TICKET_CHARS,
  openClientPart,
  thumbprint,
  type SigningKeyPair,
} from '../../../plugin/ticket/index.ts';
import { UsageError } from '../command.ts';
import { readFile } from '../input.ts';

/** A ticket whose keys are here. */
export interface HeldTicket {
  readonly ticket: string;
  /** Stream path. */
  readonly uri: string;
  /** Unix seconds. */
  readonly expiresAt: number;
  /** Thumbprint of the key that it is bound to. */
  readonly jkt: string;
  readonly proofKey: SigningKeyPair;
  /** The secret that holder and streaming server share: opened when it is needed. */
  openSecret(): Promise<Uint8Array>;
}

const jwkSchema = z.object({ kty: z.string() }).loose();
const entrySchema = z.object({
  ticket: z.string().max(MAX_TICKET_CHARS),
  clientPart: z.string(),
  proofKey: jwkSchema,
  sealKey: jwkSchema,
});
const fileSchema = z.union([
  z.object({ tickets: z.array(entrySchema).min(1).max(1000) }).transform(({ tickets }) => tickets),
  z.array(entrySchema).min(1).max(1000),
  entrySchema.transform((entry) => [entry]),
]);
/** What is read of a ticket here; the streaming server decides on it. */
const claimsSchema = z.object({
  jti: z.string(),
  uri: z.string(),
  exp: z.number().int(),
  cph: z.string().optional(),
  cnf: z.object({ jkt: z.string() }),
});

const MAX_FILE_BYTES = 1024 * 1024;

async function hold({
  ticket,
  clientPart,
  proofKey,
  sealKey,
}: z.infer<typeof entrySchema>): Promise<HeldTicket> {
  const { uri, exp, cnf, ...claims } = claimsSchema.parse(decodeJwt(ticket));
  const key = await importSigningKey(proofKey);
  if (thumbprint(key.publicJwk) !== cnf.jkt) throw new TypeError('the ticket is bound to another key');
  return {
    ...{ ticket, uri, expiresAt: exp, jkt: cnf.jkt, proofKey: key },
    openSecret: () => openClientPart(clientPart, sealKey, claims),
  };
}

/**
 * Reads a file of tickets: `{"tickets": [...]}`, the list, or one ticket; of each `ticket`, `clientPart`, and the private
 * JWKs `proofKey` and `sealKey`. Other members are for whoever keeps the file.
 * @throws UsageError that repeats nothing of the file
 */
export async function readTickets(file: string): Promise<HeldTicket[]> {
  const text = await readFile(file, 'the file of tickets', MAX_FILE_BYTES);
  try {
    return await Promise.all(fileSchema.parse(JSON.parse(text)).map(hold));
  } catch {
    throw new UsageError(
      'the file of --ticket has no list of tickets, each with its client part and private keys',
    );
  }
}

/** True when others than the file's owner, or root, can read the private keys in it, as far as its mode says. */
export async function isReadByOthers(file: string): Promise<boolean> {
  const { mode } = await stat(file);
  return process.platform !== 'win32' && (mode & 0o077) !== 0;
}

/** Of a stream's tickets the one that is good for longest; `undefined`: there is none. */
export function longest(tickets: readonly HeldTicket[], uri: string): HeldTicket | undefined {
  return tickets
    .filter((ticket) => ticket.uri === uri)
    .reduce<HeldTicket | undefined>(
      (best, ticket) => (best === undefined || ticket.expiresAt > best.expiresAt ? ticket : best),
      undefined,
    );
}
