/**
 * A memory of used ids that several processes of one server share: an append-only file per minute. The kernel puts the
 * records of all processes into one order (O_APPEND), and every process reads that order: of equal ids the first has won,
 * and all agree which that is. For local file systems; NFS does not promise such appends.
 */
import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { Denial } from '../errors.ts';
import type { Clock } from '../ports.ts';
import type { ReplayMemory } from './replay.ts';

export interface SharedReplay {
  readonly replay: ReplayMemory;
  /** 32 bytes for `createNonces`: what processes remember together must have been allowed by all of them. */
  readonly secret: Uint8Array;
  close(): void;
}

export interface SharedReplayOptions {
  /** Made when missing, for its owner only. */
  readonly directory: string;
  readonly clock: Pick<Clock, 'nowMs'>;
  /** Ids held at the same time, of all processes; default 100,000. */
  readonly capacity?: number;
  /** An id is remembered until its own time is this long past, at least; default 180. */
  readonly ttlSeconds?: number;
}

/** Per file. */
const PERIOD_SECONDS = 60;
/** A record: the id's hash, and who wrote it (the process, and a count of its own). */
const HASH_BYTES = 16;
const TAG_BYTES = 16;
const RECORD_BYTES = HASH_BYTES + TAG_BYTES;
const READ_BYTES = 2048 * RECORD_BYTES;
const LOG_NAME = /^(\d{1,12})\.log$/;
const OWNER_ONLY = 0o600;

interface Period {
  readonly file: number;
  /** Bytes read so far; a multiple of a record. */
  offset: number;
  readonly ids: Set<string>;
}

/** Names a run of the machine: what a power cut took from the files, the nonces of the next run do not allow again. */
function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').replaceAll(/[^0-9a-f]/g, '');
  } catch {
    return 'any';
  }
}

/** One secret for all processes: linking a finished file is atomic, and the first one stays. */
function readOrCreateSecret(directory: string): Uint8Array {
  const name = `nonces-${bootId()}`;
  const path = join(directory, name);
  const draft = join(directory, `draft-${randomBytes(8).toString('hex')}`);
  writeFileSync(draft, randomBytes(32), { mode: OWNER_ONLY, flag: 'wx' });
  try {
    linkSync(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(draft);
  }
  for (const old of readdirSync(directory)) {
    if (old.startsWith('nonces-') && old !== name) rmSync(join(directory, old), { force: true });
  }
  const secret = readFileSync(path);
  if (secret.byteLength !== 32) throw new Error(`${path} is not a secret of this server`);
  return secret;
}

/**
 * Opens the memory that the processes using one directory share. An id must come with its time, the same for the same
 * id: that names the file. About 10 µs per id, in this thread.
 * @throws Error when the directory cannot be used
 */
export function openSharedReplay(options: SharedReplayOptions): SharedReplay {
  const { directory, clock, capacity = 100_000, ttlSeconds = 180 } = options;
  if (!(ttlSeconds > 0) || !(capacity >= 1)) throw new TypeError('capacity or ttlSeconds is not positive');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const secret = readOrCreateSecret(directory);
  const self = randomBytes(8);
  const buffer = Buffer.allocUnsafe(READ_BYTES);
  const periods = new Map<number, Period>();
  let count = 0n;
  /** Everything before this period has been looked through. */
  let swept = Number.NEGATIVE_INFINITY;
  /** The latest period of which something was given up; it stays so even if the clock is set back. */
  let forgotten = Number.NEGATIVE_INFINITY;

  /** Drops what is old, of processes that are gone too. */
  function forgetOld(): void {
    const oldest = Math.floor((clock.nowMs() / 1000 - ttlSeconds) / PERIOD_SECONDS);
    if (oldest <= swept) return;
    swept = oldest;
    for (const [number, { file }] of periods) {
      if (number >= oldest) continue;
      closeSync(file);
      periods.delete(number);
      forgotten = Math.max(forgotten, number);
    }
    for (const name of readdirSync(directory)) {
      const [, number] = LOG_NAME.exec(name) ?? [];
      if (number === undefined || Number(number) >= oldest) continue;
      rmSync(join(directory, name), { force: true });
      forgotten = Math.max(forgotten, Number(number));
    }
  }

  function periodOf(atSeconds: number): Period | null {
    const number = Math.floor(atSeconds / PERIOD_SECONDS);
    if (number <= forgotten) return null;
    let period = periods.get(number);
    if (period === undefined) {
      const file = openSync(join(directory, `${String(number)}.log`), 'a+', OWNER_ONLY);
      period = { file, offset: 0, ids: new Set() };
      periods.set(number, period);
    }
    return period;
  }

  /** Reads what has come since. @returns whether the record with this tag was the first of its id; `null`: not seen */
  function catchUp(period: Period, tag?: Buffer): boolean | null {
    let first: boolean | null = null;
    for (;;) {
      const read = readSync(period.file, buffer, 0, READ_BYTES, period.offset);
      const whole = read - (read % RECORD_BYTES);
      for (let at = 0; at < whole; at += RECORD_BYTES) {
        const id = buffer.toString('latin1', at, at + HASH_BYTES);
        const isFirst = !period.ids.has(id);
        if (isFirst) period.ids.add(id);
        if (tag?.equals(buffer.subarray(at + HASH_BYTES, at + RECORD_BYTES)) === true) first = isFirst;
      }
      period.offset += whole;
      if (read < READ_BYTES) return first;
    }
  }

  const size = (): number => {
    let sum = 0;
    for (const { ids } of periods.values()) sum += ids.size;
    return sum;
  };

  return {
    secret,
    replay: {
      use(id, code = 'proof_replayed', atSeconds) {
        if (atSeconds === undefined) throw new TypeError('a shared memory needs the time of an id');
        forgetOld();
        const period = periodOf(atSeconds);
        if (period === null) throw new Denial(code);
        const hash = createHash('sha256').update(id).digest().subarray(0, HASH_BYTES);
        catchUp(period);
        if (period.ids.has(hash.toString('latin1'))) throw new Denial(code);
        if (size() >= capacity) throw new Denial('overloaded');
        const tag = Buffer.alloc(TAG_BYTES);
        self.copy(tag);
        tag.writeBigUInt64BE((count += 1n), self.byteLength);
        let isFirst: boolean | null = null;
        try {
          writeSync(period.file, Buffer.concat([hash, tag]));
          isFirst = catchUp(period, tag);
        } catch (cause) {
          throw new Denial('overloaded', { cause });
        }
        // Not seen: the file is damaged, as by a full disk. Whatever it was, nothing is proven to be new.
        if (isFirst === null) throw new Denial('overloaded');
        if (!isFirst) throw new Denial(code);
      },
      size,
    },
    close() {
      for (const { file } of periods.values()) closeSync(file);
      periods.clear();
    },
  };
}
