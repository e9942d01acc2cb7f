import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  AV1_MAX_PAYLOAD_BYTES,
  av1ProfileOf,
  createAv1Packetizer,
  FormatError,
  parseAv1Config,
  readObus,
} from '../../../plugin/rtp/index.ts';
import { readRtp, type RtpPacket } from './rtp-reader.ts';

const SEQUENCE_HEADER = 1;
const TEMPORAL_DELIMITER = 2;
const FRAME = 6;
const TILE_LIST = 8;
const PADDING = 15;

interface Obu {
  readonly type: number;
  readonly extension: number | undefined;
  readonly payload: Buffer;
}

function leb128(value: number): Buffer {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) | 0x80);
  }
}

/** As encoders write it: with its size. */
function writeObu({ type, extension, payload }: Obu, { sized = true } = {}): Buffer {
  const head = (type << 3) | (extension === undefined ? 0 : 4) | (sized ? 2 : 0);
  return Buffer.concat([
    Buffer.from(extension === undefined ? [head] : [head, extension]),
    sized ? leb128(payload.length) : Buffer.alloc(0),
    payload,
  ]);
}

const obu = (type: number, ...payload: number[]): Buffer =>
  writeObu({ type, extension: undefined, payload: Buffer.from(payload) });

interface TemporalUnit {
  readonly obus: Buffer[];
  readonly startsSequence: boolean;
}

/** An independent reader of section 4 of the format: the units as they were, without sizes. */
function depacketize(packets: readonly RtpPacket[]): TemporalUnit[] {
  const units: TemporalUnit[] = [];
  let obus: Buffer[] = [];
  let open: Buffer | undefined;
  let startsSequence: boolean | undefined;
  for (const { payload, marker } of packets) {
    const [head = 0] = payload;
    expect(head & 0x37).toBe(0); // W = 0, reserved bits
    expect((head & 0x80) !== 0).toBe(open !== undefined);
    startsSequence ??= (head & 0x08) !== 0;
    let at = 1;
    let goesOn = (head & 0x80) !== 0;
    while (at < payload.length) {
      let size = 0;
      for (let index = 0; ; index++) {
        const byte = payload[at++]!;
        size += (byte & 0x7f) * 128 ** index;
        if (byte < 0x80) break;
      }
      expect(size).toBeGreaterThan(0);
      expect(at + size).toBeLessThanOrEqual(payload.length);
      const part = payload.subarray(at, at + size);
      if (!goesOn && open !== undefined) obus.push(open);
      open = goesOn && open !== undefined ? Buffer.concat([open, part]) : part;
      goesOn = false;
      at += size;
    }
    if ((head & 0x40) === 0) {
      if (open !== undefined) obus.push(open);
      open = undefined;
    }
    if (!marker) continue;
    expect(open).toBeUndefined();
    units.push({ obus, startsSequence });
    obus = [];
    startsSequence = undefined;
  }
  expect(obus).toEqual([]);
  return units;
}

function createRecorder(maxPayloadBytes?: number) {
  const packets: RtpPacket[] = [];
  const packetizer = createAv1Packetizer({
    ssrc: 7,
    payloadType: 96,
    send: (packet) => packets.push(readRtp(Buffer.from(packet))),
    ...(maxPayloadBytes === undefined ? {} : { maxPayloadBytes }),
  });
  return { packets, packetizer };
}

/** Some larger than a packet, many small, all of them with or without an extension. */
const anyObu: fc.Arbitrary<Obu> = fc.record({
  type: fc.constantFrom(3, 4, 5, FRAME, 7),
  extension: fc.option(fc.integer({ min: 0, max: 255 }), { nil: undefined }),
  payload: fc
    .oneof(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ minLength: 100, maxLength: 4000 }))
    .map((bytes) => Buffer.from(bytes)),
});

