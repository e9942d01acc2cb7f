/** FLV tags as RTMP servers hand them out (Adobe FLV 10.1, annex E; Enhanced RTMP v2). */
import { parseAacConfig } from './aac-config.ts';
import { parseAvcConfig, type NalLengthBytes } from './avc-config.ts';
import { audioCodecName, CODEC_AVC, SOUND_AAC, SOUND_ENHANCED, videoCodecName } from './flv-codecs.ts';
import { parseEnhancedAudio, parseEnhancedVideo } from './flv-enhanced.ts';
import {
  FLV_AUDIO,
  FLV_HEADER_BYTES,
  FLV_SCRIPT,
  FLV_VIDEO,
  FRAME_COMMAND,
  IGNORED,
  isKeyframeType,
  readComposition,
  splitNals,
  type FlvTag,
} from './flv-tag.ts';
import { FormatError } from './format-error.ts';

/** Where the body of a whole tag ends, with or without "previous tag size" behind it; -1 if its size is wrong. */
export function tagEndOf(tag: Buffer): number {
  if (tag.length < FLV_HEADER_BYTES) return -1;
  const end = FLV_HEADER_BYTES + tag.readUIntBE(1, 3);
  const trailed = tag.length === end + 4 && tag.readUInt32BE(end) === end;
  return tag.length === end || trailed ? end : -1;
}

/** The tag's timestamp: milliseconds modulo 2^32. The tag must have a whole header. */
function readTimestamp(tag: Buffer): number {
  return tag.readUIntBE(4, 3) + (tag[7] ?? 0) * 0x1_00_00_00;
}

function parseVideo(body: Buffer, dtsMs: number, nalLengthBytes: NalLengthBytes): FlvTag {
  const head = body[0] ?? 0;
  const frameType = (head >> 4) & 7;
  if (head & 0x80) return parseEnhancedVideo(body, dtsMs, nalLengthBytes);
  const codecId = head & 0x0f;
  if (codecId !== CODEC_AVC) {
    return { kind: 'unsupported', media: 'video', codec: videoCodecName(codecId) };
  }
  if (frameType === FRAME_COMMAND) return IGNORED;
  if (body.length < 5) throw new FormatError('flv', 'AVC tag is cut off');
  switch (body[1]) {
    case 0:
      return { kind: 'avc-config', config: parseAvcConfig(body.subarray(5)) };
    case 1:
      return {
        kind: 'avc-frame',
        dtsMs,
        compositionMs: readComposition(body, 2),
        keyframe: isKeyframeType(frameType),
        nals: splitNals(body, 5, nalLengthBytes),
      };
    case 2:
      return IGNORED;
    default:
      throw new FormatError('flv', 'unknown AVC packet type');
  }
}

function parseAudio(body: Buffer, dtsMs: number): FlvTag {
  const soundFormat = (body[0] ?? 0) >> 4;
  if (soundFormat === SOUND_ENHANCED) return parseEnhancedAudio(body, dtsMs);
  if (soundFormat !== SOUND_AAC) {
    return { kind: 'unsupported', media: 'audio', codec: audioCodecName(soundFormat) };
  }
  switch (body[1]) {
    case 0:
      return { kind: 'aac-config', config: parseAacConfig(body.subarray(2)) };
    case 1:
      return body.length === 2 ? IGNORED : { kind: 'aac-frame', dtsMs, data: body.subarray(2) };
    default:
      throw new FormatError('flv', 'unknown AAC packet type');
  }
}

/**
 * Parses one whole FLV tag, with or without the four bytes of "previous tag size" behind it.
 * Buffers in the result are views of `tag`.
 * @param nalLengthBytes what the last `avc-config` said
 * @throws FormatError for a tag that breaks the format; codecs that we do not carry are `unsupported`, not errors
 */
export function parseFlvTag(tag: Buffer, nalLengthBytes: NalLengthBytes = 4): FlvTag {
  const end = tagEndOf(tag);
  if (end < 0) throw new FormatError('flv', 'tag size is wrong');
  const body = tag.subarray(FLV_HEADER_BYTES, end);
  switch (tag[0]) {
    case FLV_AUDIO:
      return body.length === 0 ? IGNORED : parseAudio(body, readTimestamp(tag));
    case FLV_VIDEO:
      return body.length === 0 ? IGNORED : parseVideo(body, readTimestamp(tag), nalLengthBytes);
    case FLV_SCRIPT:
      return IGNORED;
    default:
      throw new FormatError('flv', 'unknown tag type');
  }
}
