import { describe, expect, it } from 'vitest';
import { createLayerChoice } from '../../../../plugin/adapters/mediasoup/layer-choice.ts';
import {
  bestLayer,
  createExcessWatch,
  createLayerMeter,
  requireWithin,
  type Layer,
} from '../../../../plugin/adapters/mediasoup/layers.ts';
import { Denial } from '../../../../plugin/errors.ts';
import type { Tier } from '../../../../plugin/rights/index.ts';
import { rtpPacket, vp8Keyframe } from './vp8.ts';

const layer = (height: number | null, bitsPerSecond: number | null): Layer => ({ height, bitsPerSecond });
const THREE = [layer(180, 150_000), layer(360, 500_000), layer(720, 1_500_000)];

describe('the best layer', () => {
  it.each<[string, readonly Layer[], Tier, number | null, number]>([
    ['without limits is the highest', THREE, {}, null, 2],
    ['is not higher than allowed', THREE, { maxHeight: 480 }, null, 1],
    ['may be as high as allowed', THREE, { maxHeight: 360 }, null, 1],
    ['takes no more bits than allowed', THREE, { maxBitrate: 1_000_000 }, null, 1],
    ['keeps both limits', THREE, { maxHeight: 720, maxBitrate: 200_000 }, null, 0],
    ['is the lowest where none is within', THREE, { maxHeight: 90 }, null, 0],
    ['that is sent now may be a little above its rate', THREE, { maxBitrate: 1_400_000 }, 2, 2],
    ['that is not sent now may not', THREE, { maxBitrate: 1_400_000 }, 1, 1],
    ['that is sent now may not be far above its rate', THREE, { maxBitrate: 1_000_000 }, 2, 1],
    ['of which nothing is known is not limited', [layer(null, null)], { maxHeight: 90 }, null, 0],
    ['ignores a limit on sound', THREE, { audioBitrate: 6000 }, null, 2],
  ])('%s', (_name, layers, tier, current, expected) => {
    expect(bestLayer(layers, tier, current)).toBe(expected);
  });
});

describe('a stream within a tier', () => {
  const detailOf = (
    tier: Tier,
    video: readonly Layer[],
    audio: readonly Layer[] = [layer(null, 96_000)],
  ): string | undefined => {
    try {
      requireWithin({ video, audio }, tier);
      return undefined;
    } catch (error) {
      expect(error).toBeInstanceOf(Denial);
      expect(error).toMatchObject({ code: 'rights_insufficient' });
      return (error as Denial).detail?.split(':', 1)[0];
    }
  };

  it.each<[string, Tier, readonly Layer[], string | undefined]>([
    ['has a layer within it', { maxHeight: 180, maxBitrate: 200_000 }, THREE, undefined],
    ['has none that is so low', { maxHeight: 90 }, THREE, 'tier.maxHeight'],
    ['has none of so few bits', { maxBitrate: 100_000 }, THREE, 'tier.maxBitrate'],
    ['has one layer, and it is too high', { maxHeight: 480 }, [layer(1080, null)], 'tier.maxHeight'],
    ['has no video', { maxHeight: 480 }, [], undefined],
    ['is not known yet', { maxHeight: 480, maxBitrate: 1000 }, [layer(null, null)], undefined],
    ['has more sound', { audioBitrate: 64_000 }, THREE, 'tier.audioBitrate'],
    ['has about as much sound', { audioBitrate: 90_000 }, THREE, undefined],
  ])('%s', (_name, tier, video, detail) => {
    expect(detailOf(tier, video)).toBe(detail);
  });
});

describe('a stream that grows beyond a tier', () => {
  const tier: Tier = { maxBitrate: 1_000_000 };
  const clock = { ms: 0, monotonicMs: () => clock.ms };
  /** What is said after each second of such rates. */
  function watch(rates: readonly number[]): (string | undefined)[] {
    let rate = 0;
    const find = createExcessWatch(() => ({ video: [layer(null, rate)], audio: [] }), clock);
    return rates.map((next) => {
      rate = next;
      clock.ms += 1000;
      return find(tier)?.split(':', 1)[0];
    });
  }
  const [within, above] = [900_000, 1_200_000];

  it('is said so once that has lasted for five seconds', () => {
    expect(watch([within, above, above, above, above, above, above])).toEqual([
      ...Array<undefined>(6).fill(undefined),
      'tier.maxBitrate',
    ]);
  });

  it('is not by peaks, nor by what encoders miss their rate by', () => {
    expect(new Set(watch([above, above, above, above, above, within, above, above]))).toEqual(
      new Set([undefined]),
    );
    expect(new Set(watch(Array<number>(20).fill(1_100_000)))).toEqual(new Set([undefined]));
  });
});

