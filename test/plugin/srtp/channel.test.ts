import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  createFanOut,
  createSrtpReceiver,
  SRTP_SUITES,
  type OutletKey,
  type SrtpSuiteName,
} from '../../../plugin/srtp/index.ts';

const SUITES = Object.keys(SRTP_SUITES) as SrtpSuiteName[];
const PACKETS = 4000;
const NUMBERS = { ssrc: 0xdead_beef, sequence: 0x7fff, payloadType: 97, timestampOffset: 0x8000_0000 };

/** 0 to 1, the same in every run. */
function createChance(name: string): () => number {
  let count = 0;
  return () => createHash('sha256').update(`${name} ${count++}`).digest().readUInt32BE(0) / 2 ** 32;
}

/** Video at 90 kHz: frames of five packets, the last one marked, with an extension in every first one. */
function sourceOf(index: number): Buffer {
  const isFirst = index % 5 === 0;
  const header = Buffer.alloc(isFirst ? 20 : 12);
  header.writeUInt16BE((isFirst ? 0x9060 : 0x8060) | (index % 5 === 4 ? 0x80 : 0), 0);
  header.writeUInt16BE((65_000 + index) & 0xffff, 2);
  header.writeUInt32BE((Math.floor(index / 5) * 3000) >>> 0, 4);
  header.writeUInt32BE(1, 8);
  if (isFirst) header.set(Buffer.from('bede000110aa0000', 'hex'), 12);
  const payload = createHash('sha256').update(`payload ${index}`).digest();
  return Buffer.concat([header, ...Array.from({ length: 25 + (index % 9) }, () => payload)]);
}

/** What a receiver of a stream is sent. */
async function captureOf(key: OutletKey): Promise<Buffer[]> {
  const fanOut = await createFanOut({ address: '127.0.0.1' });
  try {
    const stream = fanOut.openStream();
    const wire: Buffer[] = [];
    stream.add({ ...key, ...NUMBERS, to: (packet) => wire.push(Buffer.from(packet)) > 0 });
    for (let index = 0; index < PACKETS; index++) stream.send(sourceOf(index));
    return wire;
  } finally {
    await fanOut.close();
  }
}

function newKey(suite: SrtpSuiteName): OutletKey {
  const { keyBytes, saltBytes } = SRTP_SUITES[suite];
  return { suite, master: { key: randomBytes(keyBytes), salt: randomBytes(saltBytes) } };
}

/** Flips each bit with a chance of 1 in 100,000; the errors' places are drawn, not the bits. */
function withBitErrors(packet: Buffer, chance: () => number): { packet: Buffer; errors: number } {
  const noisy = Buffer.from(packet);
  let errors = 0;
  const gap = (): number => Math.floor(Math.log(1 - chance()) / Math.log(1 - 1e-5));
  for (let bit = gap(); bit < noisy.length * 8; bit += 1 + gap()) {
    noisy[bit >> 3]! ^= 0x80 >> (bit & 7);
    errors += 1;
  }
  return { packet: noisy, errors };
}

/** Every field of an RTP header (RFC 3550 section 5.1), by a reader that has no keys and knows nothing of SRTP. */
function readHeader(packet: Buffer) {
  const [first = 0, second = 0] = packet;
  const csrcs = first & 0x0f;
  const hasExtension = (first & 0x10) !== 0;
  const at = 12 + csrcs * 4;
  return {
    version: first >> 6,
    hasPadding: (first & 0x20) !== 0,
    csrcs,
    isMarked: (second & 0x80) !== 0,
    payloadType: second & 0x7f,
    sequence: packet.readUInt16BE(2),
    timestamp: packet.readUInt32BE(4),
    ssrc: packet.readUInt32BE(8),
    extension: hasExtension
      ? packet.toString('hex', at, at + 4 + packet.readUInt16BE(at + 2) * 4)
      : undefined,
  };
}

describe.each(SUITES)('%s over a channel', (suite) => {
  it('with 5% loss, bit errors of 1 in 100,000 and packets out of order opens all that came whole', async () => {
    const key = newKey(suite);
    const chance = createChance('channel');
    const receiver = createSrtpReceiver(key);
    const sent = await captureOf(key);
    const arriving = sent
      .map((packet, index) => ({ packet, index, delay: index + (chance() < 0.1 ? 20 * chance() : 0) }))
      .toSorted((a, b) => a.delay - b.delay);
    let [lost, damaged, opened] = [0, 0, 0];
    for (const { packet, index } of arriving) {
      if (index > 0 && chance() < 0.05) {
        lost += 1;
        continue;
      }
      // The first one shows the receiver where the stream is.
      const noisy = index === 0 ? { packet: Buffer.from(packet), errors: 0 } : withBitErrors(packet, chance);
      const clear = receiver.unprotectRtp(noisy.packet);
      if (noisy.errors > 0) {
        damaged += 1;
        expect(typeof clear).toBe('string');
        continue;
      }
      opened += 1;
      expect(Buffer.isBuffer(clear) && clear.subarray(-32)).toEqual(sourceOf(index).subarray(-32));
    }
    expect(opened + damaged + lost).toBe(PACKETS);
    expect(lost / PACKETS).toBeGreaterThan(0.03);
    // About 7,400 bits in a packet.
    expect(damaged / (PACKETS - lost)).toBeGreaterThan(0.04);
    expect(damaged / (PACKETS - lost)).toBeLessThan(0.12);
  });

  it('headers stay clear, and change from packet to packet as those of plain RTP do', async () => {
    const headers = (await captureOf(newKey(suite))).map(readHeader);
    for (const [index, header] of headers.entries()) {
      const plain = readHeader(sourceOf(index));
      expect(header).toEqual({
        ...plain,
        payloadType: NUMBERS.payloadType,
        ssrc: NUMBERS.ssrc,
        sequence: (NUMBERS.sequence + index) & 0xffff,
        timestamp: (plain.timestamp + NUMBERS.timestampOffset) >>> 0,
      });
    }
    // What header compression stands on (RFC 3095 section 4.1): what is static, and what goes up by the same.
    expect(
      new Set(headers.map(({ ssrc, payloadType, version }) => `${ssrc} ${payloadType} ${version}`)).size,
    ).toBe(1);
    const steps = headers.slice(1).map(({ sequence, timestamp }, index) => {
      const before = headers[index]!;
      return `${(sequence - before.sequence) & 0xffff} ${(timestamp - before.timestamp) >>> 0}`;
    });
    expect(new Set(steps)).toEqual(new Set(['1 0', '1 3000']));
  });
});
