/** Reading MIKEY messages. */
import { MikeyError, type MikeyErrorCode } from './error.ts';
import {
  AUTHENTICATIONS,
  DATA_TYPES,
  ENCRYPTIONS,
  ID_KINDS,
  LAST_PAYLOAD,
  MAC_BYTES,
  MAP_SRTP_ID,
  MAX_ID_BYTES,
  MAX_MESSAGE_BYTES,
  MAX_PARAMETERS,
  MAX_PAYLOADS,
  MAX_SESSIONS,
  MIN_RAND_BYTES,
  PAYLOADS,
  PRF_MIKEY_1,
  PROTOCOL_SRTP,
  TIMESTAMPS,
  VERSION,
  type CryptoSession,
  type MacAlgorithm,
  type MikeyHeader,
  type MikeyMessage,
  type MikeyPayload,
  type PolicyParameter,
} from './message.ts';
import { createReader, type Reader } from './octets.ts';

/** One of the values that a field has numbers for. */
function oneOf<T>(values: readonly T[], number: number, code: MikeyErrorCode, what: string): T {
  const value = values[number];
  if (value === undefined) throw new MikeyError(code, `${what} is not supported`);
  return value;
}

function readHeader(reader: Reader): { header: MikeyHeader; next: number } {
  if (reader.uint8() !== VERSION) throw new MikeyError('unsupported', 'the version is not supported');
  const dataType = DATA_TYPES.get(reader.uint8());
  if (dataType === undefined) throw new MikeyError('unsupported_data_type', 'the data type is not supported');
  const next = reader.uint8();
  const flags = reader.uint8();
  if ((flags & 0x7f) !== PRF_MIKEY_1) throw new MikeyError('unsupported_prf', 'the PRF is not supported');
  const csbId = reader.uint32();
  const sessionCount = reader.uint8();
  if (reader.uint8() !== MAP_SRTP_ID)
    throw new MikeyError('unsupported', 'the map of crypto sessions is not by SRTP-ID');
  if (sessionCount > MAX_SESSIONS)
    throw new MikeyError('malformed', 'the message has too many crypto sessions');
  const sessions: CryptoSession[] = [];
  for (let count = 0; count < sessionCount; count++)
    sessions.push({ policy: reader.uint8(), ssrc: reader.uint32(), roc: reader.uint32() });
  return { header: { dataType, verify: (flags & 0x80) !== 0, csbId, sessions }, next };
}

function readMac(reader: Reader): { authentication: MacAlgorithm; mac: Buffer } {
  const authentication = oneOf(AUTHENTICATIONS, reader.uint8(), 'unsupported_mac', 'the MAC algorithm');
  return { authentication, mac: reader.bytes(authentication === 'NULL' ? 0 : MAC_BYTES) };
}

function readParameters(source: Uint8Array): PolicyParameter[] {
  const reader = createReader(source);
  const parameters = new Map<number, PolicyParameter>();
  while (!reader.isAtEnd) {
    const parameter = reader.uint8();
    if (parameters.has(parameter)) throw new MikeyError('malformed', 'an SP has a parameter twice');
    if (parameters.size === MAX_PARAMETERS)
      throw new MikeyError('malformed', 'an SP has too many parameters');
    parameters.set(parameter, { parameter, value: reader.bytes(reader.uint8()) });
  }
  return [...parameters.values()];
}

/** What follows the field "next payload", by number. */
const READERS: ReadonlyMap<number, (reader: Reader) => MikeyPayload> = new Map<
  number,
  (reader: Reader) => MikeyPayload
>([
  [
    PAYLOADS.KEMAC,
    (reader) => {
      const encryption = oneOf(ENCRYPTIONS, reader.uint8(), 'unsupported_encryption', 'the encryption');
      return { type: 'KEMAC', encryption, data: reader.bytes(reader.uint16()), ...readMac(reader) };
    },
  ],
  [
    PAYLOADS.T,
    (reader) => {
      const kind = oneOf(TIMESTAMPS, reader.uint8(), 'invalid_timestamp', 'the timestamp type');
      return { type: 'T', kind, value: kind === 'COUNTER' ? BigInt(reader.uint32()) : reader.uint64() };
    },
  ],
  [
    PAYLOADS.ID,
    (reader) => {
      const kind = oneOf(ID_KINDS, reader.uint8(), 'unsupported', 'the ID type');
      const id = reader.bytes(reader.uint16());
      if (id.length > MAX_ID_BYTES) throw new MikeyError('malformed', 'an ID is too long');
      return { type: 'ID', kind, id };
    },
  ],
  [PAYLOADS.V, (reader) => ({ type: 'V', ...readMac(reader) })],
  [
    PAYLOADS.SP,
    (reader) => {
      const policy = reader.uint8();
      if (reader.uint8() !== PROTOCOL_SRTP)
        throw new MikeyError('invalid_policy', 'an SP is for another protocol than SRTP');
      return { type: 'SP', policy, parameters: readParameters(reader.bytes(reader.uint16())) };
    },
  ],
  [
    PAYLOADS.RAND,
    (reader) => {
      const rand = reader.bytes(reader.uint8());
      if (rand.length < MIN_RAND_BYTES) throw new MikeyError('malformed', 'RAND has fewer than 16 bytes');
      return { type: 'RAND', rand };
    },
  ],
  [
    PAYLOADS.ERR,
    (reader) => {
      const errorNumber = reader.uint8();
      // Reserved.
      reader.uint16();
      return { type: 'ERR', errorNumber };
    },
  ],
  [
    PAYLOADS.EXT,
    (reader) => ({ type: 'EXT', extension: reader.uint8(), data: reader.bytes(reader.uint16()) }),
  ],
]);

/**
 * Reads a message of at most 4096 bytes, all of it. Nothing in it has been authenticated by that.
 * @throws MikeyError
 */
export function parseMikey(source: Uint8Array): MikeyMessage {
  if (source.length > MAX_MESSAGE_BYTES) throw new MikeyError('malformed', 'the message is too long');
  const reader = createReader(source);
  const { header, next: first } = readHeader(reader);
  const payloads: MikeyPayload[] = [];
  for (let next = first; next !== LAST_PAYLOAD;) {
    if (payloads.length === MAX_PAYLOADS)
      throw new MikeyError('malformed', 'the message has too many payloads');
    const read = READERS.get(next);
    // Where it ends is not known, or it belongs to a method with public keys.
    if (read === undefined) throw new MikeyError('unsupported', 'a payload type is not supported');
    next = reader.uint8();
    payloads.push(read(reader));
  }
  if (!reader.isAtEnd) throw new MikeyError('malformed', 'the message has bytes behind its last payload');
  return { header, payloads };
}
