/** Keys in SDP and RTSP: SDES and key-mgmt. */
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatKeyMgmtAttribute,
  formatKeyMgmtHeader,
  parseKeyMgmtAttribute,
  parseKeyMgmtHeader,
  type KeyMgmt,
} from '../../../plugin/srtp/key-mgmt.ts';
import { KeySyntaxError } from '../../../plugin/srtp/key-syntax-error.ts';
import { formatSdes, parseSdes, type SdesCrypto } from '../../../plugin/srtp/sdes.ts';
import { SRTP_SUITES, type SrtpSuiteName } from '../../../plugin/srtp/suites.ts';

const octets = (minLength: number, maxLength: number) =>
  fc.uint8Array({ minLength, maxLength }).map((bytes) => Buffer.from(bytes));
/** 30 bytes: the example of RFC 4568 section 9.1. */
const KEY = 'd0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj';
const LINE = `a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:${KEY}`;

/** Whatever is thrown is a KeySyntaxError. */
function isRead(read: (text: string) => unknown, text: string): boolean {
  try {
    read(text);
    return true;
  } catch (error) {
    if (error instanceof KeySyntaxError) return false;
    throw error;
  }
}

describe('a=crypto', () => {
  const cryptos: fc.Arbitrary<SdesCrypto> = fc
    .tuple(
      fc.integer({ min: 1, max: 999_999_999 }),
      fc.constantFrom(...(Object.keys(SRTP_SUITES) as SrtpSuiteName[])),
      fc.option(fc.integer({ min: 1, max: 2 ** 48 }), { nil: undefined }),
      fc.option(octets(1, 128), { nil: undefined }),
    )
    .map(([tag, suite, lifetimePackets, mki]) => ({
      tag,
      suite,
      master: {
        key: randomBytes(SRTP_SUITES[suite].keyBytes),
        salt: randomBytes(SRTP_SUITES[suite].saltBytes),
      },
      ...(lifetimePackets === undefined ? {} : { lifetimePackets }),
      ...(mki === undefined ? {} : { mki }),
    }));

  it('is read back as it was written', () => {
    fc.assert(
      fc.property(cryptos, (crypto) => {
        expect(parseSdes(formatSdes(crypto))).toEqual(crypto);
      }),
    );
  });

  it('is read as RFC 4568 has it: key and salt, lifetime, MKI, parameters that change nothing', () => {
    const secret = Buffer.from(KEY, 'base64');
    const master = { key: secret.subarray(0, 16), salt: secret.subarray(16) };
    const base = { tag: 1, suite: 'AES_CM_128_HMAC_SHA1_80', master };
    expect(parseSdes(LINE)).toEqual(base);
    expect(parseSdes(`${LINE}|2^20|1:4`)).toEqual({
      ...base,
      lifetimePackets: 2 ** 20,
      mki: Buffer.from([0, 0, 0, 1]),
    });
    expect(parseSdes(`${LINE}|1:4 WSH=128 KDR=0`)).toEqual({ ...base, mki: Buffer.from([0, 0, 0, 1]) });
    expect(formatSdes(parseSdes(`${LINE}|2^20|1:4`))).toBe(`${LINE}|2^20|1:4`);
  });

  it('of AEAD_AES_128_GCM is read with padding and without', () => {
    const bare = randomBytes(28).toString('base64').replace(/=+$/, '');
    for (const padding of ['', '=='])
      expect(parseSdes(`a=crypto:2 AEAD_AES_128_GCM inline:${bare}${padding}`).master.salt).toHaveLength(12);
  });

  it.each([
    ['a tag of zero', LINE.replace(':1 ', ':0 ')],
    ['a tag with a leading zero', LINE.replace(':1 ', ':01 ')],
    ['a tag of ten digits', LINE.replace(':1 ', ':1234567890 ')],
    ['an unknown suite', LINE.replace('_80', '_32')],
    ['a name that every object has', LINE.replace('AES_CM_128_HMAC_SHA1_80', 'constructor')],
    ['another key method', LINE.replace('inline', 'uri')],
    ['a short key', LINE.slice(0, -4)],
    ['a long key', `${LINE}AAAA`],
    ['two keys', `${LINE}|1:4;inline:${KEY}|2:4`],
    ['a lifetime of zero', `${LINE}|0`],
    ['a lifetime over 2^48', `${LINE}|2^49`],
    ['an MKI that does not fit', `${LINE}|256:1`],
    ['an MKI of 129 bytes', `${LINE}|1:129`],
    ['two MKIs', `${LINE}|1:4|2:4`],
    ['an empty field', `${LINE}|`],
    ['packets in the clear', `${LINE} UNENCRYPTED_SRTP`],
    ['RTCP in the clear', `${LINE} UNENCRYPTED_SRTCP`],
    ['packets without authentication', `${LINE} UNAUTHENTICATED_SRTP`],
    ['a key derivation rate', `${LINE} KDR=1`],
    ['a window that is too small', `${LINE} WSH=63`],
    ['an end of line', `${LINE}\r\na=x`],
    ['no end of length', `${LINE}|${'1'.repeat(2000)}:4`],
    ['spaces', `${LINE} `],
  ])('is refused with %s', (_, line) => {
    expect(isRead(parseSdes, line)).toBe(false);
  });
});

