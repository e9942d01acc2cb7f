/** What comes from a foreign server is read without a surprise, and what the suite writes is what players write. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseLinks, relationsOf } from '../../admin/cli/whep-check/links.ts';
import {
  attributes,
  directionOf,
  isAccepted,
  newFingerprint,
  newIce,
  readDescription,
  writeAnswer,
  writeOffer,
} from '../../admin/cli/whep-check/sdp.ts';
import { parseOffer } from '../../plugin/media/offer.ts';
import { OFFERS } from '../plugin/media/offers/index.ts';

describe('Link header fields', () => {
  const target = fc.stringMatching(/^[a-z]{1,8}:[a-z.:?=,;/]{1,20}$/);
  const name = fc.stringMatching(/^[a-z][a-z-]{0,10}$/);
  const value = fc.stringMatching(/^[\x20-\x7e]{0,20}$/);
  const link = fc.record({ target, parameters: fc.dictionary(name, value, { maxKeys: 4 }) });

  it('are read as they were written', () => {
    const quoted = (text: string): string => `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
    fc.assert(
      fc.property(fc.array(link, { minLength: 1, maxLength: 3 }), (links) => {
        const field = links
          .map(({ target: uri, parameters }) =>
            [`<${uri}>`, ...Object.entries(parameters).map(([key, text]) => `${key}=${quoted(text)}`)].join(
              '; ',
            ),
          )
          .join(', ');
        const read = parseLinks(field)?.map((one) => ({
          target: one.target,
          parameters: Object.fromEntries(one.parameters),
        }));
        expect(read).toEqual(links.map((one) => ({ ...one, parameters: { ...one.parameters } })));
      }),
    );
  });

  it('are refused or read, whatever they are', () => {
    fc.assert(fc.property(fc.string({ maxLength: 200 }), (field) => void parseLinks(field)));
  });

  it.each(['', 'x', '<a', '<a>; ', '<a>; rel=', '<a>; rel="b', '<a>, ', '<a> <b>', '<a b>'])(
    'are malformed as %j',
    (field) => {
      expect(parseLinks(field)).toBeNull();
    },
  );

  it('may have several relations, in any case', () => {
    const [link] = parseLinks('<a:b>;REL="Ice-Server  next"') ?? [];
    expect(link && relationsOf(link)).toEqual(['ice-server', 'next']);
  });
});

describe('descriptions', () => {
  it.each(Object.entries(OFFERS))('of %s are read', (_name, sdp) => {
    const description = readDescription(sdp);
    expect(description?.sections.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['audio', 'video']));
  });

  it.each([
    '',
    'v=0',
    'v=1\r\nm=audio 9 X 1',
    'v=0\r\no=-\r\ns=-\r\nt=0 0\r\nm=audio\r\n',
    'v=0\r\nhello\r\n',
  ])('are none: %j', (text) => {
    expect(readDescription(text)).toBeNull();
  });

  it('are refused or read, whatever they are', () => {
    fc.assert(fc.property(fc.string({ maxLength: 300 }), (text) => void readDescription(`v=0\r\n${text}`)));
  });

  it.each(['recvonly', 'sendrecv'] as const)(
    'that are offered (%s) are sound by our own parser',
    async (direction) => {
      const ice = newIce();
      const fingerprint = await newFingerprint();
      const offer = parseOffer(writeOffer(ice, fingerprint, direction));
      expect(offer).toMatchObject({
        fingerprintText: fingerprint,
        iceUfrag: ice.ufrag,
        icePwd: ice.pwd,
        setup: 'actpass',
        bundle: ['0', '1'],
      });
      expect(
        offer.media.map(({ kind, wanted, codecs }) => [kind, wanted, codecs.map(({ name }) => name)]),
      ).toEqual([
        ['audio', true, ['opus']],
        ['video', true, ['H264', 'H264', 'VP8']],
      ]);
    },
  );

  it('that answer a counter-offer take audio and video, and reject the rest', async () => {
    const lines = ['v=0', 'o=- 1 1 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=group:BUNDLE 0 1'];
    const audio = [
      'm=audio 9 UDP/TLS/RTP/SAVPF 111',
      'a=mid:0',
      'a=sendonly',
      'a=setup:passive',
      'a=rtcp-mux',
    ];
    const data = ['m=application 9 UDP/DTLS/SCTP webrtc-datachannel', 'a=mid:1', 'a=setup:passive'];
    const offer = readDescription([...lines, ...audio, ...data, ''].join('\r\n'));
    if (offer === null) throw new Error('no offer');
    const answer = readDescription(writeAnswer(offer, newIce(), await newFingerprint()));
    if (answer === null) throw new Error('no answer');
    const [first, second] = answer.sections;
    if (first === undefined || second === undefined) throw new Error('no sections');
    expect(attributes(answer, 'group')).toEqual(['BUNDLE 0']);
    expect(directionOf(answer, first)).toBe('recvonly');
    expect(attributes(first, 'setup')).toEqual(['active']);
    expect([isAccepted(first), isAccepted(second)]).toEqual([true, false]);
    expect(attributes(second, 'mid')).toEqual(['1']);
  });
});
