/**
 * Messages whose KEMAC is neither encrypted nor authenticated: only for links that are so themselves. They are what
 * GStreamer reads and writes.
 */
import { randomBytes } from 'node:crypto';
import type { SrtpMasterKey } from '../packet-cipher.ts';
import { SRTP_SUITES, type SrtpSuiteName } from '../suites.ts';
import { buildMikey } from './build.ts';
import { MikeyError } from './error.ts';
import { buildKeyData, parseKeyData } from './key-data.ts';
import { parseMikey } from './parse.ts';
import { onlyPayload, openingOf, requireTypes, sessionsOf, type MikeySession } from './sessions.ts';
import { timestampOf } from './timestamp.ts';

export interface NullMessageOptions {
  readonly suite: SrtpSuiteName;
  readonly master: SrtpMasterKey;
  /** Streams under that key, by different SSRCs; at least one. */
  readonly sessions: readonly { readonly ssrc: number; readonly roc?: number }[];
  /** Unix time in milliseconds. */
  readonly nowMs: number;
  /** 1 to 128 bytes; default none. GStreamer 1.22 passes over it. */
  readonly mki?: Uint8Array;
  /** 32 bits; default random. */
  readonly csbId?: number;
  /** 16 to 255 bytes; default 16 random ones. */
  readonly rand?: Uint8Array;
}

/**
 * Writes a message with one TEK, key and salt together.
 * @throws RangeError for what is out of bounds
 */
export function buildNullMessage(options: NullMessageOptions): Buffer {
  const { suite, master, mki, csbId = randomBytes(4).readUInt32BE(), rand } = options;
  const { keyBytes, saltBytes } = SRTP_SUITES[suite];
  if (master.key.length !== keyBytes || master.salt.length !== saltBytes)
    throw new RangeError(`${suite} has a key of ${keyBytes} and a salt of ${saltBytes} bytes`);
  const offers = options.sessions.map((session) => ({ ...session, suite }));
  const { sessions, payloads } = openingOf(offers, timestampOf(options.nowMs), rand);
  const validity = mki === undefined ? {} : { validity: { kind: 'SPI', spi: mki } as const };
  const data = buildKeyData([{ type: 'TEK', key: Buffer.concat([master.key, master.salt]), ...validity }]);
  const kemac = {
    type: 'KEMAC',
    encryption: 'NULL',
    data,
    authentication: 'NULL',
    mac: Buffer.alloc(0),
  } as const;
  const header = { dataType: 'PSK', verify: false, csbId, sessions } as const;
  return buildMikey({ header, payloads: [...payloads, kemac] });
}

/**
 * Reads such a message. Who could have written it is for the link to say.
 * @throws MikeyError
 */
export function readNullMessage(source: Uint8Array): MikeySession[] {
  const message = parseMikey(source);
  if (message.header.dataType !== 'PSK')
    throw new MikeyError('unsupported_data_type', 'the message is no first one');
  requireTypes(message, ['T', 'RAND', 'SP', 'ID', 'KEMAC']);
  onlyPayload(message, 'T');
  const { encryption, authentication, data } = onlyPayload(message, 'KEMAC');
  if (encryption !== 'NULL')
    throw new MikeyError('unsupported_encryption', 'the KEMAC is encrypted with a key that is not known');
  if (authentication !== 'NULL')
    throw new MikeyError('unsupported_mac', 'the KEMAC is authenticated with a key that is not known');
  const keys = parseKeyData(data);
  // Nobody sends one, and anybody could have us derive 64 keys from it.
  if (keys.some(({ type }) => type === 'TGK')) throw new MikeyError('unsupported', 'the KEMAC shows a TGK');
  return sessionsOf(message, keys);
}
