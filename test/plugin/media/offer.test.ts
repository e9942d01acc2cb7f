import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Denial } from '../../../plugin/errors.ts';
import { parseOffer } from '../../../plugin/media/offer.ts';
import { OFFERS } from './offers/index.ts';

const { chromium, firefoxLike, safariLike } = OFFERS;

function codeOf(sdp: string): string {
  try {
    parseOffer(sdp);
    return 'parsed';
  } catch (error) {
    if (error instanceof Denial) return error.code;
    throw error;
  }
}

describe('an offer of a browser', () => {
  it('is parsed as Chromium makes it', () => {
    const offer = parseOffer(chromium);
    expect(offer).toMatchObject({
      iceUfrag: 'odez',
      icePwd: 'sGP6xw7/w7B8Fdm8PrOvvFsT',
      setup: 'actpass',
      bundle: ['0', '1'],
    });
    expect(offer.fingerprintText).toMatch(/^sha-256 80:37:4A:/);
    expect(offer.media.map(({ kind, mid, direction, wanted }) => [kind, mid, direction, wanted])).toEqual([
      ['video', '0', 'recvonly', true],
      ['audio', '1', 'recvonly', true],
    ]);
    const h264 = offer.media[0]?.codecs.find(({ payloadType }) => payloadType === 108);
    expect(h264).toMatchObject({ name: 'H264', clockRate: 90_000, channels: 1 });
    expect([...(h264?.parameters ?? [])]).toEqual([
      ['level-asymmetry-allowed', '1'],
      ['packetization-mode', '1'],
      ['profile-level-id', '42e01f'],
    ]);
    expect(h264?.rtcpFeedback).toContainEqual({ type: 'nack', parameter: 'pli' });
    expect(offer.media[1]?.codecs[0]).toMatchObject({ name: 'opus', clockRate: 48_000, channels: 2 });
    expect(offer.media[0]?.headerExtensions).toContainEqual({
      id: 9,
      uri: 'urn:ietf:params:rtp-hdrext:sdes:mid',
    });
  });

  it('may have its fingerprint at the session level and a numeric ufrag', () => {
    const offer = parseOffer(firefoxLike);
    expect(offer.fingerprintText).toMatch(/^sha-256 AB:CD:EF:/);
    expect(offer.iceUfrag).toBe('12345678');
  });

  it('may have a data channel, lower-case fingerprints and feedback for all payload types', () => {
    const offer = parseOffer(safariLike);
    expect(offer.media.map(({ kind, wanted }) => [kind, wanted])).toEqual([
      ['video', true],
      ['audio', true],
      ['other', false],
    ]);
    expect(offer.fingerprintText).toMatch(/^sha-256 AB:CD:EF:/);
    expect(offer.media[0]?.codecs[0]?.rtcpFeedback).toEqual([
      { type: 'nack', parameter: 'pli' },
      { type: 'nack', parameter: '' },
    ]);
  });

  it('may have bare line feeds', () => {
    expect(parseOffer(chromium.replaceAll('\r\n', '\n'))).toEqual(parseOffer(chromium));
  });

  it.each([
    ['sendonly', 'a=sendonly'],
    ['inactive', 'a=inactive'],
  ])('wants nothing in a section that is %s', (_name, line) => {
    const offer = parseOffer(chromium.replace('a=recvonly', line));
    expect(offer.media.map(({ wanted }) => wanted)).toEqual([false, true]);
  });
});

