/** Numbers that others have made: `test/vectors/mikey.py`, and GStreamer 1.22's libgstsdp. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  acceptPskInit,
  buildNullMessage,
  buildPskInit,
  createMikeyReplay,
  deriveFromPsk,
  MikeyError,
  parseMikey,
  prf,
  readNullMessage,
} from '../../../../plugin/srtp/mikey/index.ts';

interface Vectors {
  prf: { key: string; label: string; output: string }[];
  exchange: {
    psk: string;
    tgk: string;
    rand: string;
    mki: string;
    csbId: number;
    nowMs: number;
    encryption: string;
    authentication: string;
    salt: string;
    ids: string[];
    init: string;
    chosenSsrc: number;
    answer: string;
    masters: { key: string; salt: string }[];
  };
}

const VECTORS = JSON.parse(
  readFileSync(new URL('../../../vectors/mikey.json', import.meta.url), 'utf8'),
) as Vectors;
const hex = (text: string): Buffer => Buffer.from(text, 'hex');

describe('RFC 3830', () => {
  it.each(VECTORS.prf)('section 4.1.2: the PRF with the key $key', ({ key, label, output }) => {
    expect(prf(hex(key), hex(label), output.length / 2).toString('hex')).toBe(output);
  });

  const { exchange } = VECTORS;
  const psk = hex(exchange.psk);
  const build = () =>
    buildPskInit({
      psk,
      tgk: hex(exchange.tgk),
      rand: hex(exchange.rand),
      mki: hex(exchange.mki),
      csbId: exchange.csbId,
      nowMs: exchange.nowMs,
      requestVerification: true,
      ids: exchange.ids.map((id, index) => ({ kind: index === 0 ? 'NAI' : 'URI', id: Buffer.from(id) })),
      sessions: [
        { suite: 'AES_CM_128_HMAC_SHA1_80', ssrc: 0x11223344, roc: 7 },
        { suite: 'AEAD_AES_128_GCM', ssrc: 0 },
      ],
    });
  const masters = exchange.masters.map(({ key, salt }) => ({ key: hex(key), salt: hex(salt) }));

  it('section 4.1.4: the keys that protect a message', () => {
    const { encryption, authentication, salt } = exchange;
    expect(deriveFromPsk(psk, { csbId: exchange.csbId, rand: hex(exchange.rand) })).toEqual({
      encryption: hex(encryption),
      authentication: hex(authentication),
      salt: hex(salt),
    });
  });

  it('sections 4.1.3, 4.2.3 and 5.2: the first message, and the keys of its sessions', () => {
    const { message, sessions } = build();
    expect(message.toString('hex')).toBe(exchange.init);
    expect(sessions.map(({ master }) => master)).toEqual(masters);
    expect(sessions.map(({ mki }) => mki)).toEqual([hex(exchange.mki), hex(exchange.mki)]);
  });

  it('section 5.2: the answer, with an SSRC that the responder has chosen', () => {
    const accepted = acceptPskInit(hex(exchange.init), {
      psk,
      nowMs: exchange.nowMs + 1000,
      replay: createMikeyReplay(),
      ssrcs: new Map([[2, exchange.chosenSsrc]]),
    });
    expect(accepted.verification?.toString('hex')).toBe(exchange.answer);
    expect(accepted.sessions.map(({ master }) => master)).toEqual(masters);
    expect(accepted.sessions.map(({ ssrc, roc }) => [ssrc, roc])).toEqual([
      [0x11223344, 7],
      [exchange.chosenSsrc, 0],
    ]);
    expect(build().readVerification(hex(exchange.answer))).toEqual(accepted.sessions);
  });
});

/** Made by gst_mikey_message_new_from_caps and _base64_encode: see test/vectors/README.md. */
const GSTREAMER = {
  aesCm:
    'AQAFAMbUgx0BAAARIjNEAAAAAAsA7q0yWFudf9gKEE7jGCl/PKAiur3kQ7FlJ/kBAAAAFQABAQEBEAIBAQMBCgcBAQgBAQoBAQAAACIAIAAeAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eAA==',
  aesGcm:
    'AQAFAJScuysBAAARIjNEAAAAAAsA7q0yWFuwTucKEE+D9lEaG7HBKZLcGJjGeEwBAAAAFQABBgEBEAIBAAMBAAcBAQgBAQoBAQAAACAAIAAcAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHAA=',
  shortTag:
    'AQAFADDeexoBAAARIjNEAAAAAAsA7q0yWFusYEUKEEx7QC7N0nyT088xMS5ojecBAAAAFQABAQEBEAIBAQMBBAcBAQgBAQoBAQAAACIAIAAeAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eAA==',
  aes256:
    'AQAFAOCc8pIBAAARIjNEAAAAAAsA7q0yWFu0TlAKEJQ/7byyi+Ioz4578QsWcgIBAAAAFQABAQEBIAIBAQMBCgcBAQgBAQoBAQAAADIAIAAuAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=',
};

describe('GStreamer', () => {
  it.each([
    ['AES_CM_128_HMAC_SHA1_80', GSTREAMER.aesCm, 14],
    ['AEAD_AES_128_GCM', GSTREAMER.aesGcm, 12],
  ] as const)('%s is read, and written in the same bytes', (suite, text, saltBytes) => {
    const bytes = Buffer.from(text, 'base64');
    const [session] = readNullMessage(bytes);
    const key = Buffer.from(Array.from({ length: 16 }, (_, index) => index + 1));
    const salt = Buffer.from(Array.from({ length: saltBytes }, (_, index) => index + 17));
    expect(session).toEqual({ csId: 1, ssrc: 0x11223344, roc: 0, suite, master: { key, salt } });
    const { header, payloads } = parseMikey(bytes);
    const [time, rand] = payloads;
    if (time?.type !== 'T' || rand?.type !== 'RAND') throw new Error('other payloads');
    const written = buildNullMessage({
      suite,
      master: { key, salt },
      sessions: [{ ssrc: 0x11223344 }],
      nowMs: Date.now(),
      csbId: header.csbId,
      rand: rand.rand,
    });
    // All but the 8 bytes of the time, which stand behind HDR and the head of T.
    for (const message of [written, bytes]) message.fill(0, 21, 29);
    expect(written).toEqual(bytes);
  });

  it.each([
    ['a tag of 32 bits', GSTREAMER.shortTag],
    ['a key of 256 bits', GSTREAMER.aes256],
  ])('%s is refused', (_, text) => {
    expect(() => readNullMessage(Buffer.from(text, 'base64'))).toThrow(MikeyError);
  });
});
