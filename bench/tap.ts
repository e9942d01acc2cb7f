/**
 * CPU of the tap: FLV tags to RTP packets, beside ffmpeg doing the same (`-c copy -f rtp`) on the same stream. Ours is
 * run twice: as the media server does it (packets handed on in process), and with a UDP send per packet as ffmpeg's.
 */
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock as clock } from '../plugin/clock.ts';
import { createLiveFeed } from '../plugin/media/live.ts';
import type { RtpInput, StageEntrance } from '../plugin/ports.ts';
import { silentLog } from '../test/support/doubles.ts';
import { compared, interleave, type Bench, type Figure } from './harness.ts';

const STREAM_SECONDS = 60;
/** The stream is run through this often, so that starting ffmpeg does not count. */
const ROUNDS = 10;
const PAIRS = 10;
const BAR = 0.5;

/** Runs ffmpeg to its end; answers its CPU seconds, user and system. */
async function ffmpegCpuSeconds(args: readonly string[]): Promise<number> {
  // bash's own `time`: Node tells no child's usage.
  const child = spawn('bash', ['-c', 'TIMEFORMAT="%U %S"; time ffmpeg "$@" 2>/dev/null', 'bash', ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let report = '';
  child.stderr.on('data', (chunk: Buffer) => (report += chunk.toString()));
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) throw new Error(`ffmpeg ended with ${String(code)}`);
  const [user = Number.NaN, system = Number.NaN] = report.trim().split(' ').map(Number);
  return user + system;
}

/** 720p at 30 frames, 3 Mb/s, a keyframe every second. */
async function makeStream(path: string): Promise<void> {
  const h264 =
    '-c:v libx264 -preset ultrafast -tune zerolatency -profile:v baseline -g 30 -b:v 3M -maxrate 3M -bufsize 3M';
  const source = `testsrc2=size=1280x720:rate=30:duration=${String(STREAM_SECONDS)},noise=alls=20:allf=t,format=yuv420p`;
  await ffmpegCpuSeconds(['-y', '-f', 'lavfi', '-i', source, ...h264.split(' '), '-f', 'flv', path]);
}

/** The tags of an FLV file: after the 9-byte header, each is preceded by the size of the one before (4 bytes). */
function readTags(file: Buffer): Buffer[] {
  const tags: Buffer[] = [];
  for (let at = 9 + 4; at + 11 <= file.length;) {
    const size = 11 + file.readUIntBE(at + 1, 3);
    tags.push(file.subarray(at, at + size));
    at += size + 4;
  }
  return tags;
}

interface Count {
  packets: number;
  bytes: number;
}

/** CPU seconds of this process for all rounds of the stream. */
async function tapCpuSeconds(tags: readonly Buffer[], onPacket: (packet: Buffer) => void): Promise<number> {
  const opened = Promise.withResolvers<undefined>();
  const input: RtpInput = { sendRtp: onPacket, sendRtcp: () => undefined, close: () => undefined };
  const stage: StageEntrance = {
    openStream: () => ({
      addVideo: () => {
        opened.resolve(undefined);
        return Promise.resolve(input);
      },
      addAudio: () => Promise.resolve(input),
      addAac: () => Promise.resolve(input),
      refuseVideo: () => undefined,
      close: () => undefined,
    }),
  };
  const feed = createLiveFeed({ path: '/bench/tap', stage, clock, log: silentLog });
  for (const tag of tags.slice(0, 3)) feed.pushTag(tag);
  await opened.promise;
  await new Promise(setImmediate);
  const before = process.cpuUsage();
  for (let round = 0; round < ROUNDS; round++) {
    feed.restart();
    for (const tag of tags) feed.pushTag(tag);
    await new Promise(setImmediate);
  }
  const { user, system } = process.cpuUsage(before);
  feed.close();
  return (user + system) / 1e6;
}

async function run(progress: (line: string) => void): Promise<Figure[]> {
  const directory = await mkdtemp(join(tmpdir(), 'usher-bench-'));
  const socket = createSocket('udp4');
  const receiver = createSocket('udp4');
  try {
    const path = join(directory, 'stream.flv');
    progress('making the stream');
    await makeStream(path);
    const tags = readTags(await readFile(path));
    await new Promise<void>((resolve) => receiver.bind(0, '127.0.0.1', resolve));
    await new Promise<void>((resolve) => socket.connect(receiver.address().port, '127.0.0.1', resolve));

    const counted: Count = { packets: 0, bytes: 0 };
    const inProcess = (): Promise<number> =>
      tapCpuSeconds(tags, (packet) => {
        counted.packets += 1;
        counted.bytes += packet.length;
      });
    const rtp = `rtp://127.0.0.1:${String(receiver.address().port)}`;
    const loop = ['-stream_loop', String(ROUNDS - 1)];
    const ffmpeg = (): Promise<number> =>
      ffmpegCpuSeconds([...loop, '-i', path, '-c', 'copy', '-f', 'rtp', rtp]);
    const overUdp = (): Promise<number> => tapCpuSeconds(tags, (packet) => socket.send(packet));

    await inProcess(); // Warm up: the compiler's work is not the tap's.
    counted.packets = counted.bytes = 0;
    const main = await interleave(PAIRS, inProcess, ffmpeg, progress);
    const perSecond = counted.packets / PAIRS / ROUNDS / STREAM_SECONDS;
    const same = await interleave(PAIRS, inProcess, inProcess, progress);
    const sent = await interleave(3, overUdp, ffmpeg, progress);
    return [
      { name: 'packets per second of stream', value: perSecond, unit: '1/s' },
      compared('CPU of tap and packetizing, beside ffmpeg -c copy -f rtp', 's', main.a, main.b, BAR),
      compared('A/A', 's', same.a, same.b),
      compared('the same with a UDP send per packet, beside ffmpeg', 's', sent.a, sent.b),
    ];
  } finally {
    socket.close();
    receiver.close();
    await rm(directory, { recursive: true, force: true });
  }
}

export const bench: Bench = {
  name: 'tap',
  what: `${String(STREAM_SECONDS)} s of 720p30 at 3 Mb/s, ${String(ROUNDS)} times over, ${String(PAIRS)} pairs`,
  run,
};
