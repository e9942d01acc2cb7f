/** What recorded offers are read as, and what they are sent of a stream, or why not. */
import { describe, expect, it } from 'vitest';
import { formOf, type VideoForm } from '../../../plugin/adapters/mediasoup/codecs.ts';
import { matchOffer, type Rendition } from '../../../plugin/adapters/mediasoup/match.ts';
import { Denial } from '../../../plugin/errors.ts';
import { parseOffer } from '../../../plugin/media/offer.ts';
import type { VideoCodec } from '../../../plugin/ports.ts';
import { RECORDED_OFFERS, type Recorded } from './offers.ts';

describe('a recorded offer is read', () => {
  const readings: [Recorded, string[], string[]][] = [
    ['Chromium 156', ['video 0', 'audio 1'], ['VP8', 'VP9', 'H264', 'AV1', 'red', 'ulpfec', 'flexfec-03']],
    ['Chromium 156 that wants VP8', ['video 0', 'audio 1'], ['VP8']],
    ['Firefox 153 without OpenH264', ['video 0', 'audio 1'], ['VP8', 'VP9', 'AV1', 'ulpfec', 'red']],
    ['GStreamer 1.22', ['audio audio0', 'video video1'], ['VP8', 'H264', 'VP9']],
    ['GStreamer 1.22 with H.264 parameters', ['audio audio0', 'video video1'], ['H264']],
    ['Safari-like', ['video 0', 'audio 1'], ['H264', 'VP8', 'red', 'ulpfec']],
  ];
  it.each(readings)('%s', (name, sections, videoCodecs) => {
    const sdp = RECORDED_OFFERS[name];
    const offer = parseOffer(sdp);
    expect(offer.media.map(({ kind, mid }) => `${kind} ${mid}`)).toEqual(sections);
    expect(offer.bundle).toEqual(offer.media.map(({ mid }) => mid));
    expect(offer.media.every(({ wanted, direction }) => wanted && direction === 'recvonly')).toBe(true);
    expect(offer.setup).toBe('actpass');
    expect(sdp).toContain(`a=ice-ufrag:${offer.iceUfrag}\r\n`);
    expect(sdp).toContain(`a=ice-pwd:${offer.icePwd}\r\n`);
    expect(sdp).toContain(`a=fingerprint:${offer.fingerprintText}\r\n`);
    const names = offer.media.find(({ kind }) => kind === 'video')?.codecs.map((codec) => codec.name) ?? [];
    expect([...new Set(names)].filter((codec) => codec !== 'rtx')).toEqual(videoCodecs);
  });

  it('GStreamer without a bundle is refused: two transports for one viewer are not offered here', () => {
    expect(() => parseOffer(RECORDED_OFFERS['GStreamer 1.22, not bundled'])).toThrow(
      expect.objectContaining({ code: 'offer_unsupported', detail: 'no BUNDLE group' }),
    );
  });
});

const form = (codec: VideoCodec): VideoForm => {
  const found = formOf(codec);
  if (found === undefined) throw new Error('no such form');
  return found;
};
const BASELINE = form({ name: 'H264', profileLevelId: '42c01f' });
const MAIN = form({ name: 'H264', profileLevelId: '4d401f' });
const HIGH = form({ name: 'H264', profileLevelId: '640028' });
const VP8 = form({ name: 'VP8' });

interface Sent {
  readonly form: string;
  readonly video: number;
  readonly audio: number;
}

/** What is sent, by payload types, or the reason of the refusal. */
function sentTo(name: Recorded, renditions: readonly Rendition[]): Sent | string {
  try {
    const { video, audio } = matchOffer(parseOffer(RECORDED_OFFERS[name]), {
      video: renditions,
      videoRefusal: null,
      hasAudio: true,
    });
    return {
      form: video?.rendition.form.label ?? 'none',
      video: video?.codec.payloadType ?? NaN,
      audio: audio?.codec.payloadType ?? NaN,
    };
  } catch (error) {
    if (error instanceof Denial && error.code === 'offer_unsupported') return error.detail ?? '';
    throw error;
  }
}

const published = (of: VideoForm): Rendition[] => [{ form: of, onDemand: false }];
/** As the re-encoder adds them to what is published. */
const MADE: Rendition[] = [
  { form: form({ name: 'H264', profileLevelId: '42e01f' }), onDemand: true },
  { form: VP8, onDemand: true },
];

type Answer = Sent | string;
const none = (label: string): Answer => `no ${label} in the offer`;
const sent =
  (label: string) =>
  (video: number, audio: number): Answer => ({ form: label, video, audio });
const baseline = sent('H.264 profile 42c0');
const main = sent('H.264 profile 4d40');
const high = sent('H.264 profile 6400');
const remade = sent('H.264 profile 42e0');
const vp8 = sent('VP8');

const CHROMIUM = 'Chromium 156';
const CHROMIUM_VP8 = 'Chromium 156 that wants VP8';
const FIREFOX = 'Firefox 153 without OpenH264';
const SAFARI = 'Safari-like';
const GSTREAMER = 'GStreamer 1.22';
const GSTREAMER_H264 = 'GStreamer 1.22 with H.264 parameters';

/** Offer, stream, what is sent of the stream alone, what with the re-encoder's renditions beside it. */
const ROWS: readonly (readonly [Recorded, string, VideoForm, Answer, Answer])[] = [
  [CHROMIUM, 'constrained baseline', BASELINE, baseline(108, 111), baseline(108, 111)],
  [CHROMIUM, 'main', MAIN, main(116, 111), main(116, 111)],
  // High is shown by High 4:4:4 Predictive there.
  [CHROMIUM, 'high', HIGH, high(41, 111), high(41, 111)],
  [CHROMIUM_VP8, 'constrained baseline', BASELINE, none('H.264 profile 42c0'), vp8(96, 111)],
  [FIREFOX, 'constrained baseline', BASELINE, none('H.264 profile 42c0'), vp8(120, 109)],
  [FIREFOX, 'high', HIGH, none('H.264 profile 6400'), vp8(120, 109)],
  [SAFARI, 'constrained baseline', BASELINE, baseline(98, 111), baseline(98, 111)],
  [SAFARI, 'main', MAIN, none('H.264 profile 4d40'), remade(98, 111)],
  // Safari offers Constrained High, which High without that flag need not be.
  [SAFARI, 'high', HIGH, none('H.264 profile 6400'), remade(98, 111)],
  // Codecs without parameters: every profile.
  [GSTREAMER, 'constrained baseline', BASELINE, baseline(102, 111), baseline(102, 111)],
  [GSTREAMER, 'high', HIGH, high(102, 111), high(102, 111)],
  [GSTREAMER_H264, 'constrained baseline', BASELINE, baseline(102, 111), baseline(102, 111)],
  [GSTREAMER_H264, 'high', HIGH, none('H.264 profile 6400'), remade(102, 111)],
];

describe('a recorded offer is answered', () => {
  it.each(ROWS)('%s, a stream in %s', (name, _stream, of, alone, besideRemade) => {
    expect(sentTo(name, published(of))).toEqual(alone);
    expect(sentTo(name, [...published(of), ...MADE])).toEqual(besideRemade);
  });
});
