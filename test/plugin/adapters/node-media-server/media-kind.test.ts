import { createRequire } from 'node:module';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { flvFormat, rtmpFormat } from '../../../../plugin/adapters/node-media-server/media-kind.ts';
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
  ['AAC configuration', AUDIO, 'af0011', 'audio-head'],
  ['AAC sound', AUDIO, 'af0111', 'sound'],
  ['MP3 sound', AUDIO, '2f00', 'sound'],
  ['enhanced Opus configuration', AUDIO, '904f707573', 'audio-head'],
  ['enhanced Opus sound', AUDIO, '914f707573', 'sound'],
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
