/** From what a message carries to what SRTP needs. */
import { randomBytes } from 'node:crypto';
import type { SrtpMasterKey } from '../packet-cipher.ts';
import { SRTP_SUITES, type SrtpSuiteName } from '../suites.ts';
import { deriveFromTgk, type Exchange } from './derivation.ts';
import { MikeyError } from './error.ts';
import type { KeyData } from './key-data.ts';
import type {
  CryptoSession,
  MikeyMessage,
  MikeyPayload,
  PolicyPayload,
  RandPayload,
  TimestampPayload,
} from './message.ts';
import { MIN_RAND_BYTES } from './message.ts';
import { policyOfSuite, suiteOfPolicy } from './policy.ts';

/** A stream that is to be protected. */
export interface MikeySessionOffer {
  /** 0 when it is the other side's to choose. */
  readonly ssrc: number;
  /** Rollover counter; default 0. */
  readonly roc?: number;
  readonly suite: SrtpSuiteName;
}

/** A crypto session with its keys, ready for `createSrtpSender` or `createSrtpReceiver`. */
export interface MikeySession extends Required<MikeySessionOffer> {
  /** 1 for the first. */
  readonly csId: number;
  readonly master: SrtpMasterKey;
  /** Master key identifier; none when packets have none. */
  readonly mki?: Uint8Array;
}

/** The one payload of a type. */
export function onlyPayload<T extends MikeyPayload['type']>(
  { payloads }: MikeyMessage,
  type: T,
): MikeyPayload & { readonly type: T } {
  const found = payloads.filter((payload) => payload.type === type);
  const [payload] = found;
  if (payload === undefined || found.length > 1)
    throw new MikeyError('malformed', `the message does not have exactly one ${type}`);
  return payload as MikeyPayload & { readonly type: T };
}

/** Refuses a message with a payload that it has no place for; general extensions may be ignored (section 6.15). */
export function requireTypes({ payloads }: MikeyMessage, allowed: readonly MikeyPayload['type'][]): void {
  const extra = payloads.find(({ type }) => type !== 'EXT' && !allowed.includes(type));
  if (extra !== undefined) throw new MikeyError('malformed', `this message has no place for ${extra.type}`);
}

/** The parts of a first message that are not secret. */
export interface Opening {
  readonly sessions: readonly CryptoSession[];
  readonly payloads: readonly [TimestampPayload, RandPayload, ...PolicyPayload[]];
}

/** @throws RangeError for fewer than 16 bytes of RAND, or no session */
export function openingOf(
  offers: readonly MikeySessionOffer[],
  timestamp: TimestampPayload,
  rand: Uint8Array = randomBytes(MIN_RAND_BYTES),
): Opening {
  if (offers.length === 0) throw new RangeError('a message has at least one crypto session');
  const suites = [...new Set(offers.map(({ suite }) => suite))];
  return {
    sessions: offers.map(({ ssrc, roc = 0, suite }) => ({ policy: suites.indexOf(suite), ssrc, roc })),
    payloads: [
      timestamp,
      { type: 'RAND', rand },
      ...suites.map((suite, policy) => policyOfSuite(suite, policy)),
    ],
  };
}

/** Bytes of the key that a TGK or pre-shared key has at least: as many as the strongest suite's. */
const MIN_SECRET_BYTES = 16;

function masterOf(
  { type, key, salt }: KeyData,
  csId: number,
  exchange: Exchange,
  suite: SrtpSuiteName,
): SrtpMasterKey {
  const { keyBytes, saltBytes } = SRTP_SUITES[suite];
  if (type === 'TGK') {
    if (key.length < MIN_SECRET_BYTES) throw new MikeyError('malformed', 'the TGK is too short');
    const derived = deriveFromTgk(key, csId, exchange, { keyBytes, saltBytes });
    return requireSizes({ key: derived.key, salt: salt ?? derived.salt }, suite);
  }
  // GStreamer's reading of a TEK: key and salt in one.
  if (salt === undefined)
    return requireSizes({ key: key.subarray(0, keyBytes), salt: key.subarray(keyBytes) }, suite);
  return requireSizes({ key, salt }, suite);
}

function requireSizes(master: SrtpMasterKey, suite: SrtpSuiteName): SrtpMasterKey {
  const { keyBytes, saltBytes } = SRTP_SUITES[suite];
  if (master.key.length !== keyBytes || master.salt.length !== saltBytes)
    throw new MikeyError('malformed', 'key or salt does not have the length that the policy asks for');
  return master;
}

/**
 * One key stream for two streams would show both (RFC 3711 section 9.1).
 * @throws MikeyError `malformed`
 */
export function requireDistinctSsrcs(sessions: readonly { readonly ssrc: number }[]): void {
  const chosen = sessions.map(({ ssrc }) => ssrc).filter((ssrc) => ssrc !== 0);
  if (new Set(chosen).size < chosen.length)
    throw new MikeyError('malformed', 'two crypto sessions have the same SSRC');
}

/**
 * The crypto sessions of a first message.
 * @param keys what its KEMAC carries: exactly one key, which is good without limit or for an MKI
 * @throws MikeyError
 */
export function sessionsOf(message: MikeyMessage, keys: readonly KeyData[]): MikeySession[] {
  const { csbId, sessions } = message.header;
  const exchange = { csbId, rand: onlyPayload(message, 'RAND').rand };
  const [key] = keys;
  if (key === undefined || keys.length > 1)
    throw new MikeyError('unsupported', 'the message has more than one key');
  const { validity } = key;
  if (validity?.kind === 'interval')
    throw new MikeyError('unsupported', 'the key is for an interval of packets');
  const mki = validity === undefined ? {} : { mki: validity.spi };
  if (sessions.length === 0) throw new MikeyError('malformed', 'the message has no crypto session');
  requireDistinctSsrcs(sessions);
  const policies = new Map<number, SrtpSuiteName>();
  for (const payload of message.payloads) {
    if (payload.type !== 'SP') continue;
    if (policies.has(payload.policy)) throw new MikeyError('invalid_policy', 'two SPs have the same number');
    policies.set(payload.policy, suiteOfPolicy(payload));
  }
  return sessions.map(({ policy, ssrc, roc }, index) => {
    const suite = policies.get(policy);
    if (suite === undefined) throw new MikeyError('invalid_policy', 'a crypto session has no SP');
    const csId = index + 1;
    return { csId, ssrc, roc, suite, master: masterOf(key, csId, exchange, suite), ...mki };
  });
}

/** @throws RangeError for a secret of fewer than 16 or more than 256 bytes */
export function requireSecret(secret: Uint8Array, what: string): void {
  if (secret.length < MIN_SECRET_BYTES || secret.length > 256)
    throw new RangeError(`${what} has ${MIN_SECRET_BYTES} to 256 bytes`);
}
