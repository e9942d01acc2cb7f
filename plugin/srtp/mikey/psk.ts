/** The exchange with a pre-shared key (RFC 3830 sections 3.1 and 5). */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import { buildMikey, timestampBytes } from './build.ts';
import { cryptKeyData, deriveFromPsk, hmacSha1 } from './derivation.ts';
import { MikeyError } from './error.ts';
import { buildKeyData, parseKeyData } from './key-data.ts';
import {
  MAC_BYTES,
  type CryptoSession,
  type IdPayload,
  type KemacPayload,
  type MikeyDataType,
  type MikeyMessage,
  type MikeyPayload,
  type TimestampPayload,
  type VerificationPayload,
} from './message.ts';
import { parseMikey } from './parse.ts';
import type { MikeyReplay } from './replay.ts';
import {
  onlyPayload,
  openingOf,
  requireDistinctSsrcs,
  requireSecret,
  requireTypes,
  sessionsOf,
  type MikeySession,
  type MikeySessionOffer,
} from './sessions.ts';
import { timestampOf, unixMsOf } from './timestamp.ts';

const HMAC = 'HMAC-SHA-1-160';

export interface PskInitOptions {
  /** 16 to 256 bytes, of full entropy: a password can be guessed from one message. */
  readonly psk: Uint8Array;
  /** 1 to 32. */
  readonly sessions: readonly MikeySessionOffer[];
  /** Unix time in milliseconds. */
  readonly nowMs: number;
  /** Master key identifier, 1 to 128 bytes; default none. */
  readonly mki?: Uint8Array;
  /** Default false. */
  readonly requestVerification?: boolean;
  /** Of the initiator and the responder, at most. */
  readonly ids?: readonly Omit<IdPayload, 'type'>[];
  /** 32 bits; default random. */
  readonly csbId?: number;
  /** 16 to 255 bytes; default 16 random ones. */
  readonly rand?: Uint8Array;
  /** 16 to 256 bytes; default 16 random ones. */
  readonly tgk?: Uint8Array;
}

export interface PskInit {
  readonly message: Buffer;
  readonly sessions: readonly MikeySession[];
  /**
   * Checks the responder's verification message.
   * @returns the sessions, with the SSRCs that the responder has chosen
   * @throws MikeyError
   */
  readVerification(source: Uint8Array): MikeySession[];
}

/** The MAC over a message but for the MAC, which is at its end (section 5.2). */
function macOf(key: Uint8Array, message: Uint8Array, behind: readonly Uint8Array[] = []): Buffer {
  return hmacSha1(key, message.subarray(0, message.length - MAC_BYTES), ...behind);
}

function requireMac(
  key: Uint8Array,
  message: Uint8Array,
  payload: KemacPayload | VerificationPayload,
  behind: readonly Uint8Array[] = [],
): void {
  if (payload.authentication !== HMAC) throw new MikeyError('unsupported_mac', 'the message has no MAC');
  if (!timingSafeEqual(payload.mac, macOf(key, message, behind)))
    throw new MikeyError('unauthentic', 'the message is not authentic');
}

/** Reads a message of one data type that ends with the payload that has the MAC. */
function parse(
  source: Uint8Array,
  dataType: MikeyDataType,
  last: 'KEMAC' | 'V',
  others: readonly MikeyPayload['type'][],
): MikeyMessage {
  const message = parseMikey(source);
  if (message.header.dataType !== dataType)
    throw new MikeyError('unsupported_data_type', 'the message is not the one that is due');
  requireTypes(message, [...others, last]);
  if (message.payloads.at(-1)?.type !== last)
    throw new MikeyError('malformed', `the message does not end with ${last}`);
  return message;
}

/** "Identity_i || Identity_r || Timestamp", which follow the message in the MAC of its answer (section 5.2). */
function identitiesAndTime(message: MikeyMessage, timestamp: TimestampPayload): Uint8Array[] {
  const ids = message.payloads.filter((payload) => payload.type === 'ID').map(({ id }) => id);
  if (ids.length > 2) throw new MikeyError('malformed', 'the message has more than two IDs');
  return [...ids, timestampBytes(timestamp)];
}

/**
 * Opens an exchange.
 * @throws RangeError for what is out of bounds
 */
