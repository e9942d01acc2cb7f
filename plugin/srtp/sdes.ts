/** SRTP keys in SDP (RFC 4568; names of the AEAD suites: RFC 7714 section 14.1). Only for links that are encrypted. */
import { decodeBase64, KeySyntaxError } from './key-syntax-error.ts';
import type { SrtpMasterKey } from './packet-cipher.ts';
import { SRTP_SUITES, type SrtpSuiteName } from './suites.ts';

export interface SdesCrypto {
  /** Number of the line, 1 to 999,999,999; the answer repeats it. */
  readonly tag: number;
  readonly suite: SrtpSuiteName;
  readonly master: SrtpMasterKey;
  /** Packets that the key may be used for, 1 to 2^48: `createSrtpSender` keeps to it. Default: what SRTP allows. */
  readonly lifetimePackets?: number;
  /** Master key identifier, 1 to 128 bytes. Default none. */
  readonly mki?: Uint8Array;
}

const MAX_LINE_CHARS = 1024;
const MAX_TAG = 999_999_999;
const MAX_MKI_BYTES = 128;
const MAX_LIFETIME_PACKETS = 2 ** 48;
const LINE = /^a=crypto:([1-9][0-9]{0,8}) ([A-Za-z0-9_]{1,64}) inline:([^ ]+)((?: [^ ]+)*)$/;
const LIFETIME = /^(2\^)?([1-9][0-9]{0,14})$/;
const MKI = /^(0|[1-9][0-9]{0,308}):([1-9][0-9]{0,2})$/;
/**
 * Session parameters that change nothing: the key derivation rate that we have, and a hint how far behind a packet may be
 * (64 is the least, and ours is longer).
 */
const UNDERSTOOD = /^(?:KDR=0|WSH=(?:6[4-9]|[7-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-6]))$/;

function lifetimeOf(text: string): number {
  const [, power, digits = ''] = LIFETIME.exec(text) ?? [];
  const packets = power === undefined ? Number(digits) : 2 ** Number(digits);
  if (digits === '' || packets > MAX_LIFETIME_PACKETS) throw new KeySyntaxError('the lifetime is malformed');
  return packets;
}

function mkiOf(text: string): Buffer {
  const [, value = '', length = ''] = MKI.exec(text) ?? [];
  const bytes = Number(length);
  if (value === '' || bytes > MAX_MKI_BYTES) throw new KeySyntaxError('the MKI is malformed');
  const digits = BigInt(value)
    .toString(16)
    .padStart(bytes * 2, '0');
  if (digits.length > bytes * 2) throw new KeySyntaxError('the MKI does not fit into its length');
  return Buffer.from(digits, 'hex');
}

/** `key||salt["|"lifetime]["|"MKI:length]`; only an MKI has a colon. */
function keyInfoOf(info: string, suite: SrtpSuiteName): Omit<SdesCrypto, 'tag' | 'suite'> {
  const [keySalt = '', ...others] = info.split('|');
  const secret = decodeBase64(keySalt, 'optional');
  const { keyBytes, saltBytes } = SRTP_SUITES[suite];
  if (secret.length !== keyBytes + saltBytes)
    throw new KeySyntaxError('key and salt do not have the length of the suite');
  const master = { key: secret.subarray(0, keyBytes), salt: secret.subarray(keyBytes) };
  const lifetime = others[0]?.includes(':') === false ? others.shift() : undefined;
  const mki = others.shift();
  if (others.length > 0) throw new KeySyntaxError('the key has too many fields');
  return {
    master,
    ...(lifetime === undefined ? {} : { lifetimePackets: lifetimeOf(lifetime) }),
    ...(mki === undefined ? {} : { mki: mkiOf(mki) }),
  };
}

/**
 * Reads an SDP line `a=crypto:...`, without its end: one key of a known suite.
 * @throws KeySyntaxError also for session parameters that would change the protection
 */
export function parseSdes(line: string): SdesCrypto {
  if (line.length > MAX_LINE_CHARS) throw new KeySyntaxError('the line is too long');
  const [, tag, name = '', info = '', parameters = ''] = LINE.exec(line) ?? [];
  if (tag === undefined) throw new KeySyntaxError('the line is malformed');
  if (!isSuite(name)) throw new KeySyntaxError('the suite is not supported');
  if (info.includes(';')) throw new KeySyntaxError('the line has more than one key');
  const unknown = parameters
    .split(' ')
    .filter((parameter) => parameter !== '' && !UNDERSTOOD.test(parameter));
  if (unknown.length > 0) throw new KeySyntaxError('a session parameter is not supported');
  return { tag: Number(tag), suite: name, ...keyInfoOf(info, name) };
}

function isSuite(name: string): name is SrtpSuiteName {
  return Object.hasOwn(SRTP_SUITES, name);
}

/**
 * Writes the SDP line, without its end.
 * @throws RangeError for what is out of bounds
 */
export function formatSdes({ tag, suite, master, lifetimePackets, mki }: SdesCrypto): string {
  const { keyBytes, saltBytes } = SRTP_SUITES[suite];
  if (!Number.isInteger(tag) || tag < 1 || tag > MAX_TAG) throw new RangeError('a tag has 1 to 9 digits');
  if (master.key.length !== keyBytes || master.salt.length !== saltBytes)
    throw new RangeError(`${suite} has a key of ${keyBytes} and a salt of ${saltBytes} bytes`);
  const fields = [Buffer.concat([master.key, master.salt]).toString('base64')];
  if (lifetimePackets !== undefined) {
    if (!Number.isInteger(lifetimePackets) || lifetimePackets < 1 || lifetimePackets > MAX_LIFETIME_PACKETS)
      throw new RangeError('a lifetime has 1 to 2^48 packets');
    const power = Math.log2(lifetimePackets);
    fields.push(Number.isInteger(power) && power > 0 ? `2^${power}` : String(lifetimePackets));
  }
  if (mki !== undefined) {
    if (mki.length < 1 || mki.length > MAX_MKI_BYTES) throw new RangeError('an MKI has 1 to 128 bytes');
    fields.push(`${BigInt(`0x${Buffer.from(mki).toString('hex')}`)}:${mki.length}`);
  }
  return `a=crypto:${tag} ${suite} inline:${fields.join('|')}`;
}
