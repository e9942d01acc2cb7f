/** What admissions leave behind in memory: the slope of the heap over their number. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { AdmitWorld, Holder } from './admit-world.ts';
import { slopeOf, type Interval } from './statistics.ts';

/**
 * The replay memory drops what is older than two periods of 180 s, once a period. The heap is read once a period, too, so
 * that its rise and fall does not look like growth.
 */
const PERIOD_SECONDS = 180;
/**
 * Two periods fill the replay memory. The rest is for V8, which throws compiled code away that was not run between some
 * collections: that would look like a heap that shrinks.
 */
const WARM_UP_PERIODS = 8;
const SAMPLES = 15;

/** Frees what can be freed, and answers the bytes that are left. */
function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // What the first leaves to finalizers, the second takes.
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

/** Bytes of heap per admission that stay, with the 95% interval; `admissions` are spread over all periods. */
export async function heapSlope(
  { gate, media, request, advanceSeconds }: AdmitWorld,
  holders: readonly Holder[],
  admissions: number,
  progress: (line: string) => void,
): Promise<Interval> {
  const perPeriod = Math.ceil(admissions / SAMPLES);
  const perSecond = Math.ceil(perPeriod / PERIOD_SECONDS);
  const counts: number[] = [];
  const heaps: number[] = [];
  let admitted = 0;
  for (let period = -WARM_UP_PERIODS; period < SAMPLES; period++) {
    for (let second = 0; second < PERIOD_SECONDS; second++) {
      for (let one = 0; one < perSecond; one++) {
        const holder = holders[admitted % holders.length];
        if (holder === undefined) throw new Error('no holder');
        const session = await gate.admit(request(holder), media);
        await session.end('viewer_left');
        admitted++;
      }
      advanceSeconds(1);
    }
    // Let timers and finished promises go.
    await new Promise(setImmediate);
    const bytes = heapBytes();
    progress(`${String(admitted)} admissions, ${bytes.toLocaleString('en')} bytes`);
    if (period < 0) continue;
    counts.push(admitted);
    heaps.push(bytes);
  }
  return slopeOf(counts, heaps);
}