describe('an offer that is refused', () => {
  const cases: [string, string, (sdp: string) => string][] = [
    ['is empty', 'sdp_malformed', () => ''],
    ['is JSON', 'sdp_malformed', () => '{"type":"offer"}'],
    ['does not begin with v=0', 'sdp_malformed', (sdp) => `a=x\r\n${sdp}`],
    ['has a line that is not SDP', 'sdp_malformed', (sdp) => sdp.replace('t=0 0', 'T: 0')],
    ['has an empty line', 'sdp_malformed', (sdp) => sdp.replace('t=0 0\r\n', 't=0 0\r\n\r\n')],
    ['has a NUL', 'sdp_malformed', (sdp) => sdp.replace('s=-', 's=\0')],
    ['has a bare carriage return', 'sdp_malformed', (sdp) => sdp.replace('s=-', 's=-\ra=sendonly')],
    ['has a line that is too long', 'sdp_malformed', (sdp) => sdp.replace('s=-', `s=${'x'.repeat(3000)}`)],
    ['is larger than 64 KiB', 'body_too_large', (sdp) => sdp + 'a=x\r\n'.repeat(14_000)],
    ['has no m= line', 'sdp_malformed', (sdp) => sdp.slice(0, sdp.indexOf('m='))],
    ['has nine m= lines', 'offer_unsupported', (sdp) => sdp + 'm=audio 0 X 0\r\n'.repeat(7)],
    ['has an m= line without mid', 'sdp_malformed', (sdp) => sdp.replace('a=mid:1\r\n', '')],
    ['has a mid twice', 'sdp_malformed', (sdp) => sdp.replace('a=mid:1', 'a=mid:0')],
    ['has no BUNDLE', 'offer_unsupported', (sdp) => sdp.replace('a=group:BUNDLE 0 1\r\n', '')],
    ['has a section outside the BUNDLE', 'offer_unsupported', (sdp) => sdp.replace('BUNDLE 0 1', 'BUNDLE 0')],
    ['has a section without rtcp-mux', 'offer_unsupported', (sdp) => sdp.replace('a=rtcp-mux\r\n', '')],
    ['has no fingerprint', 'offer_unsupported', (sdp) => sdp.replace(/a=fingerprint:.*\r\n/g, '')],
    [
      'has only a SHA-1 fingerprint',
      'offer_unsupported',
      (sdp) => sdp.replace(/a=fingerprint:.*/g, `a=fingerprint:sha-1 ${'AB:'.repeat(19)}AB`),
    ],
    [
      'has a section without fingerprint',
      'offer_unsupported',
      (sdp) => sdp.replace(/a=fingerprint:.*\r\n/, ''),
    ],
    ['has two fingerprints', 'sdp_malformed', (sdp) => sdp.replace('sha-256 80:', 'sha-256 81:')],
    [
      'has two fingerprints in one section',
      'sdp_malformed',
      (sdp) => sdp.replace(/(a=fingerprint:sha-256 )80(.*\r\n)/, '$180$2$181$2'),
    ],
    ['has a short fingerprint', 'sdp_malformed', (sdp) => sdp.replaceAll('sha-256 80:', 'sha-256 ')],
    ['wants to be the DTLS server', 'offer_unsupported', (sdp) => sdp.replaceAll('actpass', 'passive')],
    ['has two setup roles', 'sdp_malformed', (sdp) => sdp.replace('actpass', 'active')],
    ['has no ICE credentials', 'sdp_malformed', (sdp) => sdp.replace(/a=ice-ufrag.*\r\n/, '')],
    ['has a short ICE password', 'sdp_malformed', (sdp) => sdp.replace(/a=ice-pwd:.*/, 'a=ice-pwd:abc')],
    ['has a payload type of 300', 'sdp_malformed', (sdp) => sdp.replace('rtpmap:111', 'rtpmap:300')],
    [
      'maps a payload type twice',
      'sdp_malformed',
      (sdp) => sdp.replace('a=rtpmap:111', 'a=rtpmap:111 opus/48000/2\r\na=rtpmap:111'),
    ],
    ['has no clock rate', 'sdp_malformed', (sdp) => sdp.replace('opus/48000/2', 'opus')],
    ['has an extension id of 0', 'sdp_malformed', (sdp) => sdp.replace('a=extmap:14', 'a=extmap:0')],
    ['receives nothing', 'offer_unsupported', (sdp) => sdp.replaceAll('recvonly', 'sendonly')],
    ['is not for DTLS-SRTP', 'offer_unsupported', (sdp) => sdp.replaceAll('UDP/TLS/RTP/SAVPF', 'RTP/AVP')],
  ];
  it.each(cases)('%s: %s', (_name, code, change) => {
    expect(chromium).not.toBe(change(chromium));
    expect(codeOf(change(chromium))).toBe(code);
  });
});

describe('whatever comes', () => {
  const codes = ['parsed', 'sdp_malformed', 'offer_unsupported', 'body_too_large'];

  it('text of any kind is parsed or refused, nothing else', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 2000, unit: 'binary' }), (text) => codes.includes(codeOf(text))),
    );
  });

  it('an offer with lines lost, doubled, swapped or damaged is parsed or refused, nothing else', () => {
    const damage = fc.record({
      source: fc.constantFrom(chromium, firefoxLike, safariLike),
      edits: fc.array(
        fc.record({
          at: fc.nat(),
          to: fc.nat(),
          kind: fc.constantFrom('drop', 'double', 'move', 'cut', 'number', 'insert'),
          text: fc.string({ maxLength: 20 }),
        }),
        { minLength: 1, maxLength: 8 },
      ),
    });
    fc.assert(
      fc.property(damage, ({ source, edits }) => {
        const lines = source.split('\r\n');
        for (const { at, to, kind, text } of edits) {
          const index = at % lines.length;
          const line = lines[index] ?? '';
          if (kind === 'drop') lines.splice(index, 1);
          if (kind === 'double') lines.splice(index, 0, line);
          if (kind === 'move') lines.splice(to % lines.length, 0, ...lines.splice(index, 1));
          if (kind === 'cut') lines[index] = line.slice(0, to % (line.length + 1));
          if (kind === 'number') lines[index] = line.replace(/\d+/, String(to));
          if (kind === 'insert') lines[index] = line.slice(0, 5) + text + line.slice(5);
        }
        expect(codes).toContain(codeOf(lines.join('\r\n')));
      }),
      { numRuns: 1000 },
    );
  });

  it('what was parsed holds no line breaks that an answer could repeat', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 12 }), (text) => {
        const sdp = chromium.replace('a=fmtp:111 minptime=10', `a=fmtp:111 ${text}`);
        if (codeOf(sdp) !== 'parsed') return;
        const formats = parseOffer(sdp).media.flatMap(({ codecs }) => codecs.map(({ format }) => format));
        for (const format of formats) expect(format).not.toMatch(/\p{Cc}/u);
      }),
    );
  });
});
