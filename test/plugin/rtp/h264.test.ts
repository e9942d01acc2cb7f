import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createH264Packetizer, H264_MAX_PAYLOAD_BYTES } from '../../../plugin/rtp/index.ts';
import { depacketizeH264, readRtp, type RtpPacket } from './rtp-reader.ts';

const SPS = Buffer.from('6742c00bda0a0f', 'hex');
const PPS = Buffer.from('68ce3c80', 'hex');

function createRecorder(options: { firstSequence?: number; timestampOffset?: number } = {}) {
  const packets: RtpPacket[] = [];
  const packetizer = createH264Packetizer({
    ssrc: 0x1122_3344,
    payloadType: 96,
    ...options,
    send: (packet) => packets.push(readRtp(Buffer.from(packet))),
  });
  return { packets, packetizer };
}

function nal(type: number, size: number, fill = 0xab): Buffer {
  const unit = Buffer.alloc(size, fill);
  unit[0] = 0x60 | type;
  return unit;
}

describe('RFC 6184', () => {
  test('a NAL unit that fits is a packet by itself', () => {
    const { packets, packetizer } = createRecorder();
    packetizer.send([nal(1, H264_MAX_PAYLOAD_BYTES)], 0, false);
    expect(packets.map((packet) => [packet.payload.length, packet.marker])).toEqual([[1200, true]]);
  });

  test('one byte more is two fragments with start and end', () => {
    const { packets, packetizer } = createRecorder();
    const unit = nal(5, H264_MAX_PAYLOAD_BYTES + 1);
    packetizer.send([unit], 0, false);
    expect(packets.map(({ payload }) => payload.subarray(0, 2).toString('hex'))).toEqual(['7c85', '7c45']);
    expect(packets.map((packet) => packet.marker)).toEqual([false, true]);
    expect(depacketizeH264(packets)[0]!.nals).toEqual([unit]);
  });

  test('a keyframe starts with SPS and PPS, other pictures do not', () => {
    const { packets, packetizer } = createRecorder();
    packetizer.setParameterSets([PPS, SPS]);
    packetizer.send([nal(6, 20), nal(5, 100)], 0, true);
    packetizer.send([nal(1, 100)], 40, false);
    const types = depacketizeH264(packets).map(({ nals }) => nals.map((unit) => unit[0]! & 0x1f));
    expect(types).toEqual([[7, 8, 6, 5], [1]]);
  });

  test('parameter sets inside the keyframe take the place of those of the sequence header, once and in front', () => {
    const { packets, packetizer } = createRecorder();
    packetizer.setParameterSets([SPS, PPS]);
    const ownSps = nal(7, 9);
    packetizer.send([nal(9, 2), nal(6, 20), ownSps, nal(5, 100)], 0, true);
    expect(depacketizeH264(packets)[0]!.nals).toEqual([ownSps, PPS, nal(6, 20), nal(5, 100)]);
  });

  test('delimiters, filler and types that RTP uses for itself are left out, and the marker is on what is left', () => {
    const { packets, packetizer } = createRecorder();
    packetizer.send([nal(9, 2), nal(1, 50), nal(12, 500), nal(24, 50), nal(28, 50), nal(0, 5)], 0, false);
    expect(packets.map((packet) => [packet.payload[0]! & 0x1f, packet.marker])).toEqual([[1, true]]);
    packetizer.send([nal(9, 2)], 40, true);
    expect(packets).toHaveLength(1);
  });

  test('sequence numbers and timestamps wrap', () => {
    const { packets, packetizer } = createRecorder({ firstSequence: 0xffff, timestampOffset: 0xffff_ff00 });
    packetizer.send([nal(1, 10)], 0, false);
    packetizer.send([nal(1, 10)], 40, false);
    expect(packets.map(({ sequence, timestamp }) => [sequence, timestamp])).toEqual([
      [0xffff, 0xffff_ff00],
      [0, 3600 - 0x100],
    ]);
  });

  test('days later the 90 kHz clock is still exact', () => {
    const { packets, packetizer } = createRecorder({ timestampOffset: 0 });
    const fiftyDaysMs = 50 * 86_400_000;
    packetizer.send([nal(1, 10)], fiftyDaysMs, false);
    expect(packets[0]!.timestamp).toBe((fiftyDaysMs * 90) % 2 ** 32);
  });

  test('streams start at random sequence numbers and timestamps', () => {
    const starts = Array.from({ length: 20 }, () => {
      const { packets, packetizer } = createRecorder();
      packetizer.send([nal(1, 10)], 0, false);
      return packets[0]!;
    });
    expect(new Set(starts.map(({ sequence }) => sequence)).size).toBeGreaterThan(15);
    expect(new Set(starts.map(({ timestamp }) => timestamp)).size).toBeGreaterThan(15);
  });

  test('packets and octets are counted as sender reports want them', () => {
    const { packets, packetizer } = createRecorder();
    packetizer.send([nal(1, 3000), nal(1, 7)], 0, false);
    expect(packetizer.packets()).toBe(packets.length);
    expect(packetizer.octets()).toBe(packets.reduce((sum, { payload }) => sum + payload.length, 0));
  });
});

test('any access unit comes out of the packets as it went in', () => {
  const unit = fc
    .tuple(fc.constantFrom(1, 5, 6), fc.integer({ min: 1, max: 5000 }), fc.nat(255))
    .map(([type, size, fill]) => nal(type, size, fill));
  const maxPayload = fc.integer({ min: 40, max: 1500 });
  fc.assert(
    fc.property(
      fc.array(fc.array(unit, { minLength: 1, maxLength: 6 }), { maxLength: 4 }),
      maxPayload,
      (units, max) => {
        const packets: RtpPacket[] = [];
        const packetizer = createH264Packetizer({
          ssrc: 1,
          payloadType: 96,
          maxPayloadBytes: max,
          send: (packet) => packets.push(readRtp(Buffer.from(packet))),
        });
        units.forEach((nals, index) => packetizer.send(nals, index * 40, false));
        expect(depacketizeH264(packets).map(({ nals }) => nals)).toEqual(units);
        expect(packets.every(({ payload }) => payload.length <= max)).toBe(true);
      },
    ),
    { numRuns: 150 },
  );
});
