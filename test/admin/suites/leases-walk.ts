/** Random walks of sessions that share a ticket's seconds, while requests, answers, receipts and servers are lost. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { World } from '../../support/databases.ts';
import {
  goSilent,
  INTERVAL_MS,
  SERVERS,
  shareTicket,
  spend,
  type LeasedSession,
  type SharedTicket,
} from '../../support/leasing.ts';

const LAPSE_MS = 31_000;

/** A session, and what the order server knows of it. */
interface Party {
  readonly session: LeasedSession;
  /** How far it was leased, whether its media server has heard that or not. */
  leasedMs: number;
  /** What it has stated. */
  statedMs: number;
  isOver: boolean;
}

/** Counted from the newest. */
const who = fc.nat({ max: 5 });
const lost = fc.boolean();
const server = fc.constantFrom(...SERVERS);
const begin = fc.record({ op: fc.constant('begin' as const), server, lost });
const use = fc.record({ op: fc.constant('use' as const), who, ms: fc.integer({ min: 1, max: 60_000 }) });
const report = fc.record({ op: fc.constant('report' as const), who, lost });
const single = fc.oneof(
  { arbitrary: begin, weight: 2 },
  fc.record({ op: fc.constant('commit' as const), who, lost }),
  { arbitrary: use, weight: 3 },
  { arbitrary: report, weight: 3 },
  fc.record({ op: fc.constant('useUp' as const), who }),
  fc.record({ op: fc.constant('finish' as const), who }),
  // What was kept of what was used after the last receipt.
  fc.record({ op: fc.constant('crash' as const), who, kept: fc.double({ min: 0, max: 1, noNaN: true }) }),
  fc.record({ op: fc.constant('lapse' as const) }),
  fc.record({ op: fc.constant('silence' as const) }),
);
type Step = typeof single extends fc.Arbitrary<infer S> ? S : never;

/** Some go silent with what they have, another uses the rest up, and they come back and state what they used. */
const late: fc.Arbitrary<Step[]> = fc
  .record({ silent: fc.array(fc.record({ server, lost }), { minLength: 1, maxLength: 2 }), server })
  .map(({ silent, server }) => [
    ...silent.flatMap(({ server, lost }): Step[] => [
      { op: 'begin', server, lost: false },
      { op: 'report', who: 0, lost },
    ]),
    { op: 'silence' },
    { op: 'begin', server, lost: false },
    { op: 'useUp', who: 0 },
    ...silent.map((): Step => ({ op: 'useUp', who: 0 })),
  ]);

const steps = fc
  .array(fc.oneof({ arbitrary: single.map((step) => [step]), weight: 8 }, { arbitrary: late, weight: 1 }), {
    minLength: 3,
    maxLength: 20,
  })
  .map((some) => some.flat());
const seconds = fc.integer({ min: 1, max: 90 });

const sum = (parties: readonly Party[], of: (party: Party) => number): number =>
  parties.reduce((total, party) => total + of(party), 0);

/** Uses all that it has until it gets no more, and ends. */
async function useAll(
  ticket: SharedTicket,
  session: LeasedSession,
  report: (reason?: 'exhausted') => Promise<unknown>,
): Promise<void> {
  let endMs = -1;
  while (session.endMs > endMs) {
    endMs = session.endMs;
    spend(ticket, session, endMs - session.mediaMs);
    await report();
  }
  await report('exhausted');
}