describe('a=key-mgmt and KeyMgmt', () => {
  const messages = octets(1, 300);
  const specs: fc.Arbitrary<KeyMgmt> = fc.record(
    { uri: fc.stringMatching(/^rtsp:\/\/[!#-~]{1,40}$/), data: messages },
    { requiredKeys: ['data'] },
  );

  it('are read back as they were written', () => {
    fc.assert(
      fc.property(messages, (data) => {
        expect(parseKeyMgmtAttribute(formatKeyMgmtAttribute(data))).toEqual(data);
      }),
    );
    fc.assert(
      fc.property(fc.array(specs, { minLength: 1, maxLength: 8 }), (list) => {
        expect(parseKeyMgmtHeader(formatKeyMgmtHeader(list))).toEqual(list);
      }),
    );
  });

  it('reads what GStreamer sends', () => {
    expect(parseKeyMgmtHeader('prot=mikey;uri="rtsp://h/a,b;c/stream=0";data="AQAF"')).toEqual([
      { uri: 'rtsp://h/a,b;c/stream=0', data: Buffer.from('AQAF', 'base64') },
    ]);
  });

  it.each([
    ['another protocol', 'prot=other; data="AQAF"'],
    ['no data', 'prot=mikey; uri="rtsp://h/"'],
    ['empty data', 'prot=mikey; data=""'],
    ['data that is not base64', 'prot=mikey; data="AQA"'],
    ['data with another spelling', 'prot=mikey; data="AQB="'],
    ['something behind it', 'prot=mikey; data="AQAF"; x=1'],
    ['a comma behind it', 'prot=mikey; data="AQAF",'],
    ['too much data', `prot=mikey; data="${'AAAA'.repeat(1367)}"`],
    ['a URI that is too long', `prot=mikey; uri="rtsp://${'a'.repeat(1020)}"; data="AQAF"`],
    ['nine keys', Array.from({ length: 9 }, () => 'prot=mikey; data="AQAF"').join(',')],
    ['nothing', ''],
  ])('the header is refused with %s', (_, value) => {
    expect(isRead(parseKeyMgmtHeader, value)).toBe(false);
  });

  it.each([
    ['another protocol', 'a=key-mgmt:other AQAF'],
    ['two spaces', 'a=key-mgmt:mikey  AQAF'],
    ['no data', 'a=key-mgmt:mikey '],
    ['an end of line', 'a=key-mgmt:mikey AQAF\r\n'],
  ])('the attribute is refused with %s', (_, line) => {
    expect(isRead(parseKeyMgmtAttribute, line)).toBe(false);
  });

  it('refuses a URI that would end the header', () => {
    for (const uri of ['rtsp://h/"', 'rtsp://h/\r\nX: y', ''])
      expect(() => formatKeyMgmtHeader([{ uri, data: Buffer.from([1]) }])).toThrow(RangeError);
  });
});

it('any text is read or refused with a KeySyntaxError', () => {
  const texts = fc.oneof(
    fc.string({ maxLength: 200 }),
    fc.string({ maxLength: 60 }).map((text) => `${LINE}${text}`),
    fc.string({ maxLength: 60 }).map((text) => `prot=mikey; data="AQAF"${text}`),
  );
  fc.assert(
    fc.property(texts, (text) => {
      for (const read of [parseSdes, parseKeyMgmtAttribute, parseKeyMgmtHeader]) isRead(read, text);
    }),
    { numRuns: 3000 },
  );
});
