/** The outbox of a media server: receipts are on the disk before they are sent, and after a crash they are sent still. */
import { setTimeout as sleep } from 'node:timers/promises';
import { errorFields } from '../error-fields.ts';
import type { Clock, Log, ReceiptDelivery } from '../ports.ts';
import { createOutbox, type Outbox } from './outbox.ts';
import { openSpoolDisk, type SpoolDisk } from './spool-disk.ts';
import { takeOrphans, takeSlot, type Slot } from './spool-slots.ts';
import { openSpool, type Spool, type SpoolStats } from './spool.ts';

export interface DurableOutboxOptions {
  /** Made when missing; the processes that share it have a directory each in it. */
  readonly directory: string;
  readonly delivery: ReceiptDelivery;
  readonly log: Log;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** Of one process. */
  readonly maxBytes: number;
  /** What becomes of sessions when receipts cannot be kept: they end and none begins, or all goes on. */
  readonly whenFull: 'end' | 'continue';
  /** Ends every session; called, and called again, while receipts cannot be kept. */
  readonly endSessions: () => unknown;
  /** The files; replaced by tests. */
  readonly openDisk?: (directory: string) => Promise<SpoolDisk>;
}

export interface DurableOutbox extends Outbox {
  stats(): SpoolStats;
}

/** A moment without a disk ends nobody; as long as a receipt interval does. */
const END_AFTER_MS = 5000;
const LOOK_EVERY_MS = 1000;
/** How often other processes' slots are looked at for what they have left behind. */
const ADOPT_EVERY_MS = 10_000;
/** A disk that hangs must not hold up the end. */
const LET_GO_WITHIN_MS = 300;
/** Receipts have been gathered by the commit already. */
const GATHER_MS = 20;

interface Opened {
  readonly slot: Slot;
  readonly spool: Spool;
  readonly outbox: Outbox;
}

/**
 * Opens the outbox: receipts of the run before go out, sessions that it left open are closed and go out too. So do those
 * of processes that have ended for good and shared the directory.
 * @throws Error with one clear line when the directory is of no use
 */
export async function openDurableOutbox(options: DurableOutboxOptions): Promise<DurableOutbox> {
  const { directory, delivery, log, clock, maxBytes, whenFull, endSessions } = options;
  const { openDisk = openSpoolDisk } = options;
  const adopted = new Map<number, Opened>();
  let troubledSinceMs: number | null = null;
  let adoptedAtMs = clock.monotonicMs();
  let looking: Promise<void> = Promise.resolve();

  async function openSlot(slot: Slot): Promise<Opened> {
    try {
      const spool = await openSpool({ disk: await openDisk(slot.directory), log, maxBytes });
      return { slot, spool, outbox: createOutbox({ delivery, log, queue: spool, gatherMs: GATHER_MS }) };
    } catch (cause) {
      slot.release();
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`receipts cannot be kept in ${slot.directory}: ${reason}`, { cause });
    }
  }

  async function closeSlot({ slot, spool, outbox }: Opened, withinMs: number): Promise<number> {
    const waiting = await outbox.close(withinMs);
    // What still writes to the slot has it to itself, however long that takes: only then another process may read it.
    const closing = spool
      .close()
      .catch((error: unknown) => {
        log.error(errorFields(error), 'the spool of the receipts could not be closed');
      })
      .finally(() => slot.release());
    await Promise.race([closing, sleep(LET_GO_WITHIN_MS, undefined, { ref: false })]);
    return waiting;
  }

  /** What other processes have left behind goes out from here; if it cannot be read, this one does its own work still. */
  async function adopt(): Promise<void> {
    adoptedAtMs = clock.monotonicMs();
    const complain = (error: unknown): void =>
      log.error(errorFields(error), 'receipts that a process has left behind cannot be read');
    for (const slot of takeOrphans(directory, new Set([own.slot.number, ...adopted.keys()]), complain)) {
      await openSlot(slot).then((opened) => adopted.set(slot.number, opened), complain);
    }
  }

  async function look(): Promise<void> {
    const nowMs = clock.monotonicMs();
    if (own.spool.stats().trouble === null) troubledSinceMs = null;
    else troubledSinceMs ??= nowMs;
    const lasts = troubledSinceMs !== null && nowMs - troubledSinceMs >= END_AFTER_MS;
    if (lasts && whenFull === 'end') endSessions();
    for (const [number, opened] of adopted) {
      if (opened.outbox.waiting() > 0) continue;
      adopted.delete(number);
      await closeSlot(opened, LOOK_EVERY_MS);
    }
    if (nowMs - adoptedAtMs >= ADOPT_EVERY_MS) await adopt();
  }

  const own = await openSlot(takeSlot(directory));
  await adopt();
  const timer = setInterval(() => {
    looking = looking.then(look).catch((error: unknown) => {
      log.error(errorFields(error), 'the spools of the receipts cannot be looked after');
    });
  }, LOOK_EVERY_MS);
  timer.unref();

  const all = (): Opened[] => [own, ...adopted.values()];
  const { outbox, spool } = own;
  let closing: Promise<number> | undefined;

  async function closeAll(withinMs: number): Promise<number> {
    clearInterval(timer);
    await looking;
    const waiting = await Promise.all(all().map((opened) => closeSlot(opened, withinMs)));
    return waiting.reduce((sum, count) => sum + count, 0);
  }

  return {
    ...outbox,
    takesSessions: () => whenFull === 'continue' || spool.takesSessions(),
    wake: () => all().forEach((opened) => opened.outbox.wake()),
    waiting: () => all().reduce((sum, opened) => sum + opened.outbox.waiting(), 0),
    stats() {
      const stats = all().map((opened) => opened.spool.stats());
      return {
        bytes: stats.reduce((sum, { bytes }) => sum + bytes, 0),
        trouble: spool.stats().trouble,
        setAside: stats.reduce((sum, { setAside }) => sum + setAside, 0),
      };
    },
    close: (withinMs) => (closing ??= closeAll(withinMs)),
  };
}