async function walk(world: World, totalMs: number, taken: readonly Step[]) {
  const ticket = await shareTicket(world, { seconds: totalMs / 1000 });
  const parties: Party[] = [];
  const running: Party[] = [];

  /** Nobody is given more than half of what is left, or an interval; what was given already is not taken back. */
  function leased(party: Party, endMs: number): void {
    const leftMs = totalMs - sum(parties, ({ statedMs }) => statedMs);
    const mostMs = party.statedMs + Math.max(INTERVAL_MS, Math.floor(leftMs / 2));
    expect(endMs).toBeLessThanOrEqual(Math.max(party.leasedMs, mostMs));
    party.leasedMs = Math.max(party.leasedMs, endMs);
  }
  async function state(party: Party, isLost = false, reason?: 'server_crashed' | 'exhausted'): Promise<void> {
    const { session } = party;
    const answer = await session.send([session.write(reason)]);
    expect(answer.refused).toEqual([]);
    party.statedMs = session.mediaMs;
    const [lease] = answer.leases ?? [];
    leased(party, lease?.mediaMsLeft ?? 0);
    if (!isLost) session.take(lease);
    if (reason === undefined) return;
    party.isOver = true;
    running.splice(running.indexOf(party), 1);
  }
  async function beginOne({ server, lost }: Extract<Step, { op: 'begin' }>): Promise<void> {
    const session = ticket.begin(server);
    const lease = await session.reserve().catch(() => undefined);
    if (lease === undefined) return;
    const party = { session, leasedMs: 0, statedMs: 0, isOver: false };
    parties.push(party);
    leased(party, session.endMs);
    // Without an answer nobody is admitted.
    if (!lost) running.push(party);
  }
  async function take(step: Step): Promise<void> {
    if (step.op === 'lapse') ticket.nowMs += LAPSE_MS;
    else if (step.op === 'silence') await goSilent(world, ticket);
    else if (step.op === 'begin') await beginOne(step);
    else {
      const party = running[running.length - 1 - (step.who % Math.max(1, running.length))];
      if (party === undefined) return;
      const { session, statedMs } = party;
      if (step.op === 'use') spend(ticket, session, step.ms);
      else if (step.op === 'report') await state(party, step.lost);
      else if (step.op === 'finish') await state(party, false, 'server_crashed');
      else if (step.op === 'crash') {
        session.mediaMs = statedMs + Math.floor((session.mediaMs - statedMs) * step.kept);
        await state(party, false, 'server_crashed');
      } else if (step.op === 'commit') {
        const { endMs } = session;
        // What was reserved may have lapsed, and nothing be left of it: the session ends.
        const lease = await session.commit().catch(() => undefined);
        if (lease === undefined) return state(party, false, 'server_crashed');
        leased(party, session.endMs);
        if (step.lost) session.endMs = endMs;
      } else await useAll(ticket, session, (reason) => state(party, false, reason));
    }
  }
  for (const step of taken) {
    await take(step);
    // What has been stated, and what may be.
    const used = sum(parties, ({ session }) => session.mediaMs);
    expect(used).toBeLessThanOrEqual(totalMs + INTERVAL_MS);
  }
  const endAll = async (): Promise<void> => {
    for (const party of [...running]) await state(party, false, 'server_crashed');
  };
  return { ticket, parties, endAll };
}

/** What is left for one who comes when nobody else is heard: all but what they have, of which an interval is given. */
function leftMs(totalMs: number, parties: readonly Party[]): number {
  const having = parties.filter(({ isOver }) => !isOver);
  const heldMs = sum(having, ({ leasedMs, statedMs }) => leasedMs - statedMs);
  const usedMs = sum(parties, ({ statedMs }) => statedMs);
  return Math.max(0, totalMs - usedMs - Math.max(0, heldMs - INTERVAL_MS));
}

/** How much one who comes can use. */
async function useTheRest(ticket: SharedTicket): Promise<number> {
  const next = ticket.begin(SERVERS[0]);
  const isRefused = await next.reserve().then(
    () => false,
    () => true,
  );
  if (!isRefused) await useAll(ticket, next, next.report);
  return next.mediaMs;
}

/** Tests of a world's database. */
export function leasesWalk(world: () => World): void {
  it('never lets a ticket be exceeded by more than one interval, nor one session have all at once', async () => {
    await fc.assert(
      fc.asyncProperty(seconds, steps, async (seconds, steps) => {
        const { ticket, endAll } = await walk(world(), seconds * 1000, steps);
        await endAll();
        expect(await ticket.usedMs()).toBeLessThanOrEqual(seconds * 1000 + INTERVAL_MS);
      }),
      { numRuns: 20 },
    );
  }, 60_000);

  it('loses nothing of it but what those have who were not heard of, of which an interval is given', async () => {
    await fc.assert(
      fc.asyncProperty(seconds, steps, fc.boolean(), async (seconds, steps, isSilent) => {
        const { ticket, parties, endAll } = await walk(world(), seconds * 1000, steps);
        if (!isSilent) await endAll();
        // What was reserved and not heard of has lapsed.
        await goSilent(world(), ticket);
        const restMs = leftMs(seconds * 1000, parties);
        expect(await useTheRest(ticket)).toBe(restMs);
      }),
      { numRuns: 20 },
    );
  }, 60_000);
}