describe('AV1 in RTP (AOM, section 4)', () => {
  test('puts each temporal unit together again from its packets', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(anyObu, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 8, max: AV1_MAX_PAYLOAD_BYTES }),
        fc.boolean(),
        (pictures, maxPayloadBytes, lastSized) => {
          const { packets, packetizer } = createRecorder(maxPayloadBytes);
          pictures.forEach((picture, index) => {
            const data = picture.map((each, at) =>
              writeObu(each, { sized: lastSized || at < picture.length - 1 }),
            );
            packetizer.send(readObus(Buffer.concat(data)), index * 40, false);
          });
          expect(depacketize(packets)).toEqual(
            pictures.map((picture) => ({
              obus: picture.map((each) => writeObu(each, { sized: false })),
              startsSequence: false,
            })),
          );
          expect(packets.every(({ payload }) => payload.length <= maxPayloadBytes)).toBe(true);
          const times = packets.filter(({ marker }) => marker).map(({ timestamp }) => timestamp);
          expect(times.map((time) => (time - times[0]!) | 0)).toEqual(
            pictures.map((_, index) => index * 3600),
          );
        },
      ),
    );
  });

  const header = obu(SEQUENCE_HEADER, 0, 1, 2);
  const otherHeader = obu(SEQUENCE_HEADER, 0, 9, 9);
  const frame = obu(FRAME, 0x10, 3);
  const bare = (...obus: Buffer[]): Buffer[] =>
    obus.map((each) => Buffer.concat([Buffer.from([each[0]! & ~2]), each.subarray(2)]));

  test('a keyframe starts a sequence, with the header of the configuration where it has none', () => {
    const { packets, packetizer } = createRecorder();
    packetizer.setSequenceHeader(header);
    packetizer.send([frame], 0, true);
    packetizer.send([frame], 40, false);
    expect(depacketize(packets)).toEqual([
      { obus: bare(header, frame), startsSequence: true },
      { obus: bare(frame), startsSequence: false },
    ]);
  });

  test('the header of a keyframe takes the place of that of the configuration', () => {
    const { packets, packetizer } = createRecorder();
    packetizer.setSequenceHeader(header);
    packetizer.send([otherHeader, frame], 0, true);
    packetizer.send([frame], 40, true);
    expect(depacketize(packets).map(({ obus }) => obus)).toEqual([
      bare(otherHeader, frame),
      bare(otherHeader, frame),
    ]);
  });

  test.each<[string, number, (header: Buffer) => Buffer[], number]>([
    ['of 1,024 bytes that a keyframe brought is kept', 1024, (each) => [each, frame], 2],
    ['of more is sent once', 1025, (each) => [each, frame], 1],
    ['of 1,024 bytes of the configuration is kept', 1024, () => [frame], 2],
    ['of more is never sent', 1025, () => [frame], 1],
  ])('a sequence header %s', (_name, bytes, first, count) => {
    const { packets, packetizer } = createRecorder();
    const large = obu(SEQUENCE_HEADER, ...Buffer.alloc(bytes - 3));
    expect(large).toHaveLength(bytes);
    packetizer.setSequenceHeader(large);
    packetizer.send(first(large), 0, true);
    packetizer.send([frame], 40, true);
    expect(depacketize(packets)[1]!.obus).toHaveLength(count);
  });

  test('only the first packet of a keyframe starts the sequence', () => {
    const { packets, packetizer } = createRecorder();
    packetizer.send([header, obu(FRAME, ...Buffer.alloc(3000, 1))], 0, true);
    expect(packets.map(({ payload }) => payload[0])).toEqual([0x48, 0xc0, 0x80]);
  });

  test('nothing is sent of a temporal unit without units', () => {
    const { packets, packetizer } = createRecorder();
    packetizer.setSequenceHeader(header);
    packetizer.send([], 0, true);
    expect(packets).toEqual([]);
  });
});

describe('a temporal unit', () => {
  test('loses its delimiter, tile lists and padding', () => {
    const kept = obu(FRAME, 1, 2, 3);
    const data = [obu(TEMPORAL_DELIMITER), kept, obu(TILE_LIST, 1), obu(PADDING, 0, 0)];
    expect(readObus(Buffer.concat(data))).toEqual([kept]);
  });

  test.each([
    ['the forbidden bit', 'b20100'],
    ['no room for the extension', '34'],
    ['no size', '32'],
    ['a size without end', '32ffffffffffffffff01'],
    ['a size beyond the end', '320400'],
    ['a huge size', '32ffffffffffffff7f00'],
  ])('with %s is refused', (_name, hex) => {
    expect(() => readObus(Buffer.from(hex, 'hex'))).toThrow(FormatError);
  });

  test('of more units than any encoder makes is refused', () => {
    expect(readObus(Buffer.concat(Array.from({ length: 1000 }, () => obu(FRAME))))).toHaveLength(1000);
    expect(() => readObus(Buffer.concat(Array.from({ length: 1001 }, () => obu(FRAME))))).toThrow(
      FormatError,
    );
  });

  test('of any bytes is refused or sent within bounds', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), fc.boolean(), (bytes, keyframe) => {
        const data = Buffer.from(bytes);
        const { packets, packetizer } = createRecorder();
        let obus: Buffer[];
        try {
          obus = readObus(data);
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
          return;
        }
        packetizer.send(obus, 0, keyframe);
        expect(depacketize(packets)).toHaveLength(obus.length === 0 ? 0 : 1);
        expect(packets.every(({ payload }) => payload.length <= AV1_MAX_PAYLOAD_BYTES)).toBe(true);
      }),
    );
  });
});

describe('the profile', () => {
  test.each([0, 1, 2])('%i is read from the record and from a sequence header', (profile) => {
    const header = obu(SEQUENCE_HEADER, (profile << 5) | 0x0a);
    const record = Buffer.concat([Buffer.from([0x81, (profile << 5) | 8, 0x0c, 0]), header]);
    expect(parseAv1Config(record)).toEqual({ profile, sequenceHeader: header });
    expect(parseAv1Config(record.subarray(0, 4))).toEqual({ profile, sequenceHeader: undefined });
    expect(av1ProfileOf([obu(FRAME, 1), header])).toBe(profile);
  });

  test('is not known without a sequence header', () => {
    expect(av1ProfileOf([obu(FRAME, 0xff)])).toBeUndefined();
  });

  test.each([
    ['a record that is cut off', () => parseAv1Config(Buffer.from('810000', 'hex'))],
    ['a reserved profile in the record', () => parseAv1Config(Buffer.from('81600c00', 'hex'))],
    ['a reserved profile in the header', () => av1ProfileOf([obu(SEQUENCE_HEADER, 0xe0)])],
    ['a torn unit in the record', () => parseAv1Config(Buffer.from('81000c000a04', 'hex'))],
  ])('%s is refused', (_name, read) => {
    expect(read).toThrow(FormatError);
  });
});
