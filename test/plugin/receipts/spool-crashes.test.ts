/** Any history of receipts, deliveries, full disks and losses of power: what was kept is delivered, in order, closed once. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Receipt } from '../../../plugin/contract.ts';
import { openSpool, type Spool } from '../../../plugin/receipts/spool.ts';
import { silentLog } from '../../support/doubles.ts';
import { createMemoryDisk, type MemoryDisk } from '../../support/memory-disk.ts';
import { createReceiptBook, createWriter } from '../../support/receipt-book.ts';

const SESSIONS = 4;

const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('append'), session: fc.nat(SESSIONS - 1) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('end'), session: fc.nat(SESSIONS - 1) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('flush'), session: fc.constant(0) }) },
  // Nobody waits for it: more comes meanwhile.
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('flushing'), session: fc.constant(0) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('full'), session: fc.constant(0) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('deliver'), session: fc.constant(0) }) },
  // The answer is lost: the order server has them, and this server does not know it.
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('unanswered'), session: fc.constant(0) }) },
);
const life = fc.record({
  actions: fc.array(action, { maxLength: 40 }),
  powerAfter: fc.nat(30),
});

it('loses nothing that was kept, whenever the power goes', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(life, { minLength: 1, maxLength: 4 }),
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 7, maxLength: 7 }),
      async (lives, numbers) => {
        let drawn = 0;
        const draw = (): number => numbers[drawn++ % numbers.length] ?? 0;
        const book = createReceiptBook();
        const kept = new Map<string, Receipt | null>();
        let disk: MemoryDisk = createMemoryDisk();
        const openOn = (): Promise<Spool> =>
          openSpool({ disk, log: silentLog, maxBytes: 1 << 20, commitMs: 1_000_000, segmentBytes: 1500 });

        for (const { actions, powerAfter } of lives) {
          const lost = disk.losePowerAfter(powerAfter);
          /** Without the power everything stands still. */
          const run = async (spool: Spool): Promise<void> => {
            const writers = new Map<number, ReturnType<typeof createWriter>>();
            const unkept = new Map<string, Receipt | null>();
            for (const { kind, session } of actions) {
              const known = writers.get(session);
              const writer = known ?? createWriter();
              const { session: id } = writer.opening;
              if (kind === 'append' || kind === 'end') {
                if (known === undefined) {
                  writers.set(session, writer);
                  spool.open(writer.opening);
                }
                const receipt = writer.next(kind === 'end' ? 'viewer_left' : null);
                if (kind === 'end') writers.delete(session);
                unkept.set(id, receipt);
                spool.append(receipt);
              } else if (kind === 'flush') {
                const written = [...unkept];
                await spool.flush();
                if (spool.stats().trouble !== null) continue;
                for (const [name, receipt] of written) kept.set(name, receipt);
              } else if (kind === 'flushing') {
                void spool.flush();
              } else if (kind === 'full') {
                disk.failWith = disk.failWith === null ? 'ENOSPC' : null;
              } else if (spool.stats().trouble === 'disk') {
                // What goes out without having been kept is no part of this promise.
                continue;
              } else {
                const batch = await spool.next(5);
                book.store(batch);
                if (kind === 'deliver') await spool.acknowledge(batch.length);
              }
            }
          };
          const opened = openOn();
          await Promise.race([lost, opened.then(run)]);
          disk = disk.found(draw);
        }

        const last = await openOn();
        for (let batch = await last.next(50); batch.length > 0; batch = await last.next(50)) {
          book.store(batch);
          await last.acknowledge(batch.length);
        }
        await last.close();
        for (const chain of book.chains.values()) expect(chain.at(-1)?.state).toBe('final');
        for (const [session, receipt] of kept) {
          const chain = book.chains.get(session);
          expect(chain?.at(-1)?.mediaMs).toBeGreaterThanOrEqual(receipt?.mediaMs ?? 0);
          if (receipt?.state === 'final') expect(chain?.at(-1)).toEqual(receipt);
        }
        expect([...disk.files.keys()].filter((name) => name.endsWith('.spool'))).toEqual([]);
      },
    ),
    { numRuns: 500 },
  );
});
