/** Messages of registered streaming servers: whose they are, and that none is used twice. */
import type { CryptoKey } from 'jose';
import type { z } from 'zod';
import type { Clock } from '../../plugin/ports.ts';
import {
  createReplayMemory,
  importVerifyKey,
  signingAlgOf,
  thumbprint,
  verifyServerMessage,
  type ServerMessageTyp,
  type SigningAlg,
} from '../../plugin/ticket/index.ts';
import type { Executor } from '../db/connect.ts';
import { findServer } from './servers.ts';

const MAX_AGE_SECONDS = 60;
/** Longer than a message is taken, with the tolerance of clocks. */
const REMEMBER_SECONDS = 120;
/** A registration that has been withdrawn is honoured for this long at most. */
const REGISTRATION_MS = 5000;

interface Registration {
  readonly kid: string;
  readonly alg: SigningAlg;
  readonly publicKey: CryptoKey;
  readonly readAtMs: number;
}

export interface MessageKind<T> {
  readonly typ: ServerMessageTyp;
  readonly schema: z.ZodType<T>;
  readonly maxChars: number;
}

export interface MessageReader {
  /** Verifies a message with the key registered for its sender, and marks it as used. @throws Denial of the verifier. */
  read<T>(jws: string, kind: MessageKind<T>): Promise<T>;
}

/**
 * Makes the reader of one process. What it has taken it remembers in memory: beside another process a message could
 * be used once more, and changes nothing, since every operation answers its repetition alike.
 * @param audience who we are to the servers
 */
export function createMessageReader(db: Executor, audience: string, clock: Clock): MessageReader {
  const replay = createReplayMemory({ clock, ttlSeconds: REMEMBER_SECONDS });
  const registrations = new Map<string, Registration>();

  async function register(serverId: string): Promise<Registration | null> {
    registrations.delete(serverId);
    const server = await findServer(db, serverId);
    const alg = server === null ? null : signingAlgOf(server.signingKey);
    if (server === null || alg === null) return null;
    const { signingKey } = server;
    const registration = {
      kid: signingKey.kid ?? thumbprint(signingKey),
      alg,
      publicKey: await importVerifyKey(signingKey, alg),
      readAtMs: clock.monotonicMs(),
    };
    registrations.set(serverId, registration);
    return registration;
  }

  return {
    read: (jws, kind) =>
      verifyServerMessage(jws, {
        ...kind,
        audience,
        replay,
        maxAgeSeconds: MAX_AGE_SECONDS,
        nowSeconds: Math.floor(clock.nowMs() / 1000),
        async findKey(iss, kid) {
          const known = registrations.get(iss);
          const isFresh = known !== undefined && clock.monotonicMs() - known.readAtMs < REGISTRATION_MS;
          const registration = isFresh && known.kid === kid ? known : await register(iss);
          return registration?.kid === kid ? registration : null;
        },
      }),
  };
}
