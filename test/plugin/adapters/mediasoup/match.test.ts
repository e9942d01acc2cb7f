import { describe, expect, it } from 'vitest';
import { CANONICAL, profileOf } from '../../../../plugin/adapters/mediasoup/h264.ts';
import { formOf } from '../../../../plugin/adapters/mediasoup/codecs.ts';
import { matchOffer, type Rendition, type Tracks } from '../../../../plugin/adapters/mediasoup/match.ts';
import { Denial } from '../../../../plugin/errors.ts';
import { parseOffer } from '../../../../plugin/media/offer.ts';
import type { VideoCodec } from '../../../../plugin/ports.ts';
import { OFFERS } from '../../media/offers/index.ts';

describe('the profile of a profile-level-id (RFC 6184 table 5)', () => {
  it.each([
    ['42c01e', 'constrained-baseline'],
    ['42e01f', 'constrained-baseline'],
    ['42E034', 'constrained-baseline'],
    ['42f00b', 'constrained-baseline'],
    ['4d801f', 'constrained-baseline'],
    ['42001f', 'baseline'],
    ['42801f', 'baseline'],
    ['4d001f', 'main'],
    ['4d4028', 'main'],
    ['64001f', 'high'],
    ['640028', 'high'],
    ['640c1f', 'constrained-high'],
    ['f4001f', 'high-444'],
    ['6e001f', undefined],
    ['42e0', undefined],
    ['42e01f00', undefined],
    ['zzzzzz', undefined],
    ['', undefined],
  ])('%s is %s', (id, profile) => {
    expect(profileOf(id)).toBe(profile);
  });

  it.each(Object.entries(CANONICAL))('%s has a spelling of its own', (profile, id) => {
    expect(profileOf(id)).toBe(profile);
  });
});

const rendition = (codec: VideoCodec, onDemand = false): Rendition => ({ form: formOf(codec)!, onDemand });
const h264 = (profileLevelId: string, onDemand = false): Rendition =>
  rendition({ name: 'H264', profileLevelId }, onDemand);
const REENCODED = [h264('42e01f', true), rendition({ name: 'VP8' }, true)];

const video = (profileLevelId: string, hasAudio = true): Tracks => ({
  video: [h264(profileLevelId)],
  videoRefusal: null,
  hasAudio,
});
const SOUND: Tracks = { video: [], videoRefusal: null, hasAudio: true };

