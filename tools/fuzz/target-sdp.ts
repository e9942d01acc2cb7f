/** Keys in SDP and RTSP: SDES lines, key-mgmt attributes and headers, and the messages in them. */
import { isDeepStrictEqual } from 'node:util';
import {
  formatKeyMgmtAttribute,
  formatKeyMgmtHeader,
  formatSdes,
  KeySyntaxError,
  parseKeyMgmtAttribute,
  parseKeyMgmtHeader,
  parseSdes,
} from '../../plugin/srtp/index.ts';
import { MikeyError, parseMikey } from '../../plugin/srtp/mikey/index.ts';
import { must, type FuzzTarget } from './target.ts';

const SECRET = Buffer.alloc(30, 'key and salt').toString('base64');

function takeLine(line: string): void {
  if (line.startsWith('a=crypto:')) {
    const read = parseSdes(line);
    must(isDeepStrictEqual(parseSdes(formatSdes(read)), read), 'what is read is written and read again');
    return;
  }
  if (line.startsWith('a=key-mgmt:')) {
    const data = parseKeyMgmtAttribute(line);
    must(parseKeyMgmtAttribute(formatKeyMgmtAttribute(data)).equals(data), 'an attribute comes back');
    parseMikey(data);
    return;
  }
  const specs = parseKeyMgmtHeader(line);
  must(isDeepStrictEqual(parseKeyMgmtHeader(formatKeyMgmtHeader(specs)), specs), 'a header comes back');
}

export function createTarget(): FuzzTarget {
  return {
    take: (input) => takeLine(input.toString('latin1')),
    refusals: [KeySyntaxError, MikeyError],
    seeds: [
      `a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:${SECRET}`,
      `a=crypto:999999999 AES_CM_128_HMAC_SHA1_80 inline:${SECRET}|2^31|1:4 KDR=0 WSH=64`,
      `a=crypto:2 AEAD_AES_128_GCM inline:${Buffer.alloc(28, 9).toString('base64')}|1048576`,
    ].map((line) => Buffer.from(line, 'latin1')),
    folders: [],
    words: [
      '|',
      ':',
      ';',
      '=',
      '2^',
      '|2^48',
      '|1:1',
      ' KDR=0',
      ' WSH=64',
      ' UNENCRYPTED_SRTP',
      'inline:',
      ' ',
      ', prot=mikey; data="AQ=="',
    ],
  };
}