export function buildPskInit(options: PskInitOptions): PskInit {
  const { psk, ids = [], mki, csbId = randomBytes(4).readUInt32BE(), tgk = randomBytes(16) } = options;
  requireSecret(psk, 'a pre-shared key');
  requireSecret(tgk, 'a TGK');
  if (ids.length > 2) throw new RangeError('an exchange has two identities');
  const timestamp = timestampOf(options.nowMs);
  const { sessions: offered, payloads: opening } = openingOf(options.sessions, timestamp, options.rand);
  const [, { rand }, ...policies] = opening;
  const keys = deriveFromPsk(psk, { csbId, rand });
  const validity = mki === undefined ? {} : { validity: { kind: 'SPI', spi: mki } as const };
  const keyData = [{ type: 'TGK', key: tgk, ...validity } as const];
  const kemac: KemacPayload = {
    type: 'KEMAC',
    encryption: 'AES-CM-128',
    data: cryptKeyData(keys, csbId, timestamp, buildKeyData(keyData)),
    authentication: HMAC,
    mac: Buffer.alloc(MAC_BYTES),
  };
  const parsed: MikeyMessage = {
    header: { dataType: 'PSK', verify: options.requestVerification ?? false, csbId, sessions: offered },
    payloads: [
      timestamp,
      opening[1],
      ...ids.map((id) => ({ type: 'ID', kind: id.kind, id: id.id }) as const),
      ...policies,
      kemac,
    ],
  };
  const sessions = sessionsOf(parsed, keyData);
  const message = buildMikey(parsed);
  message.set(macOf(keys.authentication, message), message.length - MAC_BYTES);
  return {
    message,
    sessions,
    readVerification(source) {
      const answer = parse(source, 'PSK verification', 'V', ['T', 'ID']);
      const verification = onlyPayload(answer, 'V');
      const time = onlyPayload(answer, 'T');
      requireMac(keys.authentication, source, verification, identitiesAndTime(parsed, timestamp));
      if (time.kind !== timestamp.kind || time.value !== timestamp.value || answer.header.csbId !== csbId)
        throw new MikeyError('unauthentic', 'the answer is to another message');
      return withSsrcs(sessions, offered, answer.header.sessions);
    },
  };
}

/** The SSRCs of an answer: what the initiator has chosen stays. */
function withSsrcs(
  sessions: readonly MikeySession[],
  offered: readonly CryptoSession[],
  answered: readonly CryptoSession[],
): MikeySession[] {
  const isSame =
    answered.length === offered.length &&
    offered.every(({ policy, ssrc, roc }, index) => {
      const other = answered[index];
      return other?.policy === policy && other.roc === roc && (ssrc === 0 || other.ssrc === ssrc);
    });
  if (!isSame) throw new MikeyError('malformed', 'the answer has other crypto sessions');
  const chosen = sessions.map((session, index) => ({ ...session, ssrc: answered[index]?.ssrc ?? 0 }));
  requireDistinctSsrcs(chosen);
  return chosen;
}

export interface PskAcceptOptions {
  /** 16 to 256 bytes. */
  readonly psk: Uint8Array;
  /** Unix time in milliseconds. */
  readonly nowMs: number;
  /** Shared by all exchanges; each pre-shared key has a part of it. */
  readonly replay: MikeyReplay;
  /** SSRCs for the sessions whose initiator has left them open, by crypto session id. */
  readonly ssrcs?: ReadonlyMap<number, number>;
}

export interface PskAccepted {
  readonly csbId: number;
  readonly sessions: readonly MikeySession[];
  readonly ids: readonly IdPayload[];
  /** The answer, if the initiator wants one. */
  readonly verification?: Buffer;
}

/**
 * Answers an exchange. The message must be encrypted and authenticated, fresh, and not have come before.
 * @throws MikeyError, also when an answer is wanted and a session has no SSRC from either side; RangeError for a
 *   pre-shared key out of bounds
 */
export function acceptPskInit(source: Uint8Array, options: PskAcceptOptions): PskAccepted {
  const { psk, nowMs, replay, ssrcs } = options;
  requireSecret(psk, 'a pre-shared key');
  const message = parse(source, 'PSK', 'KEMAC', ['T', 'RAND', 'SP', 'ID']);
  const timestamp = onlyPayload(message, 'T');
  // No counters are kept that a COUNTER could be compared with.
  if (timestamp.kind === 'COUNTER') throw new MikeyError('invalid_timestamp', 'the timestamp is no time');
  const kemac = onlyPayload(message, 'KEMAC');
  if (kemac.encryption !== 'AES-CM-128')
    throw new MikeyError('unsupported_encryption', 'the KEMAC is not encrypted');
  const { csbId } = message.header;
  const keys = deriveFromPsk(psk, { csbId, rand: onlyPayload(message, 'RAND').rand });
  requireMac(keys.authentication, source, kemac);
  const id = Buffer.from(kemac.mac).toString('base64');
  replay.use(id, unixMsOf(timestamp, nowMs), nowMs, hash('sha256', psk, 'base64'));
  const behind = identitiesAndTime(message, timestamp);
  const offered = sessionsOf(message, parseKeyData(cryptKeyData(keys, csbId, timestamp, kemac.data)));
  const sessions = offered.map((session) => ({
    ...session,
    ssrc: session.ssrc === 0 ? (ssrcs?.get(session.csId) ?? 0) : session.ssrc,
  }));
  requireDistinctSsrcs(sessions);
  const ids = message.payloads.filter((payload) => payload.type === 'ID');
  if (!message.header.verify) return { csbId, sessions, ids };
  if (sessions.some(({ ssrc }) => ssrc === 0))
    throw new MikeyError('unsupported', 'a crypto session has no SSRC that the answer could state');
  const verification = buildMikey({
    header: {
      dataType: 'PSK verification',
      verify: false,
      csbId,
      sessions: message.header.sessions.map((session, index) => ({
        ...session,
        ssrc: sessions[index]?.ssrc ?? 0,
      })),
    },
    payloads: [timestamp, { type: 'V', authentication: HMAC, mac: Buffer.alloc(MAC_BYTES) }],
  });
  verification.set(macOf(keys.authentication, verification, behind), verification.length - MAC_BYTES);
  return { csbId, sessions, ids, verification };
}
