/** The test card of `publishTestCard` as real ffmpeg decodes it: are the colours right, do flash and beep coincide? */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';

const WIDTH = 64;
const HEIGHT = 36;
const FRAMES_PER_SECOND = 30;
const SAMPLES_PER_SECOND = 48_000;

export interface Decoded {
  readonly exitCode: number | null;
  readonly stderr: string;
  readonly seconds: number;
  /** Red, green, blue in the middle of the four quadrants of the last picture. */
  readonly quadrants: readonly (readonly number[])[];
  /** For each flash: when the beep began minus when the picture flashed, in milliseconds. */
  readonly beepAfterFlashMs: readonly number[];
}

async function readAll(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

const FRAME_BYTES = WIDTH * HEIGHT * 3;

function pixelAt(frames: Buffer, frame: number, x: number, y: number): number[] {
  const at = frame * FRAME_BYTES + (Math.floor(y * HEIGHT) * WIDTH + Math.floor(x * WIDTH)) * 3;
  return [...frames.subarray(at, at + 3)];
}

function findFlashes(frames: Buffer, count: number): number[] {
  const flashes: number[] = [];
  // What is white in the first picture began before it.
  let wasWhite = true;
  for (let frame = 0; frame < count; frame++) {
    const isWhite = Math.min(...pixelAt(frames, frame, 0.45, 0.83)) > 180;
    if (isWhite && !wasWhite) flashes.push((frame / FRAMES_PER_SECOND) * 1000);
    wasWhite = isWhite;
  }
  return flashes;
}

function findBeeps(sound: Buffer): number[] {
  const beeps: number[] = [];
  let lastLoud = 0;
  for (let sample = 0; sample * 2 + 1 < sound.length; sample++) {
    if (Math.abs(sound.readInt16LE(sample * 2)) < 0.1 * 32_768) continue;
    if (sample - lastLoud > SAMPLES_PER_SECOND / 2) beeps.push((sample / SAMPLES_PER_SECOND) * 1000);
    lastLoud = sample;
  }
  return beeps;
}

/**
 * Decodes some seconds.
 * @param source a URL with options before it, or an FLV file
 */
export async function decodeTestCard(source: readonly string[] | Buffer, seconds: number): Promise<Decoded> {
  const isFile = Buffer.isBuffer(source);
  const child = spawn(
    'ffmpeg',
    [
      ...['-hide_banner', '-nostdin', '-loglevel', 'error'],
      ...(isFile ? ['-f', 'flv', '-i', 'pipe:0'] : source),
      // Both from the same zero: what one of them lacks there is filled in.
      ...['-t', String(seconds), '-map', '0:v', '-vf'],
      `fps=${String(FRAMES_PER_SECOND)}:start_time=0,scale=${String(WIDTH)}:${String(HEIGHT)}:flags=area`,
      ...['-pix_fmt', 'rgb24', '-f', 'rawvideo', 'pipe:3'],
      ...['-t', String(seconds), '-map', '0:a', '-af', 'aresample=async=1:first_pts=0'],
      ...['-ac', '1', '-ar', String(SAMPLES_PER_SECOND), '-f', 's16le', 'pipe:4'],
    ],
    { stdio: ['pipe', 'ignore', 'pipe', 'pipe', 'pipe'] },
  );
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(isFile ? source : undefined);
  const [frames, sound, errors] = await Promise.all([
    readAll(child.stdio[3] as Readable),
    readAll(child.stdio[4] as Readable),
    readAll(child.stdio[2] as Readable),
    child.exitCode ?? once(child, 'exit'),
  ]);
  const count = Math.floor(frames.length / FRAME_BYTES);
  const beeps = findBeeps(sound);
  const flashes = findFlashes(frames, count);
  return {
    exitCode: child.exitCode,
    stderr: errors.toString(),
    seconds: count / FRAMES_PER_SECOND,
    quadrants: count === 0 ? [] : QUADRANTS.map(([x, y]) => pixelAt(frames, count - 1, x, y)),
    beepAfterFlashMs: flashes.flatMap((flash) => {
      const near = beeps.filter((beep) => Math.abs(beep - flash) < 500);
      return near.slice(0, 1).map((beep) => beep - flash);
    }),
  };
}

const QUADRANTS = [
  [0.15, 0.25],
  [0.85, 0.25],
  [0.15, 0.75],
  [0.85, 0.75],
] as const;

/** Red, green (as ffmpeg names it, half bright), blue, yellow. */
const CARD_COLOURS = [
  [255, 0, 0],
  [0, 128, 0],
  [0, 0, 255],
  [255, 255, 0],
] as const;

/** The largest difference of a colour channel from what the card shows. */
export function colourError(quadrants: Decoded['quadrants']): number {
  if (quadrants.length !== CARD_COLOURS.length) return 255;
  const differences = CARD_COLOURS.flatMap((colour, quadrant) =>
    colour.map((channel, index) => Math.abs(channel - (quadrants[quadrant]?.[index] ?? 999))),
  );
  return Math.max(...differences);
}
