import fc from 'fast-check';
import { beforeAll, it } from 'vitest';
import { commandArbitrary, walk, type Sale } from '../../support/order-machine.ts';
import type { World } from '../../support/databases.ts';
import { createSale } from '../../support/sales.ts';

const FOR_MS = 10_000;

export function orderMachineSuite(atOnce: number): (world: () => World) => void {
  return (world) => {
    let sales: Sale[] = [];
    beforeAll(async () => {
      const views = { kind: 'views', views: 2, validSeconds: 3600 } as const;
      sales = [
        await createSale(world(), { priceMinor: 0 }),
        await createSale(world(), { unusedPolicy: 'forfeit' }),
        await createSale(world(), {
          unusedPolicy: 'refund',
          timeOption: { kind: 'duration', seconds: 3600 },
        }),
        await createSale(world(), { charging: 'on_delivery', captureAfterSeconds: 60, timeOption: views }),
        await createSale(world(), {
          timeOption: { kind: 'metered', unit: 'minute', max: 10, validSeconds: 3600 },
          meterPriceMinor: 25,
        }),
      ];
    });

    it(`charges once and for what was delivered, whatever happens, ${String(atOnce)} at a time`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(commandArbitrary, { minLength: 10, maxLength: 50 }), (commands) =>
          walk(world(), sales, commands, atOnce),
        ),
        { numRuns: 200, interruptAfterTimeLimit: FOR_MS, markInterruptAsFailure: false, endOnFailure: true },
      );
    }, 60_000);
  };
}
