import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createSplice } from '../../../../plugin/adapters/mediasoup/splice.ts';

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
    const source = setUp().splice.next();
    const packet = source.rtp(rtp({ sequence: 65_535, timestamp: 0xffff_fff0, marker: true }));
    expect(read(packet)).toEqual({ sequence: 65_535, timestamp: 0xffff_fff0 });
    expect(packet?.readUInt8(0)).toBe(0x81);
    expect(packet?.readUInt8(1)).toBe(0x80 | 96);
    expect(packet?.readUInt32BE(8)).toBe(0xdecade);
    expect(packet?.subarray(16).toString()).toBe('media');
  });

  it('follows the one before: the next number, and the time that has passed', () => {
    const { clock, splice } = setUp();
    splice.next().rtp(rtp({ sequence: 65_535, timestamp: 0xffff_ff00 }));
    clock.nowMs = 2000;
    const source = splice.next();
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
    const first = splice.next();
    for (const sequence of [10, 12, 11]) first.rtp(rtp({ sequence, timestamp: sequence }));
    expect(read(splice.next().rtp(rtp({ sequence: 500, timestamp: 0 })))).toMatchObject({ sequence: 13 });
  });

  it('gives nothing that lies before its first packet, where the numbers are taken', () => {
    const { splice } = setUp();
    const source = splice.next();
    source.rtp(rtp({ sequence: 1, timestamp: 0 }));
    expect(source.rtp(rtp({ sequence: 0xffff, timestamp: 0 }))).toBeUndefined();
    expect(source.rtp(rtp({ sequence: 2, timestamp: 0 }))).toBeDefined();
  });

  it('goes round the numbers any number of times, whatever is lost on the way', () => {
    const source = setUp().splice.next();
    let dropped = 0;
    for (let sent = 0; sent < 300_000; sent += 1 + (sent % 3)) {
      if (source.rtp(rtp({ sequence: sent, timestamp: sent })) === undefined) dropped += 1;
    }
    expect(dropped).toBe(0);
  });

  it('has no packets shorter than a header', () => {
    expect(setUp().splice.next().rtp(Buffer.alloc(11))).toBeUndefined();
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
        const next = splice.next();
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

describe('the progress', () => {
  it('is that of the newest picture, from its first packet on, whoever made it', () => {
    const { clock, splice } = setUp();
    expect(splice.progress()).toBeUndefined();
    splice.next().rtp(rtp({ sequence: 1, timestamp: 1000 }));
    clock.nowMs = 10;
    const source = splice.next();
    source.rtp(rtp({ sequence: 1, timestamp: 5000 }));
    clock.nowMs = 12;
    source.rtp(rtp({ sequence: 2, timestamp: 5000 }));
    // 1000 + 10 ms of 90 kHz stands for 5000.
    expect(splice.progress()).toEqual({ rtpTimestamp: 1900, atMs: 10, packets: 3, octets: 27, pictures: 2 });
  });
});