describe('matching an offer', () => {
  it.each([
    ['constrained baseline', 'chromium', '42c01e', 108, 111],
    ['baseline', 'chromium', '42001e', 102, 111],
    ['main', 'chromium', '4d401f', 116, 111],
    ['high, shown by High 4:4:4 Predictive', 'chromium', '640028', 41, 111],
    ['constrained baseline', 'firefoxLike', '42e01f', 126, 109],
    ['constrained baseline', 'safariLike', '42c01e', 98, 111],
    ['constrained high', 'safariLike', '640c28', 96, 111],
  ] as const)('%s is sent to %s (%s) as %i, sound as %i', (_name, offer, id, videoType, audioType) => {
    const match = matchOffer(parseOffer(OFFERS[offer]), video(id));
    expect(match.video?.codec.payloadType).toBe(videoType);
    expect(match.video?.codec.parameters.get('packetization-mode')).toBe('1');
    expect(match.audio?.codec.payloadType).toBe(audioType);
    expect(match.profile).toEqual({
      video: { form: expect.objectContaining({ key: `h264/${profileOf(id)}` }), payloadType: videoType },
      audio: { payloadType: audioType },
    });
  });

  it('sends no sound of a silent stream, on the same router', () => {
    const offer = parseOffer(OFFERS.chromium);
    const tracks = video('42c01e');
    const silent = matchOffer(offer, { ...tracks, hasAudio: false });
    expect(silent.audio).toBeUndefined();
    expect(silent.profile).toEqual(matchOffer(offer, tracks).profile);
  });

  it('sends only sound of a stream without pictures', () => {
    const match = matchOffer(parseOffer(OFFERS.chromium), SOUND);
    expect(match.video).toBeUndefined();
    expect(match.audio?.codec.payloadType).toBe(111);
  });

  const only = (kind: 'audio' | 'video'): string =>
    OFFERS.chromium
      .replace('BUNDLE 0 1', `BUNDLE ${kind === 'video' ? 0 : 1}`)
      .replace(kind === 'video' ? /m=audio[^]*$/ : /m=video[^]*(?=m=audio)/, '');

  it.each([
    [
      'High to a browser without it',
      OFFERS.firefoxLike,
      video('640028'),
      'no H.264 profile 6400 in the offer',
    ],
    [
      'plain High to constrained High',
      OFFERS.safariLike,
      video('640028'),
      'no H.264 profile 6400 in the offer',
    ],
    [
      'baseline to constrained baseline',
      OFFERS.firefoxLike,
      video('42001e'),
      'no H.264 profile 4200 in the offer',
    ],
    ['pictures to who wants sound', only('audio'), video('42c01e', false), 'the stream has only video'],
    ['sound to who wants pictures', only('video'), SOUND, 'the stream has only audio'],
    [
      'sound without Opus',
      OFFERS.chromium.replace('opus/48000/2', 'opus/48000'),
      video('42c01e'),
      'no Opus in the offer',
    ],
    [
      'H.264 with packetization-mode 0 only',
      OFFERS.chromium.replaceAll('packetization-mode=1', 'packetization-mode=0'),
      video('42c01e'),
      'no H.264 profile 42c0 in the offer',
    ],
  ])('refuses %s, saying what is missing', (_name, sdp, tracks, detail) => {
    try {
      matchOffer(parseOffer(sdp), tracks);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(Denial);
      expect(error).toMatchObject({ code: 'offer_unsupported', detail });
    }
  });

  const withoutH264 = OFFERS.chromium.replaceAll(' H264/90000', ' H263/90000');

  it.each<[string, string, readonly Rendition[], string, number]>([
    [
      'what is published before what is made anew',
      OFFERS.chromium,
      [...REENCODED, h264('640028')],
      'h264/high',
      41,
    ],
    [
      'constrained baseline where the profile is not offered',
      OFFERS.firefoxLike,
      [h264('640028'), ...REENCODED],
      'h264/constrained-baseline',
      126,
    ],
    ['VP8 where no H.264 is offered', withoutH264, [h264('640028'), ...REENCODED], 'vp8', 96],
    ['VP9 by its profile', OFFERS.chromium, [rendition({ name: 'VP9', profileId: 2 })], 'vp9/2', 100],
    [
      'AV1 as it is published before what is made anew',
      OFFERS.chromium,
      [...REENCODED, rendition({ name: 'AV1', profile: 0 })],
      'av1/0',
      45,
    ],
    [
      'what is made anew where AV1 is not offered',
      OFFERS.firefoxLike,
      [rendition({ name: 'AV1', profile: 0 }), ...REENCODED],
      'h264/constrained-baseline',
      126,
    ],
    [
      'what is made anew where the profile of VP9 is not offered',
      OFFERS.chromium.replaceAll('profile-id=2', 'profile-id=0'),
      [rendition({ name: 'VP9', profileId: 2 }), ...REENCODED],
      'h264/constrained-baseline',
      108,
    ],
    ['AV1 by its profile', OFFERS.chromium, [rendition({ name: 'AV1', profile: 0 })], 'av1/0', 45],
    [
      'the first of two that it can take',
      OFFERS.chromium,
      [rendition({ name: 'VP8' }), h264('42e01f')],
      'vp8',
      96,
    ],
  ])('of several renditions it sends %s', (_name, sdp, renditions, key, payloadType) => {
    const match = matchOffer(parseOffer(sdp), { video: renditions, videoRefusal: null, hasAudio: true });
    expect([match.video?.rendition.form.key, match.video?.codec.payloadType]).toEqual([key, payloadType]);
    expect(renditions).toContain(match.video?.rendition);
  });

  it('names all that would do when it can take none of several', () => {
    const sdp = withoutH264.replaceAll(' VP8/90000', ' H263/90000');
    expect(() =>
      matchOffer(parseOffer(sdp), {
        video: [h264('640028'), ...REENCODED],
        videoRefusal: null,
        hasAudio: true,
      }),
    ).toThrow(
      expect.objectContaining({
        code: 'offer_unsupported',
        detail: 'no H.264 profile 6400 or H.264 profile 42e0 or VP8 in the offer',
      }),
    );
  });

  it('refuses video for the reason that its source gives, and sound alone not', () => {
    const tracks = { ...video('42c01e'), videoRefusal: 'the video has B-frames, and re-encoding is off' };
    expect(() => matchOffer(parseOffer(OFFERS.chromium), tracks)).toThrow(
      expect.objectContaining({ code: 'offer_unsupported', detail: tracks.videoRefusal }),
    );
    expect(matchOffer(parseOffer(only('audio')), tracks).audio?.codec.payloadType).toBe(111);
  });

  it('refuses one payload type for both codecs', () => {
    const sdp = OFFERS.chromium.replace('SAVPF 111 63', 'SAVPF 108 63').replaceAll(/:111 /g, ':108 ');
    expect(() => matchOffer(parseOffer(sdp), video('42c01e'))).toThrow(
      expect.objectContaining({ code: 'sdp_malformed' }),
    );
  });
});
