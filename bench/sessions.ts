/**
 * What a session costs beside a viewer of the bare host: CPU and memory, of sessions that play and of the same ones while
 * the publisher is silent (admitted, metered, nothing to send). The two sides are measured at the same time, for the
 * reason that `flv.ts` gives. Then `sessions-churn.ts`.
 */
import type { Encoder } from '../test/support/stack.ts';
import { wait } from './children.ts';
import { compared, type Bench, type Figure } from './harness.ts';
import { churn } from './sessions-churn.ts';
import { cpuSecondsOf, holdersOf, HOSTS, stateOf, withSide, type Host, type Side } from './sessions-hosts.ts';
import { differenceOf, median } from './statistics.ts';

/** Processes on each side, one after the other: each is one pair. */
const PROCESSES = 8;
const SAME_PROCESSES = 4;
/** Of a process the median counts. */
const WINDOWS = 3;
const PLAYING_MS = 2000;
/** Little is done in it: longer, and a whole number of the 5 s between receipts. */
const IDLE_MS = 5000;
/** After the first viewers have come, so that what runs is compiled; the further ones come to warm processes. */
const WARM_UP_MS = 12_000;
/** An encoder that was stopped makes up for it first. */
const SETTLE_MS = 4000;
const CPU_BAR = 1.1;
const MEMORY_BAR_BYTES = 64 * 1024;

/** What was found of one kind of server; one value for each process. */
interface Found {
  /** CPU seconds for a Gbit that has arrived. */
  readonly playing: number[];
  /** CPU milliseconds a second for each session. */
  readonly idle: number[];
  /** Resident memory that a further session takes. */
  readonly playingBytes: number[];
  readonly idleBytes: number[];
}

const newFound = (): Found => ({ playing: [], idle: [], playingBytes: [], idleBytes: [] });

interface Reading {
  readonly cpuSeconds: number;
  readonly bytes: number;
}

async function read(host: Host, side: Side): Promise<Reading> {
  const [cpuSeconds, bytes] = await Promise.all([cpuSecondsOf(side), host.bytes(side)]);
  return { cpuSeconds, bytes };
}

/** What `of` makes of the readings around each window; of each side the median. */
async function windowsOf(
  host: Host,
  sides: readonly Side[],
  forMs: number,
  of: (cpuSeconds: number, bytes: number) => number,
): Promise<number[]> {
  const values: number[][] = sides.map(() => []);
  for (let window = 0; window < WINDOWS; window++) {
    const from = await Promise.all(sides.map((side) => read(host, side)));
    await wait(forMs);
    const to = await Promise.all(sides.map((side) => read(host, side)));
    for (const [index, all] of values.entries()) {
      const [start, end] = [from[index], to[index]];
      if (start === undefined || end === undefined) throw new Error('no reading');
      all.push(of(end.cpuSeconds - start.cpuSeconds, end.bytes - start.bytes));
    }
  }
  return values.map(median);
}

const rssOf = async (sides: readonly Side[]): Promise<number[]> =>
  (await Promise.all(sides.map(stateOf))).map(({ rssBytes }) => rssBytes);

/** Two servers with the same numbers of sessions, at once. */
async function measure(
  host: Host,
  sides: readonly Side[],
  encoder: Encoder,
  found: readonly Found[],
): Promise<void> {
  const holders = await Promise.all(sides.map((side) => holdersOf(side, host.sizes[1])));
  const playingRss: number[][] = [];
  const idleRss: number[][] = [];
  const add = (name: keyof Found, values: readonly number[]): void => {
    for (const [index, one] of found.entries()) one[name].push(values[index] ?? Number.NaN);
  };
  for (const [size, sessions] of host.sizes.entries()) {
    const isFirst = size === 0;
    const from = isFirst ? 0 : host.sizes[0];
    await Promise.all(
      sides.map((side, index) => host.connect(side, (holders[index] ?? []).slice(from, sessions))),
    );
    await wait(isFirst ? WARM_UP_MS : SETTLE_MS);
    if (!isFirst) {
      add(
        'playing',
        await windowsOf(host, sides, PLAYING_MS, (cpuSeconds, bytes) => {
          if (bytes === 0) throw new Error('nothing has come');
          return cpuSeconds / ((bytes * 8) / 1e9);
        }),
      );
    }
    playingRss.push(await rssOf(sides));
    encoder.child.kill('SIGSTOP');
    await wait(SETTLE_MS / 2);
    if (!isFirst) {
      add(
        'idle',
        await windowsOf(host, sides, IDLE_MS, (cpuSeconds) => (cpuSeconds * 1e6) / IDLE_MS / sessions),
      );
    }
    idleRss.push(await rssOf(sides));
    encoder.child.kill('SIGCONT');
  }
  const [fewer, more] = host.sizes;
  const perSession = ([before = [], after = []]: readonly number[][]): number[] =>
    after.map((bytes, index) => (bytes - (before[index] ?? Number.NaN)) / (more - fewer));
  add('playingBytes', perSession(playingRss));
  add('idleBytes', perSession(idleRss));
}

