/**
 * Fan-out over HTTP-FLV: CPU of the server process per delivered Gbit, guarded beside bare node-media-server. One
 * encoder feeds both; viewers read in a third process.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { runFfmpeg } from '../test/support/stack.ts';
import { PATH, type ServerQuestion, type ServerReady, type ServerUsage } from './flv-server.ts';
import type { Holder, ReadersQuestion } from './flv-readers.ts';
import { compared, interleave, type Bench, type Figure } from './harness.ts';
import { median } from './statistics.ts';

const VIEWERS = [50, 200, 500];
/** Processes on each side: one may run a tenth faster than another of the same code. */
const PROCESSES = 3;
const PAIRS = 3 * PROCESSES;
const SAME_PAIRS = 2 * PROCESSES;
const WARM_UP_VIEWERS = 100;
const BAR = 1.1;
const SETTLE_MS = 2000;
const MEASURED_MS = 3000;

/** 1.5 Mb/s of 720p30 and sound, a keyframe every second. */
const ENCODING =
  '-c:v libx264 -preset ultrafast -tune zerolatency -profile:v baseline -g 30 -b:v 1400k -maxrate 1400k -bufsize 1400k -c:a aac -b:a 96k';

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function start(module: string, args: string[] = []): ChildProcess {
  return fork(fileURLToPath(new URL(module, import.meta.url)), args, {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
}

/** One question at a time; a child that ends instead is an error. */
async function ask<T>(child: ChildProcess, question?: ServerQuestion | ReadersQuestion): Promise<T> {
  const ended = new AbortController();
  const exit = once(child, 'exit', { signal: ended.signal }).then(() => {
    throw new Error('a process of the bench has ended');
  });
  exit.catch(() => undefined);
  const answer = once(child, 'message', { signal: ended.signal }).then(([message]) => message as T);
  if (question !== undefined) child.send(question);
  try {
    return await Promise.race([answer, exit]);
  } finally {
    ended.abort();
    answer.catch(() => undefined);
  }
}

interface Side {
  readonly child: ChildProcess;
  readonly ready: ServerReady;
  /** As many as there are viewers at most. */
  readonly holders: readonly (Holder | null)[];
}

async function run(progress: (line: string) => void): Promise<Figure[]> {
  const readers = start('./flv-readers.ts');
  const children = [readers];
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

  /** CPU seconds per Gbit that arrived. */
  async function measure({ child, ready, holders }: Side, viewers: number): Promise<number> {
    await ask<number>(readers, {
      ask: 'connect',
      port: ready.http,
      path: PATH,
      holders: holders.slice(0, viewers),
    });
    await wait(SETTLE_MS);
    const [usage, bytes] = [
      await ask<ServerUsage>(child, { ask: 'usage' }),
      await ask<number>(readers, { ask: 'bytes' }),
    ];
    await wait(MEASURED_MS);
    const [usageAfter, bytesAfter] = [
      await ask<ServerUsage>(child, { ask: 'usage' }),
      await ask<number>(readers, { ask: 'bytes' }),
    ];
    await ask<number>(readers, { ask: 'close' });
    await wait(SETTLE_MS / 3);
    return (usageAfter.cpuSeconds - usage.cpuSeconds) / (((bytesAfter - bytes) * 8) / 1e9);
  }

  try {
    const [guarded, bare] = [await startSides('guarded'), await startSides('bare')];
    const outputs = [...guarded, ...bare].map(({ ready }) => `[f=flv]${ready.publishUrl}`).join('|');
    const source = 'testsrc2=size=1280x720:rate=30,noise=alls=20:allf=t,format=yuv420p';
    const encoder = runFfmpeg([
      ...[
        '-re',
        '-f',
        'lavfi',
        '-i',
        source,
        '-re',
        '-f',
        'lavfi',
        '-i',
        'sine=frequency=440:sample_rate=48000',
      ],
      ...ENCODING.split(' '),
      ...['-map', '0:v', '-map', '1:a', '-flags', '+global_header', '-f', 'tee', outputs],
    ]);
    await wait(3000);
    // Code is compiled while it first runs.
    for (const side of [...guarded, ...bare]) await measure(side, WARM_UP_VIEWERS);
    const figures: Figure[] = [];
    for (const viewers of VIEWERS) {
      const note = (line: string): void => progress(`${String(viewers)} viewers: ${line}`);
      const inTurn = (sides: readonly Side[], first = 0) => {
        let turn = first;
        return () => measure(sides[turn++ % sides.length] as Side, viewers);
      };
      const main = await interleave(PAIRS, inTurn(guarded), inTurn(bare), note);
      const name = `CPU per Gbit to ${String(viewers)} viewers, beside bare node-media-server`;
      figures.push(compared(name, 's', main.a, main.b, { upperAtMost: BAR }));
      const same = await interleave(SAME_PAIRS, inTurn(bare), inTurn(bare, 1), note);
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
  what: `HTTP-FLV to ${VIEWERS.join('/')} viewers, 1.5 Mb/s, ${String(PAIRS)} pairs of ${String(MEASURED_MS / 1000)} s each, ${String(PROCESSES)} processes a side`,
  run,
};
