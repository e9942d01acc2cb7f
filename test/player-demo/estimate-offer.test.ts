import { describe, expect, it } from 'vitest';
import { askForEstimates } from '../../player-demo/src/estimate-offer.ts';
import { RECORDED_OFFERS, type Recorded } from '../vectors/sdp/offers.ts';

const extensionsOf = (sdp: string): { id: string; uri: string }[] =>
  [...sdp.matchAll(/^a=extmap:(\d+)(?:\/\S+)? (\S+)\r$/gm)].map(([, id = '', uri = '']) => ({ id, uri }));
const withoutIds = (sdp: string): string => sdp.replace(/^a=extmap:\d+/gm, 'a=extmap:');

const NAMES = Object.keys(RECORDED_OFFERS) as Recorded[];

describe('the offer of a player', () => {
  it.each(NAMES)(
    'has what the bandwidth is estimated from under the ids that mediasoup knows (%s)',
    (name) => {
      const before = RECORDED_OFFERS[name];
      const after = askForEstimates(before);
      for (const { id, uri } of extensionsOf(after)) {
        if (uri.endsWith('/abs-send-time')) expect(id).toBe('4');
        if (uri.includes('transport-wide-cc')) expect(id).toBe('5');
      }
      // Nothing but ids has changed,
      expect(withoutIds(after)).toBe(withoutIds(before));
      // and extensions with different ids, or the same, have so still.
      const pairs = extensionsOf(before).map(({ id }, index) => [id, extensionsOf(after)[index]?.id]);
      const forward = new Map(pairs as [string, string][]);
      expect(pairs.every(([from = '', to]) => forward.get(from) === to)).toBe(true);
      expect(new Set(forward.values()).size).toBe(forward.size);
    },
  );

  it('is changed once, and only where there is something to change', () => {
    const once = askForEstimates(RECORDED_OFFERS['Chromium 156']);
    expect(once).not.toBe(RECORDED_OFFERS['Chromium 156']);
    expect(askForEstimates(once)).toBe(once);
    expect(askForEstimates('v=0\r\n')).toBe('v=0\r\n');
  });
});
