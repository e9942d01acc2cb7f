/** What is played as Matroska: pictures and sound at the times that the sender's reports give them. */
import {
  createAacDepacketizer,
  createDepacketizer,
  matroskaHeader,
  matroskaPicture,
  OPUS_CLOCK_RATE,
  payloadOf,
  readSenderReport,
  type MatroskaSoundTrack,
  type MatroskaTrack,
  type ReadReport,
} from '../../../plugin/rtp/index.ts';
import type { PlayedLine } from './dialogue.ts';

export interface Recording {
  /** A line's packet, opened, in order. */
  rtp(line: PlayedLine, packet: Buffer): void;
  rtcp(line: PlayedLine, packet: Buffer): void;
  /** Writes what still waits. */
  end(): void;
}

interface Block {
  readonly track: Track;
  readonly timestamp: number;
  readonly keyframe: boolean;
  readonly data: readonly Buffer[];
}

interface Track {
  readonly line: PlayedLine;
  readonly read: (packet: Buffer) => Block[];
  /** What is known of its clock: the latest report. */
  clock: ReadReport | undefined;
  codecPrivate: Buffer | undefined;
  /** In the file; 0: not yet. */
  number: number;
  lastMs: number;
}

/** Reports come once a second; who sends none is taken at his packets' arrival. */
const START_WITHIN_MS = 3000;
/** What is held until the file begins: more than any stream sends in that time. */
const MAX_HELD_BYTES = 32 * 1024 * 1024;
const NAL_SPS = 7;
const NAL_PPS = 8;
const CODEC_IDS = {
  H264: 'V_MPEG4/ISO/AVC',
  VP8: 'V_VP8',
  VP9: 'V_VP9',
  opus: 'A_OPUS',
  AAC: 'A_AAC',
} as const;

const OPUS_HEAD = Buffer.concat([
  Buffer.from('OpusHead\x01\x02', 'latin1'),
  // No pre-skip, 48,000 Hz, no gain, mapping family 0.
  Buffer.from('0000' + '80bb0000' + '0000' + '00', 'hex'),
]);

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** AVCDecoderConfigurationRecord (ISO/IEC 14496-15 section 5.3.3.1) of a keyframe's parameter sets. */
function avcConfigOf(nals: readonly Buffer[]): Buffer | undefined {
  const find = (type: number): Buffer | undefined => nals.find((nal) => ((nal[0] ?? 0) & 0x1f) === type);
  const [sps, pps] = [find(NAL_SPS), find(NAL_PPS)];
  if (sps === undefined || pps === undefined || sps.length < 4) return undefined;
  // Version 1, profile, lengths of four bytes, one of each set.
  return Buffer.concat([
    ...[Buffer.from([1]), sps.subarray(1, 4), Buffer.from([0xff, 0xe1])],
    ...[uint16(sps.length), sps, Buffer.from([1]), uint16(pps.length), pps],
  ]);
}

function createTrack(line: PlayedLine): Track {
  const { codec, config } = line;
  const track = { line, clock: undefined, number: 0, lastMs: 0 };
  if (codec === 'opus') {
    const sound: Track = {
      ...track,
      codecPrivate: OPUS_HEAD,
      read: (packet) => [
        {
          track: sound,
          timestamp: packet.readUInt32BE(4),
          keyframe: true,
          data: [payloadOf(packet)],
        },
      ],
    };
    return sound;
  }
  if (codec === 'AAC') {
    const depacketizer = createAacDepacketizer(config?.unitSamples ?? 0);
    const sound: Track = {
      ...track,
      codecPrivate: config?.bytes,
      read: (packet) =>
        depacketizer.push(packet).map(({ timestamp, data }) => ({
          track: sound,
          timestamp,
          keyframe: true,
          data: [data],
        })),
    };
    return sound;
  }
  const depacketizer = createDepacketizer(codec);
  const video: Track = {
    ...track,
    codecPrivate: codec === 'H264' ? undefined : Buffer.alloc(0),
    read(packet) {
      const picture = depacketizer.push(packet);
      if (picture === undefined) return [];
      const { data, keyframe, timestamp } = picture;
      if (keyframe) video.codecPrivate ??= avcConfigOf(data);
      // Nothing before a keyframe, and its parameter sets, can be shown.
      if (video.codecPrivate === undefined) return [];
      const units = codec === 'H264' ? data.flatMap((nal) => [uint32(nal.length), nal]) : data;
      return [{ track: video, timestamp, keyframe, data: units }];
    },
  };
  return video;
}

