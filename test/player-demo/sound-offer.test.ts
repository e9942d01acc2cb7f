import { describe, expect, it } from 'vitest';
import { askForFullSound } from '../../player-demo/src/sound-offer.ts';
import { parseOffer, type OfferCodec } from '../../plugin/media/offer.ts';
import { RECORDED_OFFERS, type Recorded } from '../vectors/sdp/offers.ts';

const opusOf = (sdp: string): OfferCodec | undefined =>
  parseOffer(sdp)
    .media.flatMap(({ codecs }) => codecs)
    .find(({ name }) => name.toLowerCase() === 'opus');

describe('the sound that the player asks for', () => {
  it.each<Recorded>(['Chromium 156', 'Safari-like'])(
    'is stereo and sent again where it was lost (%s)',
    (name) => {
      const before = RECORDED_OFFERS[name];
      const after = askForFullSound(before);
      expect(opusOf(after)?.parameters.get('stereo')).toBe('1');
      expect(opusOf(after)?.parameters.get('useinbandfec')).toBe('1');
      expect(opusOf(after)?.rtcpFeedback).toContainEqual({ type: 'nack', parameter: '' });
      const added = after.split('\r\n').filter((line) => !before.includes(line));
      expect(added).toEqual(['a=rtcp-fb:111 nack', 'a=fmtp:111 minptime=10;useinbandfec=1;stereo=1']);
      expect(after.split('\r\n')).toHaveLength(before.split('\r\n').length + 1);
    },
  );

  it('is left to an offer that says how many channels it wants', () => {
    const sdp = RECORDED_OFFERS['Firefox 153 without OpenH264'];
    expect(askForFullSound(sdp)).toBe(sdp);
    const mono = RECORDED_OFFERS['Chromium 156'].replace('useinbandfec=1', 'useinbandfec=1;stereo=0');
    expect(askForFullSound(mono)).toBe(mono);
  });

  it('is asked for once', () => {
    const once = askForFullSound(RECORDED_OFFERS['Chromium 156']);
    expect(askForFullSound(once)).toBe(once);
  });

  it('is nothing without Opus', () => {
    const sdp = RECORDED_OFFERS['Chromium 156'].replace('opus/48000/2', 'L16/48000/2');
    expect(askForFullSound(sdp)).toBe(sdp);
  });
});
