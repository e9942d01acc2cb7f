/**
 * Spools of the processes that share one data directory: each has a numbered directory to itself. The lock is one of
 * the operating system (through SQLite's exclusive transaction on an empty file): it goes with its process, however
 * that ends, and holds across containers that share the directory, where process ids mean nothing.
 */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** A directory that is this process' own until it lets go of it. */
export interface Slot {
  readonly number: number;
  readonly directory: string;
  release(): void;
}

/** Processes of one data directory. */
const MAX_SLOTS = 64;
const SLOT = /^\d{1,2}$/;
/** SQLite's result code of a lock that somebody else has. */
const SQLITE_BUSY = 5;

/** @returns `null` when somebody has it @throws Error of the system or of SQLite when the directory is of no use */
function lockSlot(directory: string, number: number): Slot | null {
  const path = join(directory, String(number));
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const lock = new DatabaseSync(join(path, 'lock'));
  try {
    lock.exec('pragma busy_timeout = 0; begin exclusive');
  } catch (error) {
    lock.close();
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return null;
    throw error;
  }
  return { number, directory: path, release: () => lock.close() };
}

/**
 * Takes the first slot that is free.
 * @param directory made when missing, for its owner only
 * @throws Error with one clear line when there is none, or the directory is of no use
 */
export function takeSlot(directory: string): Slot {
  try {
    for (let number = 0; number < MAX_SLOTS; number++) {
      const slot = lockSlot(directory, number);
      if (slot !== null) return slot;
    }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`receipts cannot be kept in ${directory}: ${reason}`, { cause });
  }
  throw new Error(`receipts cannot be kept in ${directory}: ${String(MAX_SLOTS)} processes use it already`);
}

/**
 * Takes every other slot that a process has left behind.
 * @param complain told of each that is of no use
 */
export function takeOrphans(
  directory: string,
  own: ReadonlySet<number>,
  complain: (error: unknown) => void,
): Slot[] {
  return readdirSync(directory)
    .filter((name) => SLOT.test(name) && !own.has(Number(name)))
    .flatMap((name) => {
      try {
        return lockSlot(directory, Number(name)) ?? [];
      } catch (error) {
        complain(error);
        return [];
      }
    });
}