/** Runs two servers, the first of them started first, and adds to what was found of each. */
function runPair(host: Host, modes: readonly [string, string], found: readonly Found[]): Promise<void> {
  return withSide(host, modes[0], (first) =>
    withSide(host, modes[1], async (second) => {
      const encoder = host.feed([first, second]);
      try {
        await wait(SETTLE_MS);
        await measure(host, [first, second], encoder, found);
      } finally {
        await encoder.stop();
      }
    }),
  );
}

async function compare(
  host: Host,
  mode: string,
  processes: number,
  progress: (line: string) => void,
): Promise<readonly [Found, Found]> {
  const [ours, bare] = [newFound(), newFound()];
  for (let index = 0; index < processes; index++) {
    if (index % 2 === 0) await runPair(host, [mode, 'bare'], [ours, bare]);
    else await runPair(host, ['bare', mode], [bare, ours]);
    progress(`${host.name}, ${mode} beside bare: ${String(index + 1)} of ${String(processes)}`);
  }
  return [ours, bare];
}

function memoryFigure(name: string, a: readonly number[], b: readonly number[], bar?: number): Figure {
  const { value, low, high } = differenceOf(a, b);
  const kib = (values: readonly number[]): string => (median(values) / 1024).toFixed(0);
  return {
    name: `${name} (${kib(a)} beside ${kib(b)} KiB)`,
    value: value / 1024,
    unit: 'KiB',
    interval: [low / 1024, high / 1024],
    ...(bar === undefined ? {} : { bar: bar / 1024, ok: high <= bar }),
  };
}

/** What an idle session costs more is told by itself: where the bare host does next to nothing, a ratio says little. */
function idleFigure(name: string, a: readonly number[], b: readonly number[]): Figure {
  const { value, low, high } = differenceOf(a, b);
  return { name, value, unit: 'ms/s', interval: [low, high] };
}

async function figuresOf(host: Host, quick: boolean, progress: (line: string) => void): Promise<Figure[]> {
  const [ours, bare] = await compare(host, host.mode, quick ? 2 : PROCESSES, progress);
  const [a, b] = await compare(host, 'bare', quick ? 2 : SAME_PROCESSES, progress);
  const [fewer, more] = host.sizes;
  const of = `${host.name}, ${String(more)}`;
  const further = `${host.name}, from ${String(fewer)} to ${String(more)}`;
  const bar = { upperAtMost: CPU_BAR };
  return [
    compared(`${of} playing: CPU per Gbit`, 's', ours.playing, bare.playing, bar),
    compared(`${of} playing, A/A (bare, bare)`, 's', a.playing, b.playing),
    compared(`${of} idle: CPU of each`, 'ms/s', ours.idle, bare.idle, bar),
    compared(`${of} idle, A/A (bare, bare)`, 'ms/s', a.idle, b.idle),
    idleFigure(`${of} idle: more CPU for each than bare`, ours.idle, bare.idle),
    memoryFigure(
      `${further} playing: more memory for each than bare`,
      ours.playingBytes,
      bare.playingBytes,
      MEMORY_BAR_BYTES,
    ),
    memoryFigure(`${further} playing, A/A (bare, bare)`, a.playingBytes, b.playingBytes),
    memoryFigure(
      `${further} idle: more memory for each than bare`,
      ours.idleBytes,
      bare.idleBytes,
      MEMORY_BAR_BYTES,
    ),
    memoryFigure(`${further} idle, A/A (bare, bare)`, a.idleBytes, b.idleBytes),
  ];
}

async function run(progress: (line: string) => void, quick: boolean, minutes?: number): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const host of HOSTS) figures.push(...(await figuresOf(host, quick, progress)));
  return [...figures, ...(await churn(progress, quick, minutes))];
}

export const bench: Bench = {
  name: 'sessions',
  what: `sessions that play, and idle ones, beside the bare hosts, ${String(PROCESSES)} processes a side; then joins, leaves and renewals for 10 minutes`,
  run,
};
