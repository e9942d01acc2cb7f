/** What a re-encoder makes: ffmpeg's arguments, and the reading of what it writes. */
import {
  createFlvReader,
  createIvfReader,
  isVp8Keyframe,
  parseFlvTag,
  type NalLengthBytes,
} from '../rtp/index.ts';
import type { Reduction } from './reencoder-pace.ts';

export type ReencodedCodec = 'H264' | 'VP8';

/** One picture that the re-encoder has made. */
export interface ReencodedPicture {
  /** NAL units of H.264; one frame of VP8. */
  readonly units: readonly Buffer[];
  readonly presentationMs: number;
  readonly keyframe: boolean;
  /** Memory that is not freed while the picture is kept. */
  readonly heldBytes: number;
}

export interface ReencodedOutput {
  /** Takes what ffmpeg writes. @throws FormatError */
  push(chunk: Buffer): void;
}

interface OutputHandler {
  /** SPS and PPS, for keyframes that bring none. */
  onParameterSets(sets: readonly Buffer[]): void;
  onPicture(picture: ReencodedPicture): void;
}

interface Format {
  /** For people. */
  readonly label: string;
  /** @param maxBits a second */
  arguments(maxBits: number): readonly string[];
  createOutput(handler: OutputHandler): ReencodedOutput;
}

/** One picture at a time, each with its own timestamp: nothing is held back, doubled or left out. */
const PASS_TIMESTAMPS = ['-copyts', '-fps_mode', 'passthrough', '-enc_time_base', '1:1000'];
/** Of media, whatever the frame rate. */
export const KEYFRAME_INTERVAL_MS = 1000;
const KEYFRAMES = ['-force_key_frames', 'expr:if(isnan(prev_forced_t),1,gte(t,prev_forced_t+1))'];

function createH264Output({ onParameterSets, onPicture }: OutputHandler): ReencodedOutput {
  let nalLengthBytes: NalLengthBytes = 4;
  return createFlvReader((bytes) => {
    const tag = parseFlvTag(bytes, nalLengthBytes);
    if (tag.kind === 'avc-config') {
      ({ nalLengthBytes } = tag.config);
      onParameterSets([...tag.config.sps, ...tag.config.pps]);
    } else if (tag.kind === 'avc-frame') {
      const presentationMs = tag.dtsMs + tag.compositionMs;
      onPicture({ units: tag.nals, presentationMs, keyframe: tag.keyframe, heldBytes: bytes.length });
    }
  });
}

export const FORMATS: Readonly<Record<ReencodedCodec, Format>> = {
  H264: {
    label: 'H.264',
    arguments: (maxBits) => [
      ...['-c:v', 'libx264', '-preset', 'superfast', '-tune', 'zerolatency', '-profile:v', 'baseline'],
      // What fits into the buffer leaves within two thirds of a second.
      ...['-pix_fmt', 'yuv420p', '-crf', '23', '-maxrate', String(maxBits)],
      ...['-bufsize', String(Math.round((maxBits * 2) / 3))],
      ...['-g', '1000', '-sc_threshold', '0', ...KEYFRAMES, ...PASS_TIMESTAMPS],
      ...['-f', 'flv', '-flvflags', 'no_metadata+no_duration_filesize+no_sequence_end'],
    ],
    createOutput: createH264Output,
  },
  VP8: {
    label: 'VP8',
    arguments: (maxBits) => [
      ...['-c:v', 'libvpx', '-deadline', 'realtime', '-cpu-used', '-12', '-lag-in-frames', '0'],
      ...['-auto-alt-ref', '0', '-pix_fmt', 'yuv420p', '-crf', '20', '-b:v', String(maxBits)],
      ...['-qmax', '50', '-threads', '2'],
      ...['-g', '1000', ...KEYFRAMES, ...PASS_TIMESTAMPS, '-f', 'ivf'],
    ],
    createOutput: ({ onPicture }) =>
      createIvfReader((frame, presentationMs) =>
        onPicture({
          units: [frame],
          presentationMs,
          keyframe: isVp8Keyframe(frame),
          heldBytes: frame.length,
        }),
      ),
  },
};

/** Filters for each reduction; 4:2:0 has no odd sizes. */
const PICTURES: Readonly<Record<Reduction, readonly string[]>> = {
  0: ['scale=trunc(iw/2)*2:trunc(ih/2)*2'],
  1: ["select='not(mod(n,2))'", 'scale=trunc(iw/2)*2:trunc(ih/2)*2'],
  2: ["select='not(mod(n,2))'", 'scale=max(trunc(iw/4)*2\\,2):max(trunc(ih/4)*2\\,2)'],
};

/** 4,096 by 4,096: a publisher's few bytes can announce pictures that take gigabytes to decode. */
const MAX_PIXELS = 16_777_216;

export interface Making {
  /** Media time of the first picture that is made, from the child's 0. */
  readonly firstMs: number;
  /** The most bits a second. */
  readonly maxBits: number;
  readonly reduction: Reduction;
}

/**
 * The arguments of one child: Matroska in, one picture out for each (or, reduced, each second one) from `firstMs` on.
 * One thread decodes: more would each hold a picture back.
 */
export function ffmpegArguments(codec: ReencodedCodec, { firstMs, maxBits, reduction }: Making): string[] {
  const filters = [`trim=start=${(firstMs / 1000).toFixed(3)}`, ...PICTURES[reduction]];
  return [
    ...['-hide_banner', '-loglevel', 'warning', '-nostdin', '-threads', '1'],
    ...['-max_pixels', String(MAX_PIXELS)],
    ...['-probesize', '32', '-analyzeduration', '0', '-f', 'matroska', '-i', 'pipe:0', '-map', '0:v:0'],
    ...['-vf', filters.join(',')],
    ...FORMATS[codec].arguments(maxBits),
    ...['-flush_packets', '1', 'pipe:1'],
  ];
}
