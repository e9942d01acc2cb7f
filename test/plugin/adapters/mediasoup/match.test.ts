import { describe, expect, it } from 'vitest';
import { CANONICAL, profileOf } from '../../../../plugin/adapters/mediasoup/h264.ts';
import { matchOffer } from '../../../../plugin/adapters/mediasoup/match.ts';
import { Denial } from '../../../../plugin/errors.ts';
import { parseOffer } from '../../../../plugin/media/offer.ts';
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

const video = (profileLevelId: string, hasAudio = true): { profileLevelId: string; hasAudio: boolean } => ({
  profileLevelId,
  hasAudio,
});

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
      video: { h264: profileOf(id), payloadType: videoType },
      audio: { payloadType: audioType },
    });
  });

  it('sends no sound of a silent stream, on the same router', () => {
    const offer = parseOffer(OFFERS.chromium);
    const silent = matchOffer(offer, video('42c01e', false));
    expect(silent.audio).toBeUndefined();
    expect(silent.profile).toEqual(matchOffer(offer, video('42c01e')).profile);
  });

  it('sends only sound of a stream without pictures', () => {
    const match = matchOffer(parseOffer(OFFERS.chromium), { profileLevelId: undefined, hasAudio: true });
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
    [
      'sound to who wants pictures',
      only('video'),
      { profileLevelId: undefined, hasAudio: true },
      'the stream has only audio',
    ],
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

  it('refuses one payload type for both codecs', () => {
    const sdp = OFFERS.chromium.replace('SAVPF 111 63', 'SAVPF 108 63').replaceAll(/:111 /g, ':108 ');
    expect(() => matchOffer(parseOffer(sdp), video('42c01e'))).toThrow(
      expect.objectContaining({ code: 'sdp_malformed' }),
    );
  });
});
