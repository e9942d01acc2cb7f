import { createRequire } from 'node:module';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  flvFormat,
  kindOfBody,
  rtmpFormat,
  type MediaKind,
} from '../../../../plugin/adapters/node-media-server/media-kind.ts';
import { FormatError, parseFlvTag, type FlvTag } from '../../../../plugin/rtp/index.ts';
import { bodyOf, flvOf, flvTag, rtmpMessage } from './messages.ts';

const AUDIO = 8;
const VIDEO = 9;
const SCRIPT = 18;

interface Packet {
  readonly codec_type: number;
  readonly dts: number;
  readonly size: number;
  readonly data: Buffer;
}
const require = createRequire(import.meta.url);
const HostFlv = require('node-media-server/src/protocol/flv.js') as { createMessage(packet: Packet): Buffer };
const HostRtmp = require('node-media-server/src/protocol/rtmp.js') as {
  createMessage(packet: Packet): Buffer;
};

test.each([
  ['metadata', SCRIPT, '02000a', 'metadata-head'],
  ['AVC configuration', VIDEO, '1700000000', 'video-head'],
  ['AVC keyframe', VIDEO, '1701000000', 'keyframe'],
  ['AVC picture', VIDEO, '2701000000', 'picture'],
  ['AVC disposable picture', VIDEO, '3701000000', 'picture'],
  ['AVC end of sequence', VIDEO, '1702000000', 'picture'],
  ['HEVC configuration', VIDEO, '1c00000000', 'video-head'],
  ['HEVC keyframe', VIDEO, '1c01000000', 'keyframe'],
  ['HEVC picture', VIDEO, '2c01000000', 'picture'],
  ['VP6 keyframe', VIDEO, '1400', 'keyframe'],
  ['VP6 picture', VIDEO, '2400', 'picture'],
  ['enhanced HEVC configuration', VIDEO, '9068766331', 'video-head'],
  ['enhanced HEVC keyframe', VIDEO, '9168766331000000', 'keyframe'],
  ['enhanced HEVC keyframe without offset', VIDEO, '9368766331', 'keyframe'],
  ['enhanced HEVC picture', VIDEO, 'a168766331000000', 'picture'],
  ['enhanced AV1 picture', VIDEO, 'a361763031', 'picture'],
  ['enhanced end of sequence', VIDEO, '9268766331', 'picture'],
  ['enhanced command frame with metadata', VIDEO, 'd468766331', 'picture'],
  ['enhanced command', VIDEO, 'd000', 'picture'],
  ['enhanced metadata marked as a keyframe', VIDEO, '9468766331', 'picture'],
  ['enhanced H.264 configuration', VIDEO, '9061766331', 'video-head'],
  ['enhanced H.264 keyframe', VIDEO, '9161766331000000', 'keyframe'],
  ['enhanced keyframe of the server', VIDEO, 'c161763031', 'keyframe'],
  ['a keyframe behind modifiers', VIDEO, '9702000000070200000001' + '68766331000000', 'keyframe'],
  ['a configuration behind a modifier', VIDEO, '970200000000' + '68766331', 'video-head'],
  ['a modifier without end', VIDEO, '97ff', 'picture'],
  ['the first of several tracks', VIDEO, '9600' + '6876633100', 'video-head'],
  ['the keyframe of the first of several tracks', VIDEO, '9611' + '6876633100000001aa', 'keyframe'],
  ['another track', VIDEO, '9600' + '6876633101', 'picture'],
  ['the keyframe of another track', VIDEO, '9601' + '6876633101', 'picture'],
  ['AAC configuration', AUDIO, 'af0011', 'audio-head'],
  ['AAC sound', AUDIO, 'af0111', 'sound'],
  ['MP3 sound', AUDIO, '2f00', 'sound'],
  ['enhanced Opus configuration', AUDIO, '904f707573', 'audio-head'],
  ['enhanced Opus sound', AUDIO, '914f707573', 'sound'],
  ['Opus configuration behind a modifier', AUDIO, '9702000000004f707573', 'audio-head'],
  ['Opus configuration of another track', AUDIO, '95004f70757301', 'sound'],
  ['a video message of one byte', VIDEO, '17', 'picture'],
  ['an audio message of one byte', AUDIO, 'af', 'sound'],
  ['an empty video message', VIDEO, '', 'picture'],
  ['an empty audio message', AUDIO, '', 'sound'],
])('%s', (_, type, hex, kind) => {
  const body = Buffer.from(hex, 'hex');
  expect(flvFormat.kindOf(flvTag(type, 1000, body))).toBe(kind);
  expect(rtmpFormat.kindOf(rtmpMessage(type, 1000, body))).toBe(kind);
  expect(rtmpFormat.kindOf(rtmpMessage(type, 0xff_ff_ff, body))).toBe(kind);
});

