/** AAC to Opus through one ffmpeg child per stream; browsers play no AAC over WebRTC. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import type { Log } from '../ports.ts';
import { createOggReader, opusPacketSamples, parseOpusHead, type AacConfig } from '../rtp/index.ts';
import { createStartLimit } from './start-limit.ts';

export interface OpusTranscoderOptions {
  /** Stream path, for the log. */
  readonly path: string;
  /** Name or path of ffmpeg. */
  readonly ffmpegPath: string;
  readonly log: Log;
  /** The child is there; called once, at the first start that works. */
  readonly onReady: () => void;
  /** One Opus packet, and the media time of its first sample in samples at 48 kHz (whole, may be negative). */
  readonly onPacket: (packet: Buffer, ticks: number) => void;
  /** First pause before a child that ended is started again; it doubles up to 10 s. Default 250 ms. */
  readonly retryMs?: number;
}

export interface OpusTranscoder {
  /** Takes the stream's AAC configuration; another one than before starts another child. */
  configure(config: AacConfig): void;
  /** Takes one AAC frame and its media time in milliseconds; frames that ffmpeg cannot keep up with are dropped. */
  push(frame: Buffer, mediaMs: number): void;
  /** Ends the child; the next frame starts another. */
  rest(): void;
  /** Ends the child at once. Idempotent. */
  close(): void;
  /** Process id of the child; `undefined` when there is none. */
  pid(): number | undefined;
}

const FLV_AUDIO_HEADER = Buffer.from('464c5601040000000900000000', 'hex');
/** AAC; FLV fixes the other bits of this byte for AAC, whatever the stream is. */
const AAC_SOUND = 0xaf;
const MAX_QUEUED_BYTES = 256 * 1024;
const MAX_RETRY_MS = 10_000;
/** A child that ran this long was not at fault from the start: the pause starts anew. */
const STEADY_MS = 30_000;
/** FLV timestamps are read as signed 32-bit numbers: a child is replaced before 24 days. */
const MAX_CHILD_MS = 2 ** 31 - 60_000;
const MAX_STDERR_CHARS = 4000;
const TICKS_PER_MS = 48;

/**
 * No `-fflags nobuffer`: it throws the first frames away. Each Ogg page holds one packet and leaves at once. Measured
 * from AAC frame in to Opus packet out: 45 ms, of which 43 are the lengths of the two frames.
 */
const FFMPEG_ARGUMENTS = [
  ...['-hide_banner', '-loglevel', 'warning', '-nostdin', '-threads', '1'],
  ...['-probesize', '32', '-analyzeduration', '0', '-f', 'flv', '-i', 'pipe:0'],
  ...['-map', '0:a:0', '-c:a', 'libopus', '-ac', '2', '-ar', '48000', '-b:a', '96k', '-frame_duration', '20'],
  ...['-copyts', '-f', 'ogg', '-page_duration', '20000', '-flush_packets', '1', 'pipe:1'],
];

/** An FLV audio tag with the size of itself behind it. */
function flvTag(packetType: 0 | 1, data: Buffer, timestampMs: number): Buffer {
  const tag = Buffer.allocUnsafe(11 + 2 + data.length + 4);
  tag[0] = 8;
  tag.writeUIntBE(2 + data.length, 1, 3);
  tag.writeUIntBE(timestampMs & 0xff_ff_ff, 4, 3);
  tag[7] = timestampMs >>> 24;
  tag.writeUIntBE(0, 8, 3);
  tag[11] = AAC_SOUND;
  tag[12] = packetType;
  data.copy(tag, 13);
  tag.writeUInt32BE(13 + data.length, 13 + data.length);
  return tag;
}

