/**
 * WebRTC viewers of one stream: CPU of process and worker for each viewer, through gate and stage beside a mediasoup
 * app without them, and memory. One encoder feeds all; the two sides are measured at the same time, for the reason that
 * `flv.ts` gives.
 */
import { runFfmpeg, type Encoder } from '../test/support/stack.ts';
import { ask, readSide, startChild, untilServed, wait, withChildren, type ServedSide } from './children.ts';
import type { Holder } from './flv-readers.ts';
import { compared, type Bench, type Figure } from './harness.ts';
import { differenceOf, median } from './statistics.ts';
import type { ReadersCount } from './viewers-readers.ts';
import {
  AUDIO,
  VIDEO,
  type RtpPorts,
  type ServerMemory,
  type ServerReady,
  type ServerUsage,
} from './viewers-server.ts';

/** Those of a larger number come on top of those of a smaller. */
const VIEWERS = [40, 120] as const;
/** Processes on each side, one after the other: each is one pair, and memory is that of a fresh one. */
const PROCESSES = 10;
const SAME_PROCESSES = 5;
/** Of a process the median counts. */
const WINDOWS = 3;
const MEASURED_MS = 2000;
/** After the first viewers have come, so that what runs is compiled; the further ones come to warm processes. */
const WARM_UP_MS = 12_000;
const SETTLE_MS = 2000;
const BAR = 1.1;
const MEMORY_BAR_BYTES = 64 * 1024;

type Mode = 'bare' | 'gated';

interface Side extends ServedSide {
  readonly ready: ServerReady;
  readonly holders: readonly (Holder | null)[];
}

/** What was found of one kind of server. */
interface Found {
  /** CPU seconds for a Gbit that has arrived; a list for each number of viewers, by processes. */
  readonly cpuPerGbit: readonly number[][];
  /** Resident memory that a further viewer takes, by processes. */
  readonly viewerBytes: number[];
}

/** 1 Mb/s: 720p15 and sound, a keyframe every second. */
export function encodeTo(sides: readonly Pick<Side, 'ready'>[]): Encoder {
  const pictures = 'testsrc2=size=1280x720:rate=15,noise=alls=20:allf=t,format=yuv420p';
  const video = '-preset ultrafast -tune zerolatency -profile:v baseline -g 15';
  const rate = '-b:v 936k -maxrate 936k -bufsize 936k -c:a libopus -b:a 64k -ac 2';
  const output = (kind: 'v' | 'a', { ssrc, payloadType }: typeof VIDEO, ports: RtpPorts): string =>
    `[select=${kind}:f=rtp:payload_type=${String(payloadType)}:ssrc=${String(ssrc)}]` +
    `rtp://127.0.0.1:${String(ports.rtp)}?rtcpport=${String(ports.rtcp)}&pkt_size=1200`;
  const outputs = sides.flatMap(({ ready }) => [
    output('v', VIDEO, ready.video),
    output('a', AUDIO, ready.audio),
  ]);
  return runFfmpeg([
    ...['-re', '-f', 'lavfi', '-i', pictures],
    ...['-re', '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000'],
    ...['-c:v', 'libx264', ...video.split(' '), ...rate.split(' ')],
    ...['-map', '0:v', '-map', '1:a', '-f', 'tee', outputs.join('|')],
  ]);
}

const newFound = (): Found => ({ cpuPerGbit: VIEWERS.map(() => []), viewerBytes: [] });

/** Starts a server and its readers, for as long as `use` runs. */
async function withSide<T>(mode: Mode, use: (side: Side) => Promise<T>): Promise<T> {
  const started = {
    child: startChild('./viewers-server.ts', [mode], ['--expose-gc']),
    readers: startChild('./viewers-readers.ts'),
  };
  return withChildren(started, async ({ child, readers }) => {
    const ready = await ask<ServerReady>(child);
    const count = Math.max(...VIEWERS);
    const holders = await ask<(Holder | null)[]>(child, { ask: 'holders', count });
    return use({ child, readers, ready, holders });
  });
}

const read = (side: Side) => readSide<ServerUsage, ReadersCount>(side);

/** CPU seconds for a Gbit that arrives, of each side at once: the median of windows. */
async function cpuPerGbitOf(sides: readonly Side[], viewers: number): Promise<number[]> {
  const windows: number[][] = sides.map(() => []);
  for (let window = 0; window < WINDOWS; window++) {
    const from = await Promise.all(sides.map(read));
    await wait(MEASURED_MS);
    const to = await Promise.all(sides.map(read));
    for (const [index, values] of windows.entries()) {
      const [start, end] = [from[index], to[index]];
      if (start === undefined || end?.served !== viewers)
        throw new Error(
          `${String(end?.served)} of ${String(viewers)} viewers were served by party ${String(index)}`,
        );
      const gbit = ((end.bytes - start.bytes) * 8) / 1e9;
      values.push((end.cpuSeconds - start.cpuSeconds) / gbit);
    }
  }
  return windows.map(median);
}

