/**
 * What is left of sessions that have come and gone: memory, open files, ports and the event loop's resources of a server
 * on which viewers join, leave and renew all the time, over the number of those that have joined.
 */
import { ask, wait } from './children.ts';
import { tableOf, type Bench, type Figure } from './harness.ts';
import type { ProcessState } from './process-state.ts';
import { holdersOf, HOSTS, stateOf, withSide, type Host, type Side } from './sessions-hosts.ts';
import { driftOf, growthOf } from './statistics.ts';

/** Present at a time. */
const SESSIONS = 24;
/** Each second as many join as leave: every one stays 12 s, long enough for two receipts of progress. */
const JOINS_PER_SECOND = 2;
const RENEWALS_PER_SECOND = 1;
const MINUTES = 10;
const QUICK_MINUTES = 1;
/**
 * What is remembered of a session that has ended, so that its viewer can be told, is forgotten after 10 minutes, and
 * proofs that were shown after 6 at most: until then memory grows by that.
 */
const WARM_UP_MINUTES = 11;
const QUICK_WARM_UP_MINUTES = 0.25;
const SAMPLES = 40;
const QUICK_SAMPLES = 12;

interface Sample {
  readonly joined: number;
  readonly state: ProcessState;
}

interface Quantity {
  readonly name: string;
  readonly key: keyof ProcessState;
  /** By which a reading is divided, and its unit. */
  readonly by: number;
  readonly unit: string;
  /** More than this for every 1,000 joins is growth, in the unit: a session that stays takes more than 100 KiB. */
  readonly bound: number;
}

const QUANTITIES: readonly Quantity[] = [
  { name: 'resident memory', key: 'rssBytes', by: 1024, unit: 'KiB', bound: 1000 },
  { name: 'heap', key: 'heapBytes', by: 1024, unit: 'KiB', bound: 100 },
  { name: 'open files', key: 'files', by: 1, unit: '', bound: 1 },
  { name: 'ports', key: 'ports', by: 1, unit: '', bound: 1 },
  { name: 'event loop resources', key: 'resources', by: 1, unit: '', bound: 1 },
];

/** Viewers that come and go: one second of it. */
async function turn(host: Host, side: Side): Promise<void> {
  await host.connect(side, await holdersOf(side, JOINS_PER_SECOND, host.renews ? 1 : 0));
  await ask(side.readers, { ask: 'leave', count: JOINS_PER_SECOND });
  if (host.renews) await ask(side.readers, { ask: 'renew', count: RENEWALS_PER_SECOND });
}

interface Plan {
  readonly warmUpMs: number;
  readonly measuredMs: number;
  readonly samples: number;
}

async function churnOn(host: Host, plan: Plan, progress: (line: string) => void): Promise<Sample[]> {
  return withSide(host, host.mode, async (side) => {
    const encoder = host.feed([side]);
    try {
      await wait(4000);
      await host.connect(side, await holdersOf(side, SESSIONS, host.renews ? 1 : 0));
      const samples: Sample[] = [];
      const startMs = performance.now() + plan.warmUpMs;
      const endMs = startMs + plan.measuredMs;
      let joined = 0;
      for (let nowMs = performance.now(); nowMs < endMs; nowMs = performance.now()) {
        await turn(host, side);
        joined += JOINS_PER_SECOND;
        if (performance.now() >= startMs + (samples.length * plan.measuredMs) / plan.samples) {
          samples.push({ joined, state: await stateOf(side) });
          progress(`${host.name}: ${String(joined)} joined, sample ${String(samples.length)}`);
        }
        await wait(Math.max(0, nowMs + 1000 - performance.now()));
      }
      return samples;
    } finally {
      await encoder.stop();
    }
  });
}

/** For every 1,000 joins. */
function figureOf(host: Host, samples: readonly Sample[], quantity: Quantity): Figure {
  const { name, key, by, unit, bound } = quantity;
  const { value, low, high } = driftOf(
    samples.map(({ joined }) => joined / 1000),
    samples.map(({ state }) => state[key] / by),
  );
  return {
    name: `${host.name}: ${name}, slope`,
    value,
    unit: `${unit}/1,000 joins`,
    interval: [low, high],
    bar: bound,
    ok: ['none', 'within bound'].includes(growthOf({ value, low, high }, bound)),
  };
}

function rowsOf(host: Host, samples: readonly Sample[], figures: readonly Figure[]): string[][] {
  const text = (value: number): string => value.toFixed(Math.abs(value) >= 100 ? 0 : 2);
  return QUANTITIES.map(({ name, key, by, unit, bound }, index) => {
    const { value = Number.NaN, interval: [low, high] = [Number.NaN, Number.NaN] } = figures[index] ?? {};
    const of = (sample: Sample | undefined): string => text((sample?.state[key] ?? Number.NaN) / by);
    return [
      host.name,
      unit === '' ? name : `${name}, ${unit}`,
      of(samples.at(0)),
      of(samples.at(-1)),
      text(value),
      `${text(low)} to ${text(high)}`,
      text(bound),
      growthOf({ value, low, high }, bound),
    ];
  });
}

/** Both hosts at the same time. @param minutes of what is measured; 0: nothing is */
export async function churn(
  progress: (line: string) => void,
  quick: boolean,
  minutes = quick ? QUICK_MINUTES : MINUTES,
): Promise<Figure[]> {
  if (minutes === 0) return [];
  const plan: Plan = {
    warmUpMs: (quick ? QUICK_WARM_UP_MINUTES : WARM_UP_MINUTES) * 60_000,
    measuredMs: minutes * 60_000,
    samples: quick ? QUICK_SAMPLES : SAMPLES,
  };
  const found = await Promise.all(
    HOSTS.map(async (host) => {
      const samples = await churnOn(host, plan, progress);
      const figures = QUANTITIES.map((quantity) => figureOf(host, samples, quantity));
      return { figures, rows: rowsOf(host, samples, figures) };
    }),
  );
  const head = ['host', 'of', 'first', 'last', 'slope/1,000 joins', '95%', 'bound', 'growth'];
  console.log(tableOf([head, ...found.flatMap(({ rows }) => rows)]));
  return found.flatMap(({ figures }) => figures);
}

export const bench: Bench = {
  name: 'sessions-churn',
  what: `${String(SESSIONS)} sessions of which ${String(JOINS_PER_SECOND)} a second leave for others, and what stays of them`,
  run: churn,
};
