/** MIKEY (RFC 3830) with pre-shared keys, and without protection of its own: `media-usher/mikey`. */
export { buildMikey } from './build.ts';
export {
  cryptKeyData,
  deriveFromPsk,
  deriveFromTgk,
  prf,
  type Exchange,
  type MessageKeys,
} from './derivation.ts';
export { MikeyError, type MikeyErrorCode } from './error.ts';
export { buildKeyData, parseKeyData, type KeyData, type KeyValidity } from './key-data.ts';
export type {
  CryptoSession,
  ErrorPayload,
  ExtensionPayload,
  IdPayload,
  KemacPayload,
  MacAlgorithm,
  MikeyDataType,
  MikeyHeader,
  MikeyMessage,
  MikeyPayload,
  PolicyParameter,
  PolicyPayload,
  RandPayload,
  TimestampPayload,
  TimestampType,
  VerificationPayload,
} from './message.ts';
export { buildNullMessage, readNullMessage, type NullMessageOptions } from './null.ts';
export { parseMikey } from './parse.ts';
export { policyOfSuite, suiteOfPolicy } from './policy.ts';
export {
  acceptPskInit,
  buildPskInit,
  type PskAccepted,
  type PskAcceptOptions,
  type PskInit,
  type PskInitOptions,
} from './psk.ts';
export { createMikeyReplay, type MikeyReplay, type MikeyReplayOptions } from './replay.ts';
export type { MikeySession, MikeySessionOffer } from './sessions.ts';
export { timestampOf, unixMsOf } from './timestamp.ts';