/** Two servers with the same numbers of viewers, at once. */
async function measure(sides: readonly [Side, Side], found: readonly [Found, Found]): Promise<void> {
  const rss: number[][] = sides.map(() => []);
  for (const [size, viewers] of VIEWERS.entries()) {
    const before = VIEWERS[size - 1] ?? 0;
    await Promise.all(
      sides.map(({ readers, ready: { port }, holders }) =>
        ask<ReadersCount>(readers, { ask: 'connect', port, holders: holders.slice(before, viewers) }),
      ),
    );
    // The first keyframe may be a second away.
    await untilServed(sides, viewers, 200);
    await wait(size === 0 ? WARM_UP_MS : SETTLE_MS);
    const cpu = await cpuPerGbitOf(sides, viewers);
    for (const [index, { cpuPerGbit }] of found.entries()) cpuPerGbit[size]?.push(cpu[index] ?? NaN);
    const memory = await Promise.all(sides.map(({ child }) => ask<ServerMemory>(child, { ask: 'memory' })));
    for (const [index, { rssBytes }] of memory.entries()) rss[index]?.push(rssBytes);
  }
  const [fewer, more] = VIEWERS;
  for (const [index, { viewerBytes }] of found.entries()) {
    const [withFewer = NaN, withMore = NaN] = rss[index] ?? [];
    viewerBytes.push((withMore - withFewer) / (more - fewer));
  }
}

/** Runs two servers, the first of them started first, and adds to what was found of each. */
async function runPair(modes: readonly [Mode, Mode], found: readonly [Found, Found]): Promise<void> {
  await withSide(modes[0], (first) =>
    withSide(modes[1], async (second) => {
      const encoder = encodeTo([first, second]);
      try {
        await measure([first, second], found);
      } finally {
        await encoder.stop();
      }
    }),
  );
}

async function compare(
  mode: Mode,
  processes: number,
  progress: (line: string) => void,
): Promise<readonly [Found, Found]> {
  const [ours, bare] = [newFound(), newFound()];
  for (let index = 0; index < processes; index++) {
    await (index % 2 === 0 ? runPair([mode, 'bare'], [ours, bare]) : runPair(['bare', mode], [bare, ours]));
    progress(`${mode} beside bare: ${String(index + 1)} of ${String(processes)}`);
  }
  return [ours, bare];
}

function memoryFigure(name: string, [a, b]: readonly [Found, Found], bar?: number): Figure {
  const { value, low, high } = differenceOf(a.viewerBytes, b.viewerBytes);
  return {
    name: `${name} (${(median(a.viewerBytes) / 1024).toFixed(0)} beside ${(median(b.viewerBytes) / 1024).toFixed(0)} KiB)`,
    value: value / 1024,
    unit: 'KiB',
    interval: [low / 1024, high / 1024],
    ...(bar === undefined ? {} : { bar: bar / 1024, ok: high <= bar }),
  };
}

async function run(progress: (line: string) => void, quick: boolean): Promise<Figure[]> {
  const main = await compare('gated', quick ? 2 : PROCESSES, progress);
  const same = await compare('bare', quick ? 2 : SAME_PROCESSES, progress);
  const cpuFigures = VIEWERS.flatMap((viewers, size) => {
    const of = ([a, b]: readonly [Found, Found]) =>
      [a.cpuPerGbit[size] ?? [], b.cpuPerGbit[size] ?? []] as const;
    const name = `CPU per Gbit to ${String(viewers)} viewers, beside bare mediasoup`;
    return [
      compared(name, 's', ...of(main), { upperAtMost: BAR }),
      compared(`A/A (bare, bare), ${String(viewers)} viewers`, 's', ...of(same)),
    ];
  });
  return [
    ...cpuFigures,
    memoryFigure('more memory for a viewer than on bare mediasoup', main, MEMORY_BAR_BYTES),
    memoryFigure('A/A (bare, bare), memory for a viewer', same),
  ];
}

export const bench: Bench = {
  name: 'viewers',
  what: `${VIEWERS.join(' and ')} WebRTC viewers, 1 Mb/s, ${String(PROCESSES)} processes a side, median of ${String(WINDOWS)} windows of ${String(MEASURED_MS / 1000)} s each`,
  run,
};
