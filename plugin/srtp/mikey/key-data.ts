/** Key data sub-payloads: what a KEMAC carries (RFC 3830 sections 6.13 and 6.14). */
import { MikeyError } from './error.ts';
import { createReader, requireLength, uint16, uint8, type Reader } from './octets.ts';

/** When a key is used. */
export type KeyValidity =
  /** By packets with this SPI, which is SRTP's MKI; 1 to 128 bytes. */
  | { readonly kind: 'SPI'; readonly spi: Uint8Array }
  /** From one index to another, both included; at most 16 bytes each. */
  | { readonly kind: 'interval'; readonly from: Uint8Array; readonly to: Uint8Array };

export interface KeyData {
  /** TGK: keys are derived from it. TEK: is the key itself. */
  readonly type: 'TGK' | 'TEK';
  /** 1 to 256 bytes. */
  readonly key: Uint8Array;
  /** 1 to 64 bytes. */
  readonly salt?: Uint8Array;
  /** Default: always. */
  readonly validity?: KeyValidity;
}

/** Value of "next payload" before a key data sub-payload. */
const KEY_DATA = 20;
const LAST = 0;
const TYPES = ['TGK', 'TEK'] as const;
const VALIDITY_NONE = 0;
const VALIDITY_SPI = 1;
const VALIDITY_INTERVAL = 2;
const MAX_KEYS = 8;
const MAX_KEY_BYTES = 256;
const MAX_SALT_BYTES = 64;
const MAX_SPI_BYTES = 128;
const MAX_INDEX_BYTES = 16;

function readBounded(reader: Reader, count: number, most: number, what: string): Buffer {
  if (count < 1 || count > most)
    throw new MikeyError('malformed', `a key data payload has a ${what} of no or too many bytes`);
  return reader.bytes(count);
}

function readValidity(kind: number, reader: Reader): { validity?: KeyValidity } {
  if (kind === VALIDITY_NONE) return {};
  if (kind === VALIDITY_SPI)
    return { validity: { kind: 'SPI', spi: readBounded(reader, reader.uint8(), MAX_SPI_BYTES, 'SPI') } };
  if (kind !== VALIDITY_INTERVAL) throw new MikeyError('unsupported', 'a key validity type is not known');
  const from = readBounded(reader, reader.uint8(), MAX_INDEX_BYTES, 'interval');
  const to = readBounded(reader, reader.uint8(), MAX_INDEX_BYTES, 'interval');
  return { validity: { kind: 'interval', from, to } };
}

/**
 * Reads the decrypted content of a KEMAC: 1 to 8 keys.
 * @throws MikeyError `malformed`, `unsupported`
 */
export function parseKeyData(source: Uint8Array): KeyData[] {
  const reader = createReader(source);
  const keys: KeyData[] = [];
  for (let next = KEY_DATA; next !== LAST;) {
    if (next !== KEY_DATA) throw new MikeyError('unsupported', 'a KEMAC holds something other than key data');
    if (keys.length === MAX_KEYS) throw new MikeyError('malformed', 'a KEMAC has too many keys');
    next = reader.uint8();
    const types = reader.uint8();
    const type = TYPES[types >> 5];
    if (type === undefined) throw new MikeyError('unsupported', 'a key data type is not known');
    const key = readBounded(reader, reader.uint16(), MAX_KEY_BYTES, 'key');
    const hasSalt = ((types >> 4) & 1) === 1;
    const salt = hasSalt ? { salt: readBounded(reader, reader.uint16(), MAX_SALT_BYTES, 'salt') } : {};
    keys.push({ type, key, ...salt, ...readValidity(types & 0x0f, reader) });
  }
  if (!reader.isAtEnd) throw new MikeyError('malformed', 'a KEMAC has bytes behind its last key');
  return keys;
}

function encodeValidity(validity: KeyValidity): [kind: number, ...content: Uint8Array[]] {
  if (validity.kind === 'SPI') {
    requireLength(validity.spi, 1, MAX_SPI_BYTES, 'an SPI');
    return [VALIDITY_SPI, uint8(validity.spi.length), validity.spi];
  }
  const { from, to } = validity;
  for (const index of [from, to]) requireLength(index, 1, MAX_INDEX_BYTES, 'an index');
  return [VALIDITY_INTERVAL, uint8(from.length), from, uint8(to.length), to];
}

/**
 * Writes the content of a KEMAC, in the clear.
 * @param keys 1 to 8
 * @throws RangeError for what is out of bounds
 */
export function buildKeyData(keys: readonly KeyData[]): Buffer {
  if (keys.length < 1 || keys.length > MAX_KEYS) throw new RangeError(`a KEMAC has 1 to ${MAX_KEYS} keys`);
  const parts = keys.flatMap(({ type, key, salt, validity }, index) => {
    requireLength(key, 1, MAX_KEY_BYTES, 'a key');
    if (salt !== undefined) requireLength(salt, 1, MAX_SALT_BYTES, 'a salt');
    const [kind, ...content] = validity === undefined ? [VALIDITY_NONE] : encodeValidity(validity);
    const types = (TYPES.indexOf(type) << 5) | (salt === undefined ? 0 : 0x10) | kind;
    const salted = salt === undefined ? [] : [uint16(salt.length), salt];
    const next = index === keys.length - 1 ? LAST : KEY_DATA;
    return [uint8(next), uint8(types), uint16(key.length), key, ...salted, ...content];
  });
  return Buffer.concat(parts);
}
