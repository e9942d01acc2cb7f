/** A publisher of Enhanced RTMP, which Debian's ffmpeg is not: real encoders' output in tags and messages of our own. */
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createOggReader, opusPacketSamples } from '../../plugin/rtp/index.ts';
import {
  connectCommand,
  createStreamCommand,
  message,
  openRtmp,
  streamCommand,
  type RtmpClient,
} from '../plugin/adapters/node-media-server/rtmp-client.ts';
import { runFfmpeg } from '../plugin/media/ffmpeg.ts';
import { audioBody, CODED_FRAMES, SEQUENCE_START, videoBody } from '../plugin/rtp/enhanced-tags.ts';
import { readMp4 } from './mp4-samples.ts';

/** Body of an FLV tag or RTMP message. */
export interface EnhancedMessage {
  /** 8 audio, 9 video. */
  readonly type: number;
  readonly timeMs: number;
  readonly body: Buffer;
}

const CODECS = {
  avc1: {
    record: 'avcC',
    reorders: true,
    encoder: '-c:v libx264 -preset ultrafast -tune zerolatency -profile:v baseline',
  },
  hvc1: {
    record: 'hvcC',
    reorders: true,
    encoder: '-c:v libx265 -preset ultrafast -x265-params log-level=error -tag:v hvc1',
  },
  av01: {
    record: 'av1C',
    reorders: false,
    encoder: '-c:v libaom-av1 -usage realtime -cpu-used 8',
  },
  vp09: {
    record: 'vpcC',
    reorders: false,
    encoder: '-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -lag-in-frames 0',
  },
} as const;
export type VideoFourCc = keyof typeof CODECS;
export const VIDEO_FOURCCS = Object.keys(CODECS) as VideoFourCc[];

export interface EncodeOptions {
  readonly seconds: number;
  /** ffmpeg's description of the picture; 320 by 180 of test bars unless told. */
  readonly picture?: string;
  /** A keyframe each second unless told. */
  readonly keyframeFrames?: number;
  /** ffmpeg's arguments for the encoder; those for live pictures unless told. */
  readonly encoder?: string;
  /** True for an encoder that is to see all pictures before it begins. */
  readonly twoPass?: boolean;
}

const FPS = 25;

/** Encodes a picture; the configuration record is the first message. */
export async function encodeVideo(fourCc: VideoFourCc, options: EncodeOptions): Promise<EnhancedMessage[]> {
  const { seconds, picture = `testsrc=s=320x180:r=${FPS}`, keyframeFrames = FPS, encoder } = options;
  const { record: box, reorders, encoder: live } = CODECS[fourCc];
  const directory = await mkdtemp(join(tmpdir(), 'usher-enhanced-'));
  try {
    const path = join(directory, 'video.mp4');
    const source = ['-f', 'lavfi', '-i', picture, '-t', String(seconds), '-pix_fmt', 'yuv420p'];
    const output = ['-g', String(keyframeFrames), '-threads', '1', '-video_track_timescale', '1000', '-y'];
    const command = [...source, ...(encoder ?? live).split(' '), ...output];
    const log = join(directory, 'pass');
    if (options.twoPass === true) {
      await runFfmpeg([...command, '-pass', '1', '-passlogfile', log, path]);
      command.push('-pass', '2', '-passlogfile', log);
    }
    await runFfmpeg([...command, path]);
    const { record, samples } = readMp4(await readFile(path), box);
    const config = videoBody({ fourCc, packetType: SEQUENCE_START, key: true, data: record });
    return [
      { type: 9, timeMs: 0, body: config },
      ...samples.map(({ dtsMs, compositionMs, keyframe, data }) => ({
        type: 9,
        timeMs: dtsMs,
        body: videoBody({
          fourCc,
          packetType: CODED_FRAMES,
          key: keyframe,
          data,
          ...(reorders ? { compositionMs } : {}),
        }),
      })),
    ];
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Encodes a sound as Opus; OpusHead is the first message. */
export async function encodeOpus(
  seconds: number,
  { sound = 'sine=frequency=440:sample_rate=48000', channels = 2 } = {},
): Promise<EnhancedMessage[]> {
  const encoder = ['-t', String(seconds), '-ac', String(channels), '-c:a', 'libopus', '-b:a', '96k'];
  const file = await runFfmpeg(['-f', 'lavfi', '-i', sound, ...encoder, '-f', 'ogg', '-']);
  const packets: Buffer[] = [];
  createOggReader((page) => packets.push(...page.packets.map((packet) => Buffer.from(packet)))).push(file);
  const [head = Buffer.alloc(0), , ...coded] = packets;
  let samples = 0;
  return [
    { type: 8, timeMs: 0, body: audioBody('Opus', SEQUENCE_START, head) },
    ...coded.map((packet) => {
      const timeMs = Math.round(samples / 48);
      samples += opusPacketSamples(packet);
      return { type: 8, timeMs, body: audioBody('Opus', CODED_FRAMES, packet) };
    }),
  ];
}

/** Messages of several tracks in the order of their times. */
export const interleave = (...tracks: readonly (readonly EnhancedMessage[])[]): EnhancedMessage[] =>
  tracks.flat().sort((a, b) => a.timeMs - b.timeMs);

/** Connects by RTMP as encoders of Enhanced RTMP do, and asks to publish. */
export async function connectEnhanced(port: number, app: string, stream: string): Promise<RtmpClient> {
  const client = await openRtmp(port);
  const connect = connectCommand(app, [...VIDEO_FOURCCS, 'Opus', 'mp4a']);
  client.send(Buffer.concat([connect, createStreamCommand(), streamCommand('publish', stream)]));
  return client;
}

/**
 * Sends messages.
 * @param startMs moment (of `performance.now`) from which their times count; at once without it
 */
export async function sendMessages(
  client: RtmpClient,
  messages: readonly EnhancedMessage[],
  startMs?: number,
): Promise<void> {
  for (const { type, timeMs, body } of messages) {
    const waitMs = startMs === undefined ? 0 : timeMs - (performance.now() - startMs);
    if (waitMs > 1) await new Promise((resolve) => setTimeout(resolve, waitMs));
    if (client.socket.destroyed) return;
    client.send(message(type === 8 ? 4 : 6, type, 1, body, timeMs));
    if (client.socket.writableNeedDrain) await Promise.race([once(client.socket, 'drain'), client.ended]);
  }
}
