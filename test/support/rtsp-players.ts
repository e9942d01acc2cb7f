/** Players of RTSP as real processes, what they have decoded, and how near it is to what was sent. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runFfmpeg, testCardPicture } from './stack.ts';

export const WIDTH = 320;
export const HEIGHT = 180;
const FRAME_BYTES = WIDTH * HEIGHT * 3;
const SAMPLE_RATE_HZ = 48_000;

export interface Played {
  readonly exitCode: number | null;
  /** What it has said. */
  readonly said: string;
  /** RGB pictures of 320x180. */
  readonly pictures: readonly Buffer[];
  /** Mono at 48 kHz, -1 to 1. */
  readonly sound: Float32Array;
}

interface Player {
  readonly program: string;
  /** @param picture and sound: files to write raw media to */
  args(picture: string, sound: string): string[];
}

async function play({ program, args }: Player, withinMs: number): Promise<Played> {
  const dir = await mkdtemp(join(tmpdir(), 'usher-rtsp-'));
  try {
    const [picture, sound] = [join(dir, 'picture'), join(dir, 'sound')];
    const child = spawn(program, args(picture, sound), { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const output of [child.stdout, child.stderr])
      output.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-20_000)));
    // GStreamer ends as it should after the first of these, and writes its files out.
    const timer = setTimeout(() => child.kill('SIGINT'), withinMs);
    const killer = setTimeout(() => child.kill('SIGKILL'), withinMs + 10_000);
    const [exitCode] = (await once(child, 'exit')) as [number | null];
    clearTimeout(timer);
    clearTimeout(killer);
    const raw = await readFile(picture).catch(() => Buffer.alloc(0));
    const samples = await readFile(sound).catch(() => Buffer.alloc(0));
    const pictures = Array.from({ length: Math.floor(raw.length / FRAME_BYTES) }, (_, index) =>
      raw.subarray(index * FRAME_BYTES, (index + 1) * FRAME_BYTES),
    );
    const heard = new Float32Array(new Uint8Array(samples.subarray(0, samples.length & ~3)).buffer);
    return { exitCode, said, pictures, sound: heard };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** What ffmpeg makes of an input. */
const decoding =
  (input: readonly string[], seconds: number) =>
  (picture: string, sound: string): string[] => [
    ...['-hide_banner', '-nostdin', '-loglevel', 'warning', '-y', ...input, '-t', String(seconds)],
    ...['-map', '0:v', '-s', `${String(WIDTH)}x${String(HEIGHT)}`],
    ...['-pix_fmt', 'rgb24', '-f', 'rawvideo', picture],
    ...['-t', String(seconds), '-map', '0:a', '-ac', '1', '-ar', String(SAMPLE_RATE_HZ)],
    ...['-f', 'f32le', sound],
  ];

/**
 * @param lower `undefined`: UDP, and TCP when nothing has come for a second
 * @param seconds of media, from the first picture on
 */
export function playWithFfmpeg(
  url: string,
  lower: 'tcp' | 'udp' | undefined,
  seconds: number,
): Promise<Played> {
  const transport = lower === undefined ? ['-timeout', '1000000'] : ['-rtsp_transport', lower];
  const args = decoding([...transport, '-i', url], seconds);
  return play({ program: 'ffmpeg', args }, 20_000 + seconds * 1000);
}

/** What is in a file. */
export function decodeFile(file: string, seconds: number): Promise<Played> {
  return play({ program: 'ffmpeg', args: decoding(['-i', file], seconds) }, 20_000);
}

/** @param seconds until it is stopped; GStreamer checks certificates only when it is told to */
export function playWithGStreamer(url: string, lower: 'tcp' | 'udp', seconds: number): Promise<Played> {
  const raw = `video/x-raw,format=RGB,width=${String(WIDTH)},height=${String(HEIGHT)}`;
  const heard = `audio/x-raw,format=F32LE,channels=1,rate=${String(SAMPLE_RATE_HZ)}`;
  const args = (picture: string, sound: string): string[] => [
    ...['-e', 'rtspsrc', `location=${url}`, `protocols=${lower}`, 'tls-validation-flags=0', 'name=s'],
    ...['s.', '!', 'application/x-rtp,media=video', '!', 'queue', '!', 'rtph264depay', '!', 'avdec_h264'],
    ...[
      '!',
      'videoconvert',
      '!',
      'videoscale',
      '!',
      raw,
      '!',
      'filesink',
      `location=${picture}`,
      'async=false',
    ],
    ...['s.', '!', 'application/x-rtp,media=audio', '!', 'queue', '!', 'decodebin'],
    ...[
      '!',
      'audioconvert',
      '!',
      'audioresample',
      '!',
      heard,
      '!',
      'filesink',
      `location=${sound}`,
      'async=false',
    ],
  ];
  return play({ program: 'gst-launch-1.0', args }, seconds * 1000);
}

/** The test card without its flash. */
export async function testCard(): Promise<Buffer> {
  const dir = await mkdtemp(join(tmpdir(), 'usher-card-'));
  try {
    const file = join(dir, 'card');
    const size = `${String(WIDTH)}x${String(HEIGHT)}`;
    const source = ['-f', 'lavfi', '-i', testCardPicture(10), '-ss', '0.5', '-frames:v', '1'];
    await runFfmpeg([...source, '-s', size, '-pix_fmt', 'rgb24', '-f', 'rawvideo', file]).exited;
    return await readFile(file);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Peak signal-to-noise ratio in dB. */
export function psnr(a: Buffer, b: Buffer): number {
  if (a.length !== b.length) return 0;
  let sum = 0;
  for (let at = 0; at < a.length; at++) sum += ((a[at] ?? 0) - (b[at] ?? 0)) ** 2;
  return sum === 0 ? Infinity : 10 * Math.log10((255 * 255 * a.length) / sum);
}

/** What part of the sound's energy is a tone (Goertzel's algorithm, over 50 ms at a time), at its loudest. */
export function toneShare(sound: Float32Array, hertz: number): number {
  const block = SAMPLE_RATE_HZ / 20;
  const factor = 2 * Math.cos((2 * Math.PI * hertz) / SAMPLE_RATE_HZ);
  let loudest = { energy: 0, share: 0 };
  for (let from = 0; from + block <= sound.length; from += block) {
    let [s1, s2, energy] = [0, 0, 0];
    for (const sample of sound.subarray(from, from + block)) {
      [s1, s2] = [sample + factor * s1 - s2, s1];
      energy += sample * sample;
    }
    const power = (s1 * s1 + s2 * s2 - factor * s1 * s2) / (block / 2);
    if (energy > loudest.energy) loudest = { energy, share: power / energy };
  }
  return loudest.share;
}