/** Readies a transcoder; the child starts with the first frame after `configure`. */
export function createOpusTranscoder(options: OpusTranscoderOptions): OpusTranscoder {
  const { log, onPacket, path } = options;
  const firstRetryMs = options.retryMs ?? 250;
  let config: AacConfig | undefined;
  let child: ChildProcessWithoutNullStreams | undefined;
  /** Media time of the child's first frame, its 0. */
  let childStartMs = 0;
  let retryMs = firstRetryMs;
  let retryTimer: NodeJS.Timeout | undefined;
  let ready = false;
  let closed = false;
  let dropping = false;
  const mayStart = createStartLimit();

  /**
   * Ogg positions count decoded samples by ffmpeg's timestamps, which are the tags' own, and include the pre-skip:
   * what the encoder puts before the sound. ffmpeg's AAC decoder adds nothing: the samples of a frame have the
   * time of the frame.
   */
  function createReader(startMs: number): (chunk: Buffer) => void {
    let headers = 0;
    let preSkip = 0;
    const reader = createOggReader(({ packets, granule }) => {
      const [head] = packets;
      if (headers < 2 && head !== undefined) {
        if (headers === 0) preSkip = parseOpusHead(head).preSkip;
        headers += 1;
        return;
      }
      const samples = packets.map(opusPacketSamples);
      let ticks = startMs * TICKS_PER_MS + granule - preSkip - samples.reduce((sum, n) => sum + n, 0);
      packets.forEach((packet, index) => {
        onPacket(packet, ticks);
        ticks += samples[index] ?? 0;
      });
    });
    return (chunk) => reader.push(chunk);
  }

  function stopChild(): void {
    const old = child;
    child = undefined;
    if (old === undefined) return;
    old.stdout.removeAllListeners('data');
    // One that could not be spawned has no id, and Node would signal process 0: this process and its whole group.
    if (old.pid !== undefined) old.kill('SIGKILL');
  }

  function retryLater(): void {
    if (closed || retryTimer !== undefined) return;
    retryTimer = setTimeout(() => (retryTimer = undefined), retryMs);
    retryTimer.unref();
    retryMs = Math.min(retryMs * 2, MAX_RETRY_MS);
  }

  function startChild(current: AacConfig, mediaMs: number): void {
    const started = spawn(options.ffmpegPath, FFMPEG_ARGUMENTS, { stdio: 'pipe' });
    const startedAtMs = performance.now();
    const read = createReader(mediaMs);
    let stderr = '';
    child = started;
    childStartMs = mediaMs;

    function fail(error: unknown, message: string): void {
      if (child !== started) return;
      stopChild();
      // One line per trouble: an ffmpeg that is missing stays missing.
      const level = retryMs === firstRetryMs ? 'warn' : 'debug';
      log[level]({ path, error: error instanceof Error ? error.message : String(error), retryMs }, message);
      retryLater();
    }

    started.on('spawn', () => {
      if (ready || closed) return;
      ready = true;
      options.onReady();
    });
    started.on('error', (error) =>
      fail(error, 'ffmpeg does not start: this stream has no audio for viewers'),
    );
    started.on('close', (code, signal) => {
      if (stderr !== '') log.debug({ path, stderr }, 'ffmpeg said');
      if (performance.now() - startedAtMs > STEADY_MS) retryMs = firstRetryMs;
      fail(`exit ${code ?? signal}`, 'ffmpeg ended: audio goes on with another child');
    });
    started.stdin.on('error', () => undefined); // Its end is seen by `close`.
    started.stdout.on('data', (chunk: Buffer) => {
      try {
        if (child === started) read(chunk);
      } catch (error) {
        fail(error, 'ffmpeg wrote what is not Ogg/Opus');
      }
    });
    started.stderr.on('data', (chunk: Buffer) => {
      stderr = (stderr + chunk.toString('latin1')).slice(-MAX_STDERR_CHARS);
    });
    started.stdin.write(FLV_AUDIO_HEADER);
    started.stdin.write(flvTag(0, current.bytes, 0));
  }

  return {
    configure(next) {
      if (config?.bytes.equals(next.bytes)) return;
      config = { ...next, bytes: Buffer.from(next.bytes) };
      stopChild();
    },
    push(frame, mediaMs) {
      if (closed || config === undefined || retryTimer !== undefined) return;
      if (child !== undefined && mediaMs - childStartMs > MAX_CHILD_MS) stopChild();
      if (child === undefined && mayStart(performance.now())) startChild(config, mediaMs);
      const stdin = child?.stdin;
      if (stdin?.writable !== true) return;
      const full = stdin.writableLength > MAX_QUEUED_BYTES;
      if (full && !dropping) log.warn({ path }, 'ffmpeg does not keep up: audio frames are dropped');
      dropping = full;
      if (!full) stdin.write(flvTag(1, frame, mediaMs - childStartMs));
    },
    rest: stopChild,
    close() {
      closed = true;
      clearTimeout(retryTimer);
      stopChild();
    },
    pid: () => child?.pid,
  };
}
