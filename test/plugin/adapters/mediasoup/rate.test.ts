import { expect, it } from 'vitest';
import { createRtpRateMeter } from '../../../../plugin/adapters/mediasoup/rate.ts';

const progress = (octets: number, pictures: number) => ({
  octets,
  pictures,
  rtpTimestamp: 0,
  atMs: 0,
  packets: 0,
});

it('measures from one reading to the next, and nothing before the second', () => {
  const meter = createRtpRateMeter();
  meter.note(undefined, 1000);
  expect(meter.read()).toEqual({ bitsPerSecond: 0, picturesPerSecond: 0 });
  meter.note(progress(1000, 25), 2000);
  expect(meter.read()).toEqual({ bitsPerSecond: 8000, picturesPerSecond: 25 });
  meter.note(progress(4000, 75), 4000);
  expect(meter.read()).toEqual({ bitsPerSecond: 12_000, picturesPerSecond: 25 });
  meter.note(progress(4000, 75), 4000);
  meter.note(progress(4000, 75), 5000);
  expect(meter.read()).toEqual({ bitsPerSecond: 0, picturesPerSecond: 0 });
});

it('where pictures are not counted, keeps what was known of them, while there is something', () => {
  const meter = createRtpRateMeter();
  meter.note(progress(0, 0), 1000);
  meter.note(progress(1000, 25), 2000);
  meter.note({ octets: 3000 }, 3000);
  expect(meter.read()).toEqual({ bitsPerSecond: 16_000, picturesPerSecond: 25 });
  meter.note({ octets: 3000 }, 4000);
  expect(meter.read()).toEqual({ bitsPerSecond: 0, picturesPerSecond: 0 });
  meter.note({ octets: 4000 }, 5000);
  expect(meter.read()).toEqual({ bitsPerSecond: 8000, picturesPerSecond: 25 });
  meter.note(progress(5000, 35), 6000);
  expect(meter.read()).toEqual({ bitsPerSecond: 8000, picturesPerSecond: 10 });
});