/**
 * @param write takes the file's bytes, in order
 * @param nowMs Unix time in milliseconds
 */
export function createRecording(
  lines: readonly PlayedLine[],
  write: (bytes: Buffer) => void,
  nowMs: () => number,
): Recording {
  const tracks = new Map(lines.map((line) => [line, createTrack(line)]));
  /** Until the file begins. */
  let held: Block[] = [];
  let heldBytes = 0;
  let beganMs: number | undefined;
  let originMs: number | undefined;

  function timeOf({ track, timestamp }: Block): number {
    const { ntpMs, rtpTimestamp } = track.clock ?? { ntpMs: nowMs(), rtpTimestamp: timestamp };
    return ntpMs + (((timestamp - rtpTimestamp) | 0) * 1000) / track.line.clockRate;
  }

  function put(block: Block): void {
    const { track, keyframe, data } = block;
    if (originMs === undefined || track.number === 0) return;
    track.lastMs = Math.max(track.lastMs, Math.round(timeOf(block) - originMs));
    write(matroskaPicture(track.lastMs, keyframe, data, track.number));
  }

  function begin(): void {
    const present = [...tracks.values()].filter((track) => held.some((block) => block.track === track));
    if (present.length === 0) return;
    for (const [index, track] of present.entries()) track.number = index + 1;
    const header = present.map(({ line: { kind, codec, config }, codecPrivate = Buffer.alloc(0) }) => {
      const { sampleRateHz, channels } = config ?? { sampleRateHz: OPUS_CLOCK_RATE, channels: 2 };
      const track = { codecId: CODEC_IDS[codec], codecPrivate };
      return kind === 'video' ? track : { ...track, sampleRateHz, channels };
    });
    write(matroskaHeader(...(header as readonly (MatroskaTrack | MatroskaSoundTrack)[])));
    const timed = held.map((block) => ({ block, atMs: timeOf(block) })).sort((a, b) => a.atMs - b.atMs);
    originMs = timed[0]?.atMs ?? 0;
    for (const { block } of timed) put(block);
    held = [];
  }

  function isReady(): boolean {
    beganMs ??= nowMs();
    if (nowMs() - beganMs > START_WITHIN_MS || heldBytes > MAX_HELD_BYTES) return true;
    return [...tracks.values()].every(
      (track) => track.clock !== undefined && held.some((block) => block.track === track),
    );
  }

  return {
    rtp(line, packet) {
      const blocks = tracks.get(line)?.read(packet) ?? [];
      if (originMs !== undefined) return blocks.forEach(put);
      held.push(...blocks);
      for (const { data } of blocks) heldBytes += data.reduce((sum, { length }) => sum + length, 0);
      if (!isReady()) return;
      // Who has sent no report is taken at his word that the latest packet is of now.
      for (const track of tracks.values()) {
        const latest = held.findLast((one) => one.track === track);
        if (latest !== undefined) track.clock ??= { ntpMs: nowMs(), rtpTimestamp: latest.timestamp };
      }
      begin();
    },
    rtcp(line, packet) {
      const track = tracks.get(line);
      const report = readSenderReport(packet);
      if (track !== undefined && report !== undefined) track.clock = report;
    },
    end() {
      if (originMs === undefined) begin();
    },
  };
}
