/** What a MIKEY message is made of (RFC 3830 section 6). */

/** Data types (section 6.1): the first message with a pre-shared key, its answer, an error. */
export type MikeyDataType = 'PSK' | 'PSK verification' | 'error';

/** A crypto session of the map type SRTP-ID (section 6.1.1). */
export interface CryptoSession {
  /** Number of the SP that it is protected by; 0 to 255. */
  readonly policy: number;
  /** 0 when the initiator does not know it yet. */
  readonly ssrc: number;
  /** Rollover counter, 32 bits. */
  readonly roc: number;
}

/** HDR. The PRF is MIKEY-1, the only one that there is. */
export interface MikeyHeader {
  readonly dataType: MikeyDataType;
  /** The initiator wants a verification message. */
  readonly verify: boolean;
  /** Crypto session bundle, 32 bits. */
  readonly csbId: number;
  /** At most 32; the first has the crypto session id 1. */
  readonly sessions: readonly CryptoSession[];
}

export type TimestampType = 'NTP-UTC' | 'NTP' | 'COUNTER';
export type MacAlgorithm = 'NULL' | 'HMAC-SHA-1-160';

/** Timestamp (section 6.6). */
export interface TimestampPayload {
  readonly type: 'T';
  readonly kind: TimestampType;
  /** 64 bits; of a COUNTER 32. */
  readonly value: bigint;
}

/** 16 to 255 bytes (section 6.11). */
export interface RandPayload {
  readonly type: 'RAND';
  readonly rand: Uint8Array;
}

export interface PolicyParameter {
  /** Section 6.10.1; 0 to 255. */
  readonly parameter: number;
  /** At most 255 bytes. */
  readonly value: Uint8Array;
}

/** Security policy for SRTP (section 6.10). */
export interface PolicyPayload {
  readonly type: 'SP';
  readonly policy: number;
  /** At most 32, each parameter once. */
  readonly parameters: readonly PolicyParameter[];
}

/** Key data transport (section 6.2). */
export interface KemacPayload {
  readonly type: 'KEMAC';
  readonly encryption: 'NULL' | 'AES-CM-128';
  /** Key data sub-payloads, encrypted or not. */
  readonly data: Uint8Array;
  readonly authentication: MacAlgorithm;
  /** 20 bytes; with NULL none. */
  readonly mac: Uint8Array;
}

/** Verification message (section 6.9). */
export interface VerificationPayload {
  readonly type: 'V';
  readonly authentication: MacAlgorithm;
  /** 20 bytes; with NULL none. */
  readonly mac: Uint8Array;
}

/** Identity: a network access identifier or a URI (section 6.7); at most 256 bytes. */
export interface IdPayload {
  readonly type: 'ID';
  readonly kind: 'NAI' | 'URI';
  readonly id: Uint8Array;
}

/** Error (section 6.12). */
export interface ErrorPayload {
  readonly type: 'ERR';
  /** 0 to 255; see `MikeyError.errorNumber`. */
  readonly errorNumber: number;
}

/** General extension (section 6.15): has a length, and may be ignored. */
export interface ExtensionPayload {
  readonly type: 'EXT';
  readonly extension: number;
  readonly data: Uint8Array;
}

export type MikeyPayload =
  | TimestampPayload
  | RandPayload
  | PolicyPayload
  | KemacPayload
  | VerificationPayload
  | IdPayload
  | ErrorPayload
  | ExtensionPayload;

export interface MikeyMessage {
  readonly header: MikeyHeader;
  /** At most 16. */
  readonly payloads: readonly MikeyPayload[];
}

/** Longest message in bytes. */
export const MAX_MESSAGE_BYTES = 4096;
export const MAX_SESSIONS = 32;
export const MAX_PAYLOADS = 16;
export const MAX_PARAMETERS = 32;
export const MAX_ID_BYTES = 256;
/** Section 4.2.1 asks for 128 bits. */
export const MIN_RAND_BYTES = 16;
export const MAX_RAND_BYTES = 255;
/** HMAC-SHA-1-160. */
export const MAC_BYTES = 20;

export const VERSION = 1;
export const PRF_MIKEY_1 = 0;
export const MAP_SRTP_ID = 0;
export const PROTOCOL_SRTP = 0;
export const LAST_PAYLOAD = 0;
export const DATA_TYPES: ReadonlyMap<number, MikeyDataType> = new Map([
  [0, 'PSK'],
  [1, 'PSK verification'],
  [6, 'error'],
]);
/** Numbers of the payloads (section 6.1). */
export const PAYLOADS: Readonly<Record<MikeyPayload['type'], number>> = {
  KEMAC: 1,
  T: 5,
  ID: 6,
  V: 9,
  SP: 10,
  RAND: 11,
  ERR: 12,
  EXT: 21,
};
/** Each algorithm and kind at the index that is its number. */
export const TIMESTAMPS = ['NTP-UTC', 'NTP', 'COUNTER'] as const;
export const ENCRYPTIONS = ['NULL', 'AES-CM-128'] as const;
export const AUTHENTICATIONS = ['NULL', 'HMAC-SHA-1-160'] as const;
export const ID_KINDS = ['NAI', 'URI'] as const;
