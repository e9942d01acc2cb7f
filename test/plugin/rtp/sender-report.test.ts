import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { buildSenderReport } from '../../../plugin/rtp/index.ts';
import { readSenderReport } from './rtp-reader.ts';

describe('RFC 3550 sections 6.4.1 and 6.5', () => {
  test('an SR with SDES, byte for byte', () => {
    const packet = buildSenderReport({
      ssrc: 0x0102_0304,
      ntpMs: 500,
      rtpTimestamp: 0xdead_beef,
      packets: 3,
      octets: 4000,
      cname: 'ab',
    });
    expect(packet.toString('hex')).toBe(
      ['80c80006', '01020304', '83aa7e80', '80000000', 'deadbeef', '00000003', '00000fa0'].join('') +
        ['81ca0003', '01020304', '01026162', '00000000'].join(''),
    );
  });

  test('whatever goes in is read back', () => {
    const word = fc.nat(2 ** 32 - 1);
    const report = fc.record({
      ssrc: word,
      ntpMs: fc.integer({ min: 0, max: 2_085_978_495_000 }),
      rtpTimestamp: word,
      packets: word,
      octets: word,
      cname: fc.stringMatching(/^[a-z0-9+/]{1,40}$/),
    });
    fc.assert(
      fc.property(report, (expected) => {
        const packet = buildSenderReport(expected);
        const { ntpMs, ...rest } = readSenderReport(packet);
        const { ntpMs: expectedNtpMs, ...expectedRest } = expected;
        expect(rest).toEqual(expectedRest);
        expect(Math.abs(ntpMs - expectedNtpMs)).toBeLessThan(0.01);
        expect(packet.length % 4).toBe(0);
        // The chunk ends with a zero byte at least (section 6.5).
        expect(packet.at(-1)).toBe(0);
      }),
    );
  });

  test.each([
    ['nothing', ''],
    ['256 bytes', 'x'.repeat(256)],
  ])('a CNAME of %s is a mistake of the caller', (_, cname) => {
    const report = { ssrc: 1, ntpMs: 0, rtpTimestamp: 0, packets: 0, octets: 0, cname };
    expect(() => buildSenderReport(report)).toThrow(TypeError);
  });
});
