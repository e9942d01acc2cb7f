/** The RFCs' own numbers. */
import { describe, expect, it } from 'vitest';
import { createAesCm } from '../../../plugin/srtp/aes-cm.ts';
import { createAesGcm } from '../../../plugin/srtp/aes-gcm.ts';
import { deriveSessionKeys } from '../../../plugin/srtp/key-derivation.ts';
import type { SessionKeys } from '../../../plugin/srtp/packet-cipher.ts';
import { SRTP_SUITES } from '../../../plugin/srtp/suites.ts';

const hex = (text: string): Buffer => Buffer.from(text, 'hex');
const NO_MKI = new Uint8Array(0);

describe('RFC 3711', () => {
  it('appendix B.2: the key stream of AES in counter mode', () => {
    const keys: SessionKeys = {
      encryption: hex('2b7e151628aed2a6abf7158809cf4f3c'),
      salt: hex('f0f1f2f3f4f5f6f7f8f9fafbfcfd'),
      authentication: Buffer.alloc(20),
    };
    const header = hex('800000000000000000000000');
    const into = Buffer.alloc(12 + 0xff02 * 16 + 10);
    const zeros = Buffer.concat([header, Buffer.alloc(0xff02 * 16)]);
    // SSRC and index of the RFC's example are zero.
    createAesCm(keys, keys).protectRtp(zeros, 12, { ssrc: 0, roc: 0, sequence: 0 }, NO_MKI, into);
    const block = (index: number): string => into.toString('hex', 12 + index * 16, 12 + (index + 1) * 16);
    expect([block(0), block(1), block(2)]).toEqual([
      'e03ead0935c95e80e166b16dd92b4eb4',
      'd23513162b02d0f72a43a2fe4a5f97ab',
      '41e95b3bb0a2e8dd477901e4fca894c0',
    ]);
    expect([block(0xfeff), block(0xff00), block(0xff01)]).toEqual([
      'ec8cdf7398607cb0f2d21675ea9ea1e4',
      '362b7c3c6773516318a077d7fc5073ae',
      '6a2cc3787889374fbeb4c81b17ba6c44',
    ]);
  });

  it('appendix B.3: session keys', () => {
    const master = {
      key: hex('e1f97a0d3e018be0d64fa32c06de4139'),
      salt: hex('0ec675ad498afeebb6960b3aabe6'),
    };
    const keys = deriveSessionKeys(master, 'rtp', SRTP_SUITES.AES_CM_128_HMAC_SHA1_80);
    expect(keys.encryption.toString('hex')).toBe('c61e7a93744f39ee10734afe3ff7a087');
    expect(keys.salt.toString('hex')).toBe('30cbbc08863d8c85d49db34a9ae1');
    expect(keys.authentication.toString('hex')).toBe('cebe321f6ff7716b6fd4ab49af256a156d38baa4');
  });
});

describe('RFC 7714, AEAD_AES_128_GCM', () => {
  const keys: SessionKeys = {
    encryption: hex('000102030405060708090a0b0c0d0e0f'),
    salt: hex('517569642070726f2071756f'),
    authentication: Buffer.alloc(0),
  };
  const rtp = hex(
    '8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573',
  );
  const srtp = hex(
    '8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce',
  );
  const place = { ssrc: 0x5501a0b2, roc: 0, sequence: 0xf17b };
  const rtcp = hex(
    '81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef',
  );
  const srtcp = hex(
    '81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade800005d4',
  );
  const cipher = createAesGcm(keys, keys);

  it('sections 16.1.1 and 16.1.2: RTP', () => {
    const into = Buffer.alloc(200);
    const bytes = cipher.protectRtp(rtp, 12, place, NO_MKI, into);
    expect(into.toString('hex', 0, bytes)).toBe(srtp.toString('hex'));
    expect(cipher.openRtp(Buffer.from(srtp), 12, place, 0)?.toString('hex')).toBe(rtp.toString('hex'));
  });

  it('section 17.1: RTCP', () => {
    const into = Buffer.alloc(200);
    const bytes = cipher.protectRtcp(rtcp, 0x5d4, NO_MKI, into);
    expect(into.toString('hex', 0, bytes)).toBe(srtcp.toString('hex'));
    expect(cipher.openRtcp(Buffer.from(srtcp), 0x5d4, 0)?.toString('hex')).toBe(rtcp.toString('hex'));
  });
});
