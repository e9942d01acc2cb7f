import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Receipt } from '../../../plugin/contract.ts';
import { openSpoolDisk } from '../../../plugin/receipts/spool-disk.ts';
import { takeSlot } from '../../../plugin/receipts/spool-slots.ts';
import { openSpool } from '../../../plugin/receipts/spool.ts';
import { silentLog } from '../../support/doubles.ts';
import { createReceiptBook } from '../../support/receipt-book.ts';

const KILLS = 10;

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'usher-spool-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** Runs a writer, kills it after so many receipts, and answers what it has sent. */
async function runAndKill(afterReceipts: number, afterMs: number): Promise<Receipt[]> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'spool-writer.ts'), directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const gone = once(child, 'exit');
  const sent: Receipt[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    const said = JSON.parse(line) as { slot?: number; receipt?: Receipt };
    if (said.slot !== undefined) expect(said.slot).toBe(0);
    if (said.receipt !== undefined) sent.push(said.receipt);
    if (sent.length < afterReceipts || child.killed) continue;
    await sleep(afterMs);
    child.kill('SIGKILL');
  }
  await gone;
  return sent;
}

it(`survives ${String(KILLS)} kills: nothing that was sent is forgotten, every session is closed once`, async () => {
  const book = createReceiptBook();
  for (let kill = 0; kill < KILLS; kill++) {
    // In the middle of anything: the times are no multiples of what the writer does.
    book.store(await runAndKill(1 + 37 * kill, (kill * 7) % 5));
  }
  const slot = takeSlot(directory);
  const mode = (await stat(slot.directory)).mode & 0o777;
  const files = (await readdir(slot.directory)).filter((name) => name.endsWith('.spool'));
  const modes = await Promise.all(
    files.map(async (name) => (await stat(join(slot.directory, name))).mode & 0o777),
  );
  const disk = await openSpoolDisk(slot.directory);
  const spool = await openSpool({ disk, log: silentLog, maxBytes: 1 << 24 });
  for (let batch = await spool.next(500); batch.length > 0; batch = await spool.next(500)) {
    book.store(batch);
    await spool.acknowledge(batch.length);
  }
  await spool.close();
  slot.release();
  const chains = [...book.chains.values()];
  expect(chains.length).toBeGreaterThan(KILLS);
  expect(chains.filter((chain) => chain.at(-1)?.state !== 'final')).toEqual([]);
  expect(chains.some((chain) => chain.at(-1)?.reason === 'server_crashed')).toBe(true);
  expect([mode, new Set(modes)]).toEqual([0o700, new Set([0o600])]);
  expect(await readdir(join(directory, '0'))).toEqual(['lock']);
}, 60_000);
