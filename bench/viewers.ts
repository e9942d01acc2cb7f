/**
 * WebRTC viewers of one stream: CPU of process and worker for each viewer, through gate and stage beside a mediasoup
 * app without them, and memory. One encoder feeds all; the two sides are measured at the same time, for the reason that
 * `flv.ts` gives.
 */
import type { ChildProcess } from 'node:child_process';
import { runFfmpeg } from '../test/support/stack.ts';
import { ask, startChild, wait } from './children.ts';
import type { Holder } from './flv-readers.ts';
import { compared, type Bench, type Figure } from './harness.ts';
import { differenceOf, median } from './statistics.ts';
import type { ReadersCount } from './viewers-readers.ts';
import { AUDIO, VIDEO, type RtpPorts, type ServerReady, type ServerUsage } from './viewers-server.ts';

/** Those of a larger number come on top of those of a smaller. */
const VIEWERS = [40, 120] as const;
/** Processes on each side, one after the other: memory is that of a fresh one. */
const PROCESSES = 5;
const WINDOWS = 3;
const MEASURED_MS = 4000;
const SETTLE_MS = 3000;
const BAR = 1.1;
const MEMORY_BAR_BYTES = 64 * 1024;

interface Side {
  readonly child: ChildProcess;
  readonly readers: ChildProcess;
  readonly ready: ServerReady;
  readonly holders: readonly (Holder | null)[];
}

/** What was found of one kind of server. */
interface Found {
  /** CPU seconds for a Gbit that has arrived; a list for each number of viewers, by windows. */
  readonly cpuPerGbit: readonly number[][];
  /** Resident memory that a further viewer takes, by processes. */
  readonly viewerBytes: number[];
}

/** 1 Mb/s: 720p15 and sound, a keyframe every second. */
function encodeTo(sides: readonly Side[]) {
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
async function withSide<T>(mode: 'bare' | 'gated', use: (side: Side) => Promise<T>): Promise<T> {
  const child = startChild('./viewers-server.ts', [mode], ['--expose-gc']);
  const readers = startChild('./viewers-readers.ts');
  try {
    const ready = await ask<ServerReady>(child);
    const count = Math.max(...VIEWERS);
    const holders = await ask<(Holder | null)[]>(child, { ask: 'holders', count });
    return await use({ child, readers, ready, holders });
  } finally {
    child.disconnect();
    readers.disconnect();
  }
}

async function read({ child, readers }: Side): Promise<ServerUsage & ReadersCount> {
  const [usage, count] = await Promise.all([
    ask<ServerUsage>(child, { ask: 'usage' }),
    ask<ReadersCount>(readers, { ask: 'count' }),
  ]);
  return { ...usage, ...count };
}

/** Resolves when all viewers have got something: the first keyframe may be a second away. */
async function untilServed(sides: readonly Side[], viewers: number): Promise<void> {
  for (let tries = 0; tries < 50; tries++) {
    const counts = await Promise.all(
      sides.map(({ readers }) => ask<ReadersCount>(readers, { ask: 'count' })),
    );
    if (counts.every(({ served }) => served === viewers)) return;
    await wait(200);
  }
  throw new Error('not every viewer is served');
}

/** Two servers with the same numbers of viewers, at once. */
async function measure(sides: readonly [Side, Side], found: readonly [Found, Found]): Promise<void> {
  const parties = sides.map((side, index) => ({
    side,
    into: found[index] ?? newFound(),
    rss: [] as number[],
  }));
  for (const [size, viewers] of VIEWERS.entries()) {
    const before = VIEWERS[size - 1] ?? 0;
    await Promise.all(
      sides.map(({ readers, ready: { port }, holders }) =>
        ask<ReadersCount>(readers, { ask: 'connect', port, holders: holders.slice(before, viewers) }),
      ),
    );
    await untilServed(sides, viewers);
    await wait(SETTLE_MS);
    for (let window = 0; window < WINDOWS; window++) {
      const from = await Promise.all(sides.map(read));
      await wait(MEASURED_MS);
      const to = await Promise.all(sides.map(read));
      for (const [index, { into, rss }] of parties.entries()) {
        const [start, end] = [from[index], to[index]];
        if (start === undefined || end?.served !== viewers)
          throw new Error(
            `${String(end?.served)} of ${String(viewers)} viewers were served by party ${String(index)}`,
          );
        const gbit = ((end.bytes - start.bytes) * 8) / 1e9;
        into.cpuPerGbit[size]?.push((end.cpuSeconds - start.cpuSeconds) / gbit);
        if (window === WINDOWS - 1) rss.push(end.rssBytes);
      }
    }
  }
  const [fewer, more] = VIEWERS;
  for (const { into, rss } of parties) {
    const [withFewer = NaN, withMore = NaN] = rss;
    into.viewerBytes.push((withMore - withFewer) / (more - fewer));
  }
}

async function compare(
  mode: 'bare' | 'gated',
  processes: number,
  progress: (line: string) => void,
): Promise<readonly [Found, Found]> {
  const found = [newFound(), newFound()] as const;
  for (let index = 0; index < processes; index++) {
    await withSide(mode, (a) =>
      withSide('bare', async (b) => {
        const encoder = encodeTo([a, b]);
        try {
          await measure([a, b], found);
        } finally {
          await encoder.stop();
        }
      }),
    );
    progress(`${mode} beside bare: ${String(index + 1)} of ${String(processes)}`);
  }
  return found;
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
  const processes = quick ? 2 : PROCESSES;
  const main = await compare('gated', processes, progress);
  const same = await compare('bare', processes, progress);
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
  what: `${VIEWERS.join(' and ')} WebRTC viewers, 1 Mb/s, ${String(PROCESSES)} processes a side, ${String(WINDOWS)} windows of ${String(MEASURED_MS / 1000)} s each`,
  run,
};