test('what starts a file is its head', () => {
  expect(flvFormat.kindOf(flvOf('file-head'))).toBe('file-head');
});

/** What the parser, which looks at all of it, makes of a body; `undefined` where it makes nothing. */
function kindByParser(type: number, body: Buffer): MediaKind | undefined {
  let tag: FlvTag;
  try {
    tag = parseFlvTag(flvTag(type, 0, body));
  } catch (error) {
    expect(error).toBeInstanceOf(FormatError);
    return undefined;
  }
  switch (tag.kind) {
    case 'avc-config':
    case 'video-config':
      return 'video-head';
    case 'avc-frame':
    case 'video-frame':
      return tag.keyframe ? 'keyframe' : 'picture';
    case 'aac-config':
      return 'audio-head';
    case 'aac-frame':
    case 'opus-frame':
      return 'sound';
    case 'extra-track':
      return tag.media === 'video' ? 'picture' : 'sound';
    default:
      return undefined;
  }
}

test('whatever comes has a kind, and the one that the parser would give it', () => {
  const heads = fc.constantFrom(0x17, 0x27, 0x90, 0x91, 0x93, 0x95, 0x96, 0x97, 0xa1, 0xa6, 0xaf);
  const fourCc = fc.constantFrom('avc1', 'hvc1', 'av01', 'Opus', 'mp4a');
  const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
  // Small numbers first, so that modifiers and tracks are often whole.
  const small = fc.array(fc.nat(3), { maxLength: 12 }).map((array) => Buffer.from(array));
  fc.assert(
    fc.property(
      fc.constantFrom(AUDIO, VIDEO),
      heads,
      fc.oneof(fourCc, fc.constant('')),
      small,
      fourCc,
      bytes,
      (type, head, name, between, inner, rest) => {
        const parts = [Buffer.from([head]), Buffer.from(name), between, Buffer.from(inner), rest];
        const body = Buffer.concat(parts);
        const expected = kindByParser(type, body);
        const kind = kindOfBody(type, body, 0, body.length);
        expect(type === VIDEO ? ['video-head', 'keyframe', 'picture'] : ['audio-head', 'sound']).toContain(
          kind,
        );
        if (expected !== undefined) expect(kind).toBe(expected);
        expect(flvFormat.kindOf(flvTag(type, 0, body))).toBe(kind);
        expect(rtmpFormat.kindOf(rtmpMessage(type, 0, body))).toBe(kind);
      },
    ),
    { numRuns: 2000 },
  );
});

describe('the messages of the host’s own writers are understood', () => {
  const times = fc.oneof(
    fc.integer({ min: 0, max: 0xff_ff_ff_ff }),
    fc.constantFrom(0, 0xff_ff_fe, 0xff_ff_ff, 0x1_00_00_00, 0x7f_ff_ff_ff, 0x80_00_00_00, 0xff_ff_ff_ff),
  );
  const kinds = fc.constantFrom('metadata-head', 'audio-head', 'video-head', 'keyframe', 'picture', 'sound');

  test('kind and time, at every timestamp and size, in both formats', () => {
    fc.assert(
      fc.property(times, kinds, fc.integer({ min: 5, max: 70_000 }), (dts, kind, bodyBytes) => {
        const data = bodyOf(kind, bodyBytes);
        const codec_type =
          kind === 'metadata-head' ? SCRIPT : kind.includes('ound') || kind === 'audio-head' ? AUDIO : VIDEO;
        const packet = { codec_type, dts, size: data.length, data };
        const [flv, rtmp] = [HostFlv.createMessage(packet), HostRtmp.createMessage(packet)];
        expect([flvFormat.kindOf(flv), flvFormat.timeOf(flv)]).toEqual([kind, dts]);
        expect([rtmpFormat.kindOf(rtmp), rtmpFormat.timeOf(rtmp)]).toEqual([kind, dts]);
      }),
    );
  });
});
