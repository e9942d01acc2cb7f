import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keyframeRequests } from '../../../../plugin/adapters/mediasoup/rtcp.ts';

/** One packet of a compound one: `words` 32-bit words after the header. */
function part(type: number, count: number, words: readonly number[]): Buffer {
  const packet = Buffer.alloc(4 + words.length * 4);
  packet[0] = 0x80 | count;
  packet[1] = type;
  packet.writeUInt16BE(words.length, 2);
  words.forEach((word, index) => packet.writeUInt32BE(word, 4 + index * 4));
  return packet;
}

const SENDER_REPORT = part(200, 0, [7, 1, 2, 3, 4, 5]);
const RECEIVER_REPORT = part(201, 0, [9]);

describe('requests for a keyframe', () => {
  it.each<[string, Buffer[], number[]]>([
    ['picture loss (RFC 4585 section 6.3.1)', [part(206, 1, [1, 42])], [42]],
    ['full intra request (RFC 5104 section 4.3.1), for two', [part(206, 4, [1, 0, 42, 0, 43, 0])], [42, 43]],
    ['behind others', [RECEIVER_REPORT, SENDER_REPORT, part(206, 1, [1, 42])], [42]],
    ['none: other feedback', [part(206, 15, [1, 42]), part(205, 1, [1, 42])], []],
    ['none: too short for whom it is about', [part(206, 1, [1]), part(206, 4, [1, 0, 42])], []],
    ['none: a length beyond the end', [part(206, 1, [1, 42]).subarray(0, 11)], []],
    ['none', [], []],
  ])('%s', (_name, parts, ssrcs) => {
    expect(keyframeRequests(Buffer.concat(parts))).toEqual(ssrcs);
  });
});

it('takes any bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(Array.isArray(keyframeRequests(Buffer.from(bytes)))).toBe(true);
    }),
  );
});
