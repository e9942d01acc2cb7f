/**
 * Admission: its CPU beside the bare cryptography, what it leaves in memory, and how long its part at the order server
 * takes while passwords are hashed there.
 */
import { createAdmitWorld, type Holder } from './admit-world.ts';
import { admissionsPerCpuSecond, primitivesPerCpuSecond } from './admit-cost.ts';
import { reservationLatencies } from './admit-logins.ts';
import { heapSlope } from './admit-memory.ts';
import { compared, interleave, type Bench, type Figure } from './harness.ts';
import { quantile } from './statistics.ts';

/** At least half as many admissions as bare primitives. */
const LEAST_RATIO = 0.5;
const MOST_LATENCY_MS = 50;
/** Tickets, each with a key of its own: nothing can be remembered from one admission to the next. */
const HOLDERS = 500;

const FULL = { pairs: 30, admissions: 300_000, rounds: 8 };
const QUICK = { pairs: 6, admissions: 15_000, rounds: 2 };

async function run(progress: (line: string) => void, quick: boolean): Promise<Figure[]> {
  const { pairs, admissions, rounds } = quick ? QUICK : FULL;
  const world = await createAdmitWorld();
  const holders: Holder[] = [];
  for (let count = 0; count < HOLDERS; count++) holders.push(await world.newHolder());
  // First, while nothing else has left anything behind.
  const slope = await heapSlope(world, holders, admissions, progress);
  const ours = (): Promise<number> => {
    // A moment between the batches, so that the replay memory does not fill.
    world.advanceSeconds(10);
    return admissionsPerCpuSecond(world, holders);
  };
  const bare = (): Promise<number> => Promise.resolve(primitivesPerCpuSecond(world, holders));
  for (let count = 0; count < 4; count++) {
    await ours();
    await bare();
  }
  const cost = await interleave(pairs, ours, bare, progress);
  const same = await interleave(Math.ceil(pairs / 3), bare, bare, progress);
  const { idleMs, whileHashingMs } = await reservationLatencies(rounds, progress);
  const p99Ms = quantile(whileHashingMs, 0.99);
  return [
    compared(
      'admissions per CPU-second, beside 2 Ed25519 verifies, X25519, AES unwrap and GCM open',
      '1/s',
      cost.a,
      cost.b,
      { atLeast: LEAST_RATIO },
    ),
    compared('A/A (primitives, primitives)', '1/s', same.a, same.b),
    {
      name: `heap that stays, over ${String(admissions)} admissions (0 must be in the interval)`,
      value: slope.value,
      unit: 'bytes/admission',
      interval: [slope.low, slope.high],
      bar: 0,
      ok: slope.low <= 0 && slope.high >= 0,
    },
    {
      name: `reservation while 30 logins hash, p99 of ${String(whileHashingMs.length)}; beside without`,
      value: p99Ms,
      beside: quantile(idleMs, 0.99),
      unit: 'ms',
      bar: MOST_LATENCY_MS,
      ok: p99Ms < MOST_LATENCY_MS,
    },
    { name: 'reservation while 30 logins hash, median', value: quantile(whileHashingMs, 0.5), unit: 'ms' },
  ];
}

export const bench: Bench = {
  name: 'admit',
  what: 'admissions: CPU, memory, and their latency beside password hashes',
  run,
};
