import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createSplice } from '../../../../plugin/adapters/mediasoup/splice.ts';
import { buildSenderReport } from '../../../../plugin/rtp/index.ts';

const OWN = { ssrc: 0xdecade, payloadType: 96, clockRate: 90_000 };

interface Packet {
  readonly sequence: number;
  readonly timestamp: number;
  readonly marker?: boolean;
  readonly payload?: string;
}

/** With a payload type, an SSRC and a contributing source of its own. */
function rtp({ sequence, timestamp, marker = false, payload = 'media' }: Packet): Buffer {
  const header = Buffer.alloc(16);
  header[0] = 0x81;
  header[1] = (marker ? 0x80 : 0) | 101;
  header.writeUInt16BE(sequence & 0xffff, 2);
  header.writeUInt32BE(timestamp >>> 0, 4);
  header.writeUInt32BE(0x1234, 8);
  return Buffer.concat([header, Buffer.from(payload)]);
}

const read = (packet: Buffer | undefined) =>
  packet && { sequence: packet.readUInt16BE(2), timestamp: packet.readUInt32BE(4) };

function setUp() {
  const clock = { nowMs: 0 };
  return { clock, splice: createSplice({ ...OWN, nowMs: () => clock.nowMs }) };
}

describe('a source', () => {
  it('keeps numbers, times, marker and payload; SSRC and payload type become those of the stream', () => {
    const source = setUp().splice.next(0x1234);
    const packet = source.rtp(rtp({ sequence: 65_535, timestamp: 0xffff_fff0, marker: true }));
    expect(read(packet)).toEqual({ sequence: 65_535, timestamp: 0xffff_fff0 });
    expect(packet?.readUInt8(0)).toBe(0x81);
    expect(packet?.readUInt8(1)).toBe(0x80 | 96);
    expect(packet?.readUInt32BE(8)).toBe(0xdecade);
    expect(packet?.subarray(16).toString()).toBe('media');
  });

  it('follows the one before: the next number, and the time that has passed', () => {
    const { clock, splice } = setUp();
    splice.next(1).rtp(rtp({ sequence: 65_535, timestamp: 0xffff_ff00 }));
    clock.nowMs = 2000;
    const source = splice.next(2);
    expect(read(source.rtp(rtp({ sequence: 7, timestamp: 50 })))).toEqual({
      sequence: 0,
      timestamp: (0xffff_ff00 + 180_000) % 2 ** 32,
    });
    expect(read(source.rtp(rtp({ sequence: 9, timestamp: 3050 })))).toEqual({
      sequence: 2,
      timestamp: (0xffff_ff00 + 183_000) % 2 ** 32,
    });
  });

  it('goes on after its highest number, not its last', () => {
    const { splice } = setUp();
    const first = splice.next(1);
    for (const sequence of [10, 12, 11]) first.rtp(rtp({ sequence, timestamp: sequence }));
    expect(read(splice.next(2).rtp(rtp({ sequence: 500, timestamp: 0 })))).toMatchObject({ sequence: 13 });
  });

  it('gives nothing that lies before its first packet, where the numbers are taken', () => {
    const { splice } = setUp();
    const source = splice.next(1);
    source.rtp(rtp({ sequence: 1, timestamp: 0 }));
    expect(source.rtp(rtp({ sequence: 0xffff, timestamp: 0 }))).toBeUndefined();
    expect(source.rtp(rtp({ sequence: 2, timestamp: 0 }))).toBeDefined();
  });

  it('goes round the numbers any number of times, whatever is lost on the way', () => {
    const source = setUp().splice.next(1);
    let dropped = 0;
    for (let sent = 0; sent < 300_000; sent += 1 + (sent % 3)) {
      if (source.rtp(rtp({ sequence: sent, timestamp: sent })) === undefined) dropped += 1;
    }
    expect(dropped).toBe(0);
  });

  it('has no packets shorter than a header', () => {
    expect(setUp().splice.next(1).rtp(Buffer.alloc(11))).toBeUndefined();
  });
});

it('sources that follow each other never give a number or a time twice, and never go back', () => {
  const source = fc.record({
    sequence: fc.nat(0xffff),
    timestamp: fc.nat(0xffff_ffff),
    packets: fc.integer({ min: 1, max: 20 }),
    pauseMs: fc.nat(60_000),
  });
  fc.assert(
    fc.property(fc.array(source, { minLength: 2, maxLength: 6 }), (sources) => {
      const { clock, splice } = setUp();
      const out: { sequence: number; timestamp: number }[] = [];
      for (const { sequence, timestamp, packets, pauseMs } of sources) {
        clock.nowMs += pauseMs;
        const next = splice.next(1);
        for (let index = 0; index < packets; index++) {
          const packet = next.rtp(rtp({ sequence: sequence + index, timestamp: timestamp + index * 3000 }));
          const own = read(packet);
          if (own !== undefined) out.push(own);
        }
      }
      out.slice(1).forEach(({ sequence, timestamp }, index) => {
        expect((sequence - (out[index]?.sequence ?? 0)) & 0xffff).toBe(1);
        const ticks = (timestamp - (out[index]?.timestamp ?? 0)) >>> 0;
        expect(ticks).toBeGreaterThan(0);
        expect(ticks).toBeLessThan(2 ** 31);
      });
    }),
  );
});

describe('sender reports', () => {
  const report = (ssrc: number, rtpTimestamp: number): Buffer =>
    buildSenderReport({
      ssrc,
      ntpMs: 1_700_000_000_500,
      rtpTimestamp,
      packets: 3,
      octets: 30,
      cname: 'theirs',
    });

  it('speak of the stream, on its clock, and of nobody else', () => {
    const { clock, splice } = setUp();
    splice.next(1).rtp(rtp({ sequence: 1, timestamp: 1000 }));
    clock.nowMs = 10;
    const source = splice.next(0x1234);
    source.rtp(rtp({ sequence: 1, timestamp: 5000 }));
    const own = source.senderReport(report(0x1234, 5100));
    expect(own).toHaveLength(28);
    expect([own?.readUInt8(0), own?.readUInt8(1), own?.readUInt16BE(2)]).toEqual([0x80, 200, 6]);
    expect(own?.readUInt32BE(4)).toBe(0xdecade);
    expect(own?.subarray(8, 16)).toEqual(report(0x1234, 0).subarray(8, 16));
    // 1000 + 10 ms of 90 kHz stands for 5000.
    expect(own?.readUInt32BE(16)).toBe(2000);
    expect(source.senderReport(report(0x9999, 5100))).toBeUndefined();
  });

  it('wait for the first packet: before it nobody knows where their time is', () => {
    expect(setUp().splice.next(0x1234).senderReport(report(0x1234, 1))).toBeUndefined();
  });
});
