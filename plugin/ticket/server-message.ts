/** Signed messages from a streaming server to the order server (`contract.ts`): redemptions, receipts, streams. */
import { randomUUID } from 'node:crypto';
import type { CryptoKey } from 'jose';
import { z } from 'zod';
import { Denial } from '../errors.ts';
import type { Clock } from '../ports.ts';
import { parseCompact, refusedMember } from './compact.ts';
import { signJws, verifyJws } from './jws.ts';
import { SIGNING_ALG_NAMES, toKeyObject, type SigningAlg, type SigningKey } from './keys.ts';
import { CLOCK_TOLERANCE_SECONDS } from './open.ts';
import type { ReplayMemory } from './replay.ts';
import { kidSchema } from './sealed.ts';

export type ServerMessageTyp =
  'redemption+jwt' | 'receipts+jwt' | 'streams+jwt' | 'revocations+jwt' | 'enrolment+jwt' | 'server-keys+jwt';

const headerSchema = z.strictObject({ typ: z.string(), alg: z.enum(SIGNING_ALG_NAMES), kid: kidSchema });
const senderSchema = z.object({ iss: z.string().min(1).max(200) });
const envelopeSchema = z.object({ aud: z.string(), iat: z.number(), jti: z.uuid() });

export interface SignServerMessageOptions {
  readonly typ: ServerMessageTyp;
  /** The message without `iss`, `aud`, `iat` and `jti`. */
  readonly payload: object;
  /** Id of the sending server. */
  readonly iss: string;
  /** The receiver. */
  readonly aud: string;
  readonly key: SigningKey;
  readonly clock: Pick<Clock, 'nowMs'>;
}

/** Signs a message, with the time and a number used once: for one delivery; a repetition is signed anew. */
export async function signServerMessage(options: SignServerMessageOptions): Promise<string> {
  const { typ, payload, iss, aud, key, clock } = options;
  const message = { ...payload, iss, aud, iat: Math.floor(clock.nowMs() / 1000), jti: randomUUID() };
  return signJws({ typ, alg: key.alg, kid: key.kid }, message, toKeyObject(key.privateKey, 'sign'));
}

interface ServerKey {
  readonly publicKey: CryptoKey;
  readonly alg: SigningAlg;
}

export interface VerifyServerMessageOptions<T> {
  /** Must remember for longer than `maxAgeSeconds` + 5 s. */
  readonly replay: ReplayMemory;
  readonly typ: ServerMessageTyp;
  /** Who we are. */
  readonly audience: string;
  /** Of the whole payload, envelope included. */
  readonly schema: z.ZodType<T>;
  /** The key of a registered server, `null` for one that is not (or no longer) registered. */
  readonly findKey: (iss: string, kid: string) => Promise<ServerKey | null>;
  /** Unix seconds. */
  readonly nowSeconds: number;
  /** Default 60. */
  readonly maxAgeSeconds?: number;
  /** Longest message. */
  readonly maxChars: number;
}

function malformed(detail: string): Denial {
  return new Denial('request_malformed', { detail });
}

function untrusted(detail: string): Denial {
  return new Denial('server_untrusted', { detail });
}

/**
 * Reads a message of a registered server, and marks it as used.
 * @throws Denial `request_malformed` (form, or the schema refuses it), `server_untrusted` (key, signature, audience,
 *   age), `message_replayed`, `overloaded` (the replay memory is full)
 */
export async function verifyServerMessage<T>(
  jws: string,
  options: VerifyServerMessageOptions<T>,
): Promise<T> {
  const { typ, audience, schema, findKey, nowSeconds, maxAgeSeconds = 60, maxChars } = options;
  const parts = parseCompact(jws, maxChars);
  if (parts === null) throw malformed('not a compact JWS');
  const header = headerSchema.safeParse(parts.header);
  if (!header.success) throw malformed(refusedMember(header.error, 'header'));
  if (header.data.typ !== typ) throw malformed('typ');
  const sender = senderSchema.safeParse(parts.payload);
  if (!sender.success) throw malformed('iss');

  const { alg, kid } = header.data;
  const { iss } = sender.data;
  const key = await findKey(iss, kid);
  if (key?.alg !== alg) throw untrusted('kid');
  try {
    verifyJws(parts, alg, toKeyObject(key.publicKey, 'verify'));
  } catch {
    throw untrusted('signature');
  }

  const envelope = envelopeSchema.safeParse(parts.payload);
  if (!envelope.success) throw malformed(refusedMember(envelope.error, 'payload'));
  const { aud, iat, jti } = envelope.data;
  if (aud !== audience) throw untrusted('aud');
  if (iat > nowSeconds + CLOCK_TOLERANCE_SECONDS || iat < nowSeconds - maxAgeSeconds) throw untrusted('iat');
  const message = schema.safeParse(parts.payload);
  if (!message.success) throw malformed(refusedMember(message.error, 'payload'));

  options.replay.use(`message ${iss} ${jti}`, 'message_replayed');
  return message.data;
}
