/** What our packetizers send is what comes out, whole pictures only. */
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import {
  createDepacketizer,
  createH264Packetizer,
  createReorderBuffer,
  createVp8Packetizer,
  createVp9Packetizer,
  type ReceivedPicture,
} from '../../../plugin/rtp/index.ts';

function read(codec: 'H264' | 'VP8' | 'VP9', packets: readonly Buffer[]): ReceivedPicture[] {
  const depacketizer = createDepacketizer(codec);
  return packets.map((packet) => depacketizer.push(packet)).filter((picture) => picture !== undefined);
}

const nal = (type: number, bytes: number): Buffer =>
  Buffer.concat([Buffer.from([0x60 | type]), Buffer.alloc(bytes, type)]);

/** Two pictures, the first a keyframe of several packets. */
function h264(): { packets: Buffer[]; pictures: Buffer[][] } {
  const packets: Buffer[] = [];
  const send = (packet: Buffer): void => void packets.push(Buffer.from(packet));
  const packetizer = createH264Packetizer({ ssrc: 1, payloadType: 96, firstSequence: 65_534, send });
  const pictures = [[nal(7, 10), nal(8, 4), nal(5, 5000)], [nal(1, 3000), nal(1, 20)], [nal(1, 30)]];
  for (const [index, nals] of pictures.entries()) packetizer.send(nals, index * 40, index === 0);
  return { packets, pictures };
}

describe('H.264', () => {
  it('NAL units come out as they went in', () => {
    const { packets, pictures } = h264();
    const read_ = read('H264', packets);
    expect(read_.map(({ data }) => data)).toEqual(pictures);
    expect(read_.map(({ keyframe }) => keyframe)).toEqual([true, false, false]);
    expect(((read_[1]?.timestamp ?? 0) - (read_[0]?.timestamp ?? 0)) >>> 0).toBe(3600);
  });

  it('of pictures that lack a packet none comes out, and the others do', () => {
    const { packets, pictures } = h264();
    // What comes first is where a stream begins, as far as anybody can know.
    for (const lost of [...packets.keys()].slice(1)) {
      const whole = read('H264', packets.toSpliced(lost, 1)).map(({ data }) => data);
      // A lost end takes the next picture along: its beginning may be what is missing.
      expect(pictures).toEqual(expect.arrayContaining(whole));
      expect(whole.length).toBeGreaterThanOrEqual(lost === packets.length - 1 ? 2 : 1);
    }
  });

  it('aggregates are taken apart (RFC 6184 section 5.7.1); cut ones are left out', () => {
    const header = Buffer.from('80e0000100000000' + '00000001', 'hex');
    const payload = Buffer.from('78' + '0003' + '670102' + '0002' + '6801' + '0002' + '6502', 'hex');
    const [picture] = read('H264', [Buffer.concat([header, payload])]);
    expect(picture).toMatchObject({ keyframe: true });
    expect(picture?.data.map((unit) => unit.toString('hex'))).toEqual(['670102', '6801', '6502']);
    expect(read('H264', [Buffer.concat([header, payload.subarray(0, -1)])])).toEqual([]);
  });
});

interface FramePacketizer {
  send(frame: Buffer, presentationMs: number, keyframe: boolean): void;
}
type CreatePacketizer = (options: {
  ssrc: number;
  payloadType: number;
  send: (packet: Buffer) => void;
}) => FramePacketizer;

test.each<['VP8' | 'VP9', CreatePacketizer, number[]]>([
  ['VP8', createVp8Packetizer, [0x10, 0x11]],
  ['VP9', createVp9Packetizer, [0x82, 0x86]],
])('%s: frames come out as they went in', (codec, create, firsts) => {
  const packets: Buffer[] = [];
  const send = (packet: Buffer): void => void packets.push(Buffer.from(packet));
  const packetizer = create({ ssrc: 1, payloadType: 96, send });
  const frames = firsts.map((first) => Buffer.concat([Buffer.from([first]), Buffer.alloc(3000, first)]));
  for (const [index, frame] of frames.entries()) packetizer.send(frame, index * 40, index === 0);
  const pictures = read(codec, packets);
  expect(pictures.map(({ data }) => data)).toEqual(frames.map((frame) => [frame]));
  expect(pictures.map(({ keyframe }) => keyframe)).toEqual([true, false]);
});

it('whatever comes, nothing is thrown', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('H264' as const, 'VP8' as const, 'VP9' as const),
      fc.array(fc.uint8Array({ minLength: 12, maxLength: 60 }), { maxLength: 20 }),
      (codec, packets) => void read(codec, packets.map(Buffer.from)),
    ),
  );
});

describe('a reorder buffer', () => {
  const packet = (sequence: number): Buffer => {
    const bytes = Buffer.alloc(12);
    bytes.writeUInt16BE(sequence & 0xffff, 2);
    return bytes;
  };
  const numbers = (packets: readonly Buffer[]): number[] => packets.map((one) => one.readUInt16BE(2));

  it('gives packets in order, each once, whatever order they come in', () => {
    const order = fc.shuffledSubarray([...Array(40).keys()], { minLength: 40 });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 65_535 }), order, (start, shuffled) => {
        const buffer = createReorderBuffer();
        const came = [0, ...shuffled, ...shuffled].flatMap((at) => buffer.push(packet(start + at), 0));
        expect(numbers(came)).toEqual([...Array(40).keys()].map((at) => (start + at) & 0xffff));
        expect(buffer.lost()).toBe(0);
      }),
    );
  });

  it('gives a missing one up when others have waited, or are too many', () => {
    const patient = createReorderBuffer({ maxWaitMs: 100 });
    patient.push(packet(1), 0);
    expect(patient.push(packet(3), 0)).toEqual([]);
    expect(patient.push(packet(4), 100)).toEqual([]);
    expect(numbers(patient.push(packet(6), 101))).toEqual([3, 4]);
    expect([patient.lost(), patient.push(packet(2), 101)]).toEqual([1, []]);
    const small = createReorderBuffer({ maxPackets: 2 });
    small.push(packet(1), 0);
    for (const number of [3, 4]) expect(small.push(packet(number), 0)).toEqual([]);
    expect(numbers(small.push(packet(5), 0))).toEqual([3, 4, 5]);
  });
});

describe('what a sender piles up is given up, and the next picture comes out', () => {
  const packetOf = (sequence: number, timestamp: number, payload: Buffer, marker = false): Buffer => {
    const header = Buffer.from('8060000000000000' + '00000001', 'hex');
    if (marker) header[1] = 0xe0;
    header.writeUInt16BE(sequence & 0xffff, 2);
    header.writeUInt32BE(timestamp, 4);
    return Buffer.concat([header, payload]);
  };
  const aggregate = Buffer.concat([
    Buffer.from([0x78]),
    ...Array<Buffer>(400).fill(Buffer.from('000165', 'hex')),
  ]);
  test.each([
    ['packets', 'VP8', 40_000, Buffer.from('1000', 'hex')],
    ['units', 'H264', 20, aggregate],
  ] as const)('%s', (_what, codec, count, payload) => {
    const pile = Array.from({ length: count }, (_, index) =>
      packetOf(index, 1, payload, index === count - 1),
    );
    const next = packetOf(count, 2, payload.subarray(0, 4), true);
    expect(read(codec, [...pile, next]).map(({ timestamp }) => timestamp)).toEqual([2]);
  });
});
