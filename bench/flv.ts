/**
 * Fan-out over HTTP-FLV: CPU of the server process per delivered Gbit, guarded beside bare node-media-server. One
 * encoder feeds all; viewers read in processes of their own. The two sides are measured at the same time: measured in
 * turn, one and the same process differed from itself by a fifth, with what else the machine was doing.
 */
import type { ChildProcess } from 'node:child_process';
import { runFfmpeg, type Encoder } from '../test/support/stack.ts';
import { ask, startChild as start, wait } from './children.ts';
import type { Holder } from './flv-readers.ts';
import { PATH, type ServerReady, type ServerUsage } from './flv-server.ts';
import { compared, type Bench, type Figure } from './harness.ts';
import { median } from './statistics.ts';

const VIEWERS = [500, 200, 50];
/** Processes on each side: one may run a tenth faster than another of the same code. */
const PROCESSES = 4;
const WINDOWS = 4;
const SAME_WINDOWS = 2;
const WARM_UP_VIEWERS = 100;
const BAR = 1.1;
const SETTLE_MS = 2000;
const MEASURED_MS = 3000;

/** 1.5 Mb/s of 720p30 and sound, a keyframe every second. */
const ENCODING =
  '-c:v libx264 -preset ultrafast -tune zerolatency -profile:v baseline -g 30 -b:v 1400k -maxrate 1400k -bufsize 1400k -c:a aac -b:a 96k';

interface Side {
  readonly child: ChildProcess;
  readonly ready: ServerReady;
  /** As many as there are viewers at most. */
  readonly holders: readonly (Holder | null)[];
}

interface Measured {
  readonly a: number[];
  readonly b: number[];
}

/** One encoder publishes to all of them. */
export function publishTo(sides: readonly Pick<Side, 'ready'>[]): Encoder {
  const source = 'testsrc2=size=1280x720:rate=30,noise=alls=20:allf=t,format=yuv420p';
  const outputs = sides.map(({ ready }) => `[f=flv]${ready.publishUrl}`).join('|');
  return runFfmpeg([
    ...['-re', '-f', 'lavfi', '-i', source],
    ...['-re', '-f', 'lavfi', '-i', 'sine=frequency=440:sample_rate=48000'],
    ...ENCODING.split(' '),
    ...['-map', '0:v', '-map', '1:a', '-flags', '+global_header', '-f', 'tee', outputs],
  ]);
}

async function run(progress: (line: string) => void): Promise<Figure[]> {
  const [readersOfA, readersOfB] = [start('./flv-readers.ts'), start('./flv-readers.ts')];
  const children = [readersOfA, readersOfB];
  async function startSide(mode: 'bare' | 'guarded'): Promise<Side> {
    const child = start('./flv-server.ts', [mode]);
    children.push(child);
    const ready = await ask<ServerReady>(child);
    const count = Math.max(...VIEWERS);
    return { child, ready, holders: await ask<(Holder | null)[]>(child, { ask: 'holders', count }) };
  }

  async function startSides(mode: 'bare' | 'guarded'): Promise<Side[]> {
    const sides: Side[] = [];
    for (let count = 0; count < PROCESSES; count++) sides.push(await startSide(mode));
    return sides;
  }

  async function rssBytes(sides: readonly Side[]): Promise<number> {
    const all: number[] = [];
    for (const { child } of sides) all.push((await ask<ServerUsage>(child, { ask: 'usage' })).rssBytes);
    return median(all);
  }

  function connect(readers: ChildProcess, { ready, holders }: Side, viewers: number): Promise<number> {
    const { http: port } = ready;
    return ask<number>(readers, { ask: 'connect', port, path: PATH, holders: holders.slice(0, viewers) });
  }

  /** Both at once, so that what the machine does besides meets both alike; CPU seconds per Gbit, by windows. */
  async function measure(a: Side, b: Side, viewers: number, windows: number): Promise<Measured> {
    const parties = [
      { side: a, readers: readersOfA, found: [] as number[] },
      { side: b, readers: readersOfB, found: [] as number[] },
    ];
    const readAll = () =>
      Promise.all(
        parties.map(async ({ side, readers }) => {
          const [{ cpuSeconds }, bytes] = await Promise.all([
            ask<ServerUsage>(side.child, { ask: 'usage' }),
            ask<number>(readers, { ask: 'bytes' }),
          ]);
          return { cpuSeconds, bytes };
        }),
      );
    await Promise.all(parties.map(({ side, readers }) => connect(readers, side, viewers)));
    await wait(SETTLE_MS);
    for (let window = 0; window < windows; window++) {
      const before = await readAll();
      await wait(MEASURED_MS);
      const after = await readAll();
      parties.forEach(({ found }, index) => {
        const [from, to] = [before[index], after[index]];
        if (from === undefined || to === undefined) throw new Error('no reading');
        found.push((to.cpuSeconds - from.cpuSeconds) / (((to.bytes - from.bytes) * 8) / 1e9));
      });
    }
    await Promise.all(parties.map(({ readers }) => ask<number>(readers, { ask: 'close' })));
    await wait(SETTLE_MS / 2);
    const [foundA = [], foundB = []] = parties.map(({ found }) => found);
    return { a: foundA, b: foundB };
  }

  /** Each process of one kind beside one of the other. */
  async function measureAll(
    as: readonly Side[],
    bs: readonly Side[],
    viewers: number,
    windows: number,
    progress: (line: string) => void,
  ): Promise<Measured> {
    const all: Measured = { a: [], b: [] };
    for (const [index, a] of as.entries()) {
      const b = bs[index];
      if (b === undefined) throw new Error('no process to compare with');
      const found = await measure(a, b, viewers, windows);
      all.a.push(...found.a);
      all.b.push(...found.b);
      progress(`${String(viewers)} viewers: ${String(index + 1)} of ${String(as.length)}`);
    }
    return all;
  }

  try {
    const [guarded, bare] = [await startSides('guarded'), await startSides('bare')];
    const encoder = publishTo([...guarded, ...bare]);
    await wait(3000);
    const others = [...bare.slice(1), ...bare.slice(0, 1)];
    // Code is compiled while it first runs.
    await measureAll(guarded, bare, WARM_UP_VIEWERS, 1, progress);
    const figures: Figure[] = [];
    for (const viewers of VIEWERS) {
      const main = await measureAll(guarded, bare, viewers, WINDOWS, progress);
      const name = `CPU per Gbit to ${String(viewers)} viewers, beside bare node-media-server`;
      figures.push(compared(name, 's', main.a, main.b, { upperAtMost: BAR }));
      const same = await measureAll(bare, others, viewers, SAME_WINDOWS, progress);
      figures.push(compared(`A/A (bare, bare), ${String(viewers)} viewers`, 's', same.a, same.b));
    }
    const [rss, rssBeside] = [await rssBytes(guarded), await rssBytes(bare)];
    figures.push({ name: 'memory at the end', value: rss / 1e6, unit: 'MB', beside: rssBeside / 1e6 });
    await encoder.stop();
    return figures;
  } finally {
    for (const child of children) child.kill();
  }
}

export const bench: Bench = {
  name: 'flv',
  what: `HTTP-FLV to ${VIEWERS.join('/')} viewers, 1.5 Mb/s, ${String(PROCESSES)} processes a side, ${String(WINDOWS)} windows of ${String(MEASURED_MS / 1000)} s each`,
  run,
};