describe('the meter of layers', () => {
  it('learns heights from keyframes and rates from one measurement to the next, by SSRC', () => {
    const meter = createLayerMeter([1, 2], 'VP8');
    expect(meter.layers()).toEqual([layer(null, null), layer(null, null)]);
    meter.measure(0);
    meter.take(rtpPacket(1, vp8Keyframe(180)));
    meter.take(rtpPacket(2, Buffer.concat([vp8Keyframe(360), Buffer.alloc(1000)])));
    meter.take(rtpPacket(3, vp8Keyframe(720)));
    meter.take(Buffer.alloc(4));
    meter.measure(1000);
    expect(meter.layers()).toEqual([layer(180, 23 * 8), layer(360, 1023 * 8)]);
    meter.measure(2000);
    expect(meter.layers()[1]).toEqual(layer(360, 1023 * 4));
    meter.take(rtpPacket(1, Buffer.from([0x00, 1])));
    expect(meter.layers()[0]?.height).toBe(180);
  });

  it('reads past CSRCs and header extensions', () => {
    const meter = createLayerMeter([7], 'VP8');
    const head = Buffer.alloc(12 + 4 + 4 + 4);
    head.writeUInt8(0x91, 0);
    head.writeUInt32BE(7, 8);
    head.writeUInt16BE(1, 18);
    meter.take(Buffer.concat([head, vp8Keyframe(240)]));
    expect(meter.layers()).toEqual([layer(240, null)]);
  });

  it('has one layer for each spatial layer, of which the best one has the rate', () => {
    const meter = createLayerMeter([1], 'VP9');
    meter.measure(0);
    const sizes = Buffer.from([0x02, 0x30, 1, 64, 0, 180, 2, 128, 1, 104]);
    meter.take(rtpPacket(1, sizes));
    meter.measure(1000);
    expect(meter.layers()).toEqual([layer(180, null), layer(360, 22 * 8)]);
  });

  it('where not all packets are taken, has the rate by what was counted, and heights until they are forgotten', () => {
    let counted = 0;
    const meter = createLayerMeter([7], 'VP8', () => counted);
    meter.take(rtpPacket(7, vp8Keyframe(240)));
    meter.measure(0);
    counted = 1000;
    meter.measure(1000);
    expect(meter.layers()).toEqual([layer(240, 8000)]);
    meter.forgetHeights();
    expect(meter.layers()).toEqual([layer(null, 8000)]);
  });

  it('says when a height is known, and that it is, but not of one that it has forgotten', async () => {
    const meter = createLayerMeter([7], 'VP8');
    meter.take(rtpPacket(7, vp8Keyframe(240)));
    await meter.untilHeight();
    meter.forgetHeights();
    const later: string[] = [];
    const known = meter.untilHeight().then(() => later.push('known'));
    await Promise.resolve();
    later.push('not yet');
    meter.take(rtpPacket(7, vp8Keyframe(360)));
    await known;
    expect(later).toEqual(['not yet', 'known']);
  });
});

describe('the choice of a viewer’s layer', () => {
  function choose(known: readonly Layer[], layers = known.length) {
    const set: number[] = [];
    const bits: number[] = [];
    const facts = { known };
    const choice = createLayerChoice({
      transport: { setMaxOutgoingBitrate: async (to) => void bits.push(to) },
      video: { closed: false, setPreferredLayers: async ({ spatialLayer }) => void set.push(spatialLayer) },
      layers,
      known: () => facts.known,
    });
    return { choice, set, bits, facts };
  }

  it('follows the tier down and up, and asks for nothing that is set already', async () => {
    const { choice, set, bits } = choose(THREE);
    await choice.limit({});
    await choice.limit({ maxHeight: 200, maxBitrate: 400_000 });
    await choice.limit({ maxHeight: 200, maxBitrate: 400_000 });
    await choice.limit({ maxHeight: 400 });
    await choice.limit({});
    expect(set).toEqual([0, 1, 2]);
    expect(bits).toEqual([910_000, 0]);
  });

  it('is the lower of the tier’s and the app’s', async () => {
    const { choice, set } = choose(THREE);
    await choice.limit({ maxHeight: 400 });
    await choice.limitLayer(0);
    await choice.limitLayer(2);
    await choice.limitLayer(null);
    await choice.limit({});
    expect(set).toEqual([1, 0, 1, 2]);
  });

  it('changes with what becomes known, and only where there is a limit', async () => {
    const { choice, set, facts } = choose([layer(null, null), layer(null, null), layer(null, null)]);
    choice.look();
    await choice.limit({ maxHeight: 400 });
    expect(set).toEqual([]);
    facts.known = THREE;
    choice.look();
    choice.look();
    expect(set).toEqual([1]);
  });

  it('waits with spatial layers until something is known of them', async () => {
    const { choice, set, facts } = choose([layer(null, null)], 3);
    await choice.limit({ maxHeight: 200 });
    expect(set).toEqual([]);
    facts.known = THREE;
    choice.look();
    expect(set).toEqual([0]);
  });

  it('is none where there is one layer', async () => {
    const { choice, set, bits } = choose([layer(1080, 4_000_000)]);
    await choice.limit({ maxHeight: 200, maxBitrate: 1000 });
    await choice.limitLayer(0);
    choice.look();
    expect([...set, ...bits]).toEqual([]);
  });
});
