/** A process that keeps receipts in a spool, and says which of them it would have sent, until it is killed. */
import { writeSync } from 'node:fs';
import { openSpoolDisk } from '../../../plugin/receipts/spool-disk.ts';
import { takeSlot } from '../../../plugin/receipts/spool-slots.ts';
import { openSpool } from '../../../plugin/receipts/spool.ts';
import { silentLog } from '../../support/doubles.ts';
import { createWriter } from '../../support/receipt-book.ts';

const [, , directory = ''] = process.argv;
const slot = takeSlot(directory);
const spool = await openSpool({
  disk: await openSpoolDisk(slot.directory),
  log: silentLog,
  maxBytes: 1 << 24,
  commitMs: 2,
  segmentBytes: 8000,
});
const say = (line: object): void => void writeSync(1, `${JSON.stringify(line)}\n`);
say({ slot: slot.number });

const writers = Array.from({ length: 10 }, createWriter);
for (const { opening } of writers) spool.open(opening);
let delivering = Promise.resolve();
spool.onReady(() => {
  delivering = delivering.then(async () => {
    const batch = await spool.next(50);
    for (const receipt of batch) say({ receipt });
    await spool.acknowledge(batch.length);
  });
});
for (let round = 0; ; round++) {
  for (const [index, writer] of writers.entries()) {
    const ends = (round + index) % 20 === 19;
    spool.append(writer.next(ends ? 'viewer_left' : null));
    if (!ends) continue;
    const fresh = createWriter();
    writers[index] = fresh;
    spool.open(fresh.opening);
  }
  await new Promise((resolve) => setTimeout(resolve, 1));
}
