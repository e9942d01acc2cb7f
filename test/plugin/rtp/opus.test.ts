import { describe, expect, test } from 'vitest';
import {
  createOpusPacketizer,
  FormatError,
  opusPacketSamples,
  parseOpusHead,
} from '../../../plugin/rtp/index.ts';
import { readRtp, type RtpPacket } from './rtp-reader.ts';

describe('durations by the TOC byte (RFC 6716 section 3.1)', () => {
  test.each([
    ['SILK, 10 ms', [0 << 3], 480],
    ['SILK, 60 ms', [3 << 3], 2880],
    ['hybrid, 20 ms', [13 << 3], 960],
    ['CELT, 2.5 ms', [16 << 3], 120],
    ['CELT, 20 ms', [31 << 3], 960],
    ['two CELT frames of 20 ms', [(31 << 3) | 1], 1920],
    ['two CELT frames of different sizes', [(31 << 3) | 2], 1920],
    ['six CELT frames of 20 ms', [(31 << 3) | 3, 6], 5760],
  ])('%s', (_, bytes, samples) => {
    expect(opusPacketSamples(Buffer.from(bytes))).toBe(samples);
  });

  test.each([
    ['nothing', []],
    ['no frames', [(31 << 3) | 3, 0]],
    ['more than 120 ms', [(31 << 3) | 3, 7]],
    ['a missing frame count', [(31 << 3) | 3]],
    ['what no RTP packet carries', [31 << 3, ...Buffer.alloc(1276)]],
  ])('%s is no Opus packet', (_, bytes) => {
    expect(() => opusPacketSamples(Buffer.from(bytes))).toThrow(FormatError);
  });
});

test('OpusHead gives channels, streams and the pre-skip; anything else is refused', () => {
  const head = Buffer.from('4f707573486561640102380180bb0000000000', 'hex');
  expect(parseOpusHead(head)).toEqual({ channels: 2, preSkip: 312, streams: 1 });
  expect(() => parseOpusHead(head.subarray(0, 18))).toThrow(FormatError);
  expect(() => parseOpusHead(Buffer.from(head).fill(0xff, 8, 9))).toThrow(FormatError);
  expect(() => parseOpusHead(Buffer.alloc(19))).toThrow(FormatError);
});

test('each Opus packet is one RTP packet on a 48 kHz clock', () => {
  const packets: RtpPacket[] = [];
  const packetizer = createOpusPacketizer({
    ssrc: 7,
    payloadType: 97,
    firstSequence: 5,
    timestampOffset: 0xffff_fe00,
    send: (packet) => packets.push(readRtp(Buffer.from(packet))),
  });
  packetizer.send(Buffer.from([0xfc, 1, 2]), -312, true);
  packetizer.send(Buffer.from([0xfc, 3]), 648, false);
  expect(packets).toEqual([
    {
      marker: true,
      payloadType: 97,
      sequence: 5,
      timestamp: 0xffff_fe00 - 312,
      ssrc: 7,
      payload: Buffer.from([0xfc, 1, 2]),
    },
    {
      marker: false,
      payloadType: 97,
      sequence: 6,
      timestamp: 648 - 512,
      ssrc: 7,
      payload: Buffer.from([0xfc, 3]),
    },
  ]);
  expect(() => packetizer.send(Buffer.alloc(1300, 0xfc), 0, false)).toThrow(FormatError);
});
