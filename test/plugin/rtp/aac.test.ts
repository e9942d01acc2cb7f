/** AAC by RFC 3640, mode AAC-hbr: bytes as the RFC lays them out, and what goes in comes out. */
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import {
  AAC_MAX_PAYLOAD_BYTES,
  createAacDepacketizer,
  createAacPacketizer,
  FormatError,
  parseAacConfig,
  type ReceivedUnit,
} from '../../../plugin/rtp/index.ts';
import { readRtp } from './rtp-reader.ts';

interface Unit {
  readonly data: Buffer;
  readonly ticks: number;
}

function packetize(units: readonly Unit[]): Buffer[] {
  const packets: Buffer[] = [];
  const packetizer = createAacPacketizer({
    ...{ ssrc: 7, payloadType: 97, clockRate: 44_100, firstSequence: 65_534, timestampOffset: 0xffff_ff00 },
    send: (packet) => packets.push(Buffer.from(packet)),
  });
  for (const { data, ticks } of units) packetizer.send(data, ticks);
  return packets;
}

function depacketize(packets: readonly Buffer[], unitSamples = 1024): ReceivedUnit[] {
  const depacketizer = createAacDepacketizer(unitSamples);
  return packets.flatMap((packet) => depacketizer.push(packet));
}

describe('what is sent', () => {
  it('has one AU-header of 13 bits of size and 3 of index (sections 3.2.1 and 3.3.6)', () => {
    const [packet] = packetize([{ data: Buffer.from('21104001', 'hex'), ticks: 0x200 }]);
    expect(packet?.toString('hex')).toBe(
      // V=2; marker and 97; number; timestamp; SSRC; 16 bits of headers; size 4, index 0; the unit.
      '80' + 'e1' + 'fffe' + '00000100' + '00000007' + '0010' + '0020' + '21104001',
    );
  });

  it('is cut where it is too long: the size of the whole in each fragment, the last marked (section 3.2.3)', () => {
    const data = Buffer.from(Array.from({ length: 2400 }, (_, at) => at & 0xff));
    const packets = packetize([{ data, ticks: 0 }]).map(readRtp);
    expect(packets.map(({ payload }) => payload.subarray(0, 4).toString('hex'))).toEqual(
      packets.map(() => '0010' + (2400 << 3).toString(16)),
    );
    expect(packets.map(({ payload }) => payload.length)).toEqual([AAC_MAX_PAYLOAD_BYTES, 1200, 12]);
    expect(packets.map(({ marker }) => marker)).toEqual([false, false, true]);
    expect(new Set(packets.map(({ timestamp }) => timestamp)).size).toBe(1);
    expect(Buffer.concat(packets.map(({ payload }) => payload.subarray(4)))).toEqual(data);
  });

  test.each([0, 8192])('a unit of %i bytes is none', (bytes) => {
    expect(() => packetize([{ data: Buffer.alloc(bytes), ticks: 0 }])).toThrow(FormatError);
  });
});

const HEADER = '80e1000100000400' + '00000001';
const packetOf = (payload: string): Buffer => Buffer.from(HEADER + payload, 'hex');

describe('what is received', () => {
  it('may have several units in a packet, one unit apart each, or more by AU-Index-delta', () => {
    const units = depacketize([packetOf('0030' + '0008' + '0010' + '0009' + 'aa' + 'bbbc' + 'cc')], 960);
    expect(units.map(({ timestamp, data }) => [timestamp, data.toString('hex')])).toEqual([
      [0x400, 'aa'],
      [0x400 + 960, 'bbbc'],
      [0x400 + 3 * 960, 'cc'],
    ]);
  });

  test.each([
    ['nothing', ''],
    ['no headers', '0000aabb'],
    ['headers that are cut', '0020000aa'.slice(0, 8)],
    ['a header of other lengths', '000c0008aa'],
    ['a unit of no bytes', '00100000aa'],
  ])('%s is no unit', (_what, payload) => {
    expect(depacketize([packetOf(payload)])).toEqual([]);
  });

  it('of several units those that are there come out', () => {
    const units = depacketize([packetOf('0020' + '0008' + '0018' + 'aa' + 'bb')]);
    expect(units.map(({ data }) => data.toString('hex'))).toEqual(['aa']);
  });

  it('is without its padding (RFC 3550 section 5.1)', () => {
    const packet = packetOf('0010' + '0010' + 'aabb' + '000003');
    packet[0] = 0xa0;
    expect(depacketize([packet]).map(({ data }) => data.toString('hex'))).toEqual(['aabb']);
  });
});

const units = fc
  .array(fc.oneof(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 8191 })), {
    minLength: 1,
    maxLength: 8,
  })
  .map((sizes) =>
    sizes.map((bytes, index) => ({ data: Buffer.alloc(bytes, index + 1), ticks: index * 1024 })),
  );

/** Compared faster than a Buffer. */
const textOf = ({ data }: { readonly data: Buffer }): string => data.toString('latin1');

test('what goes in comes out, at its times', () => {
  fc.assert(
    fc.property(units, (sent) => {
      const received = depacketize(packetize(sent));
      expect(received.map(textOf)).toEqual(sent.map(textOf));
      expect(received.map(({ timestamp }) => timestamp)).toEqual(
        sent.map(({ ticks }) => (0xffff_ff00 + ticks) >>> 0),
      );
    }),
  );
});

test('without some packets, the units that have lost none come out, and no others', () => {
  fc.assert(
    fc.property(units, fc.infiniteStream(fc.boolean()), (sent, losses) => {
      const packets = packetize(sent);
      const kept = packets.filter(() => losses.next().value !== true);
      const isWhole = ({ ticks }: Unit): boolean =>
        packets
          .filter((packet) => packet.readUInt32BE(4) === (0xffff_ff00 + ticks) >>> 0)
          .every((packet) => kept.includes(packet));
      expect(depacketize(kept).map(textOf)).toEqual(sent.filter(isWhole).map(textOf));
    }),
  );
});

test('whatever comes, nothing is thrown', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 12, maxLength: 40 }), { maxLength: 6 }), (packets) => {
      depacketize(packets.map((packet) => Buffer.from(packet)));
    }),
  );
});

test.each([
  ['1210', 1024],
  ['1214', 960],
  // HE-AAC, said outright.
  ['2b920800', undefined],
])('the configuration %s has units of %s samples', (hex, unitSamples) => {
  expect(parseAacConfig(Buffer.from(hex, 'hex')).unitSamples).toBe(unitSamples);
});
