/**
 * The durable queue of receipts: segments in one directory, appended to. What has been appended is written and synced
 * in groups, and may be sent only then; what the order server has acknowledged is deleted, a segment at a time. After a
 * crash everything that was not acknowledged is there, and every session that was running is closed with the counters
 * that were written last.
 */
import type { Receipt, SessionOpening } from '../contract.ts';
import { errorFields } from '../error-fields.ts';
import type { Log } from '../ports.ts';
import { createReceiptChain } from './chain.ts';
import type { ReceiptQueue } from './queue.ts';
import { createDamageControl, MAX_READ_FAILURES, type FoundSegment } from './spool-damage.ts';
import type { SpoolDisk } from './spool-disk.ts';
import { decodeSegment, encodeRecord, type SpoolEntry } from './spool-format.ts';

export interface SpoolOptions {
  readonly disk: SpoolDisk;
  readonly log: Log;
  /** Over this many bytes the spool is full: it takes final receipts, and nothing else. */
  readonly maxBytes: number;
  /** Milliseconds that receipts are gathered for one commit; default 250. */
  readonly commitMs?: number;
  /** A segment that has this size gets no more; default 1 MiB. */
  readonly segmentBytes?: number;
}

/** Why the spool takes no progress receipts: its disk cannot be written to, or it has reached its bound. */
export type SpoolTrouble = 'disk' | 'bound';

export interface SpoolStats {
  /** On the disk. */
  readonly bytes: number;
  readonly trouble: SpoolTrouble | null;
  /** Files with what was damaged or could not be read, set aside since the start. */
  readonly setAside: number;
}

export interface Spool extends ReceiptQueue {
  stats(): SpoolStats;
  /** Sessions that a crash had left open, and that have been closed when the spool was opened. */
  readonly closedSessions: number;
  /** Commits what waits, deletes what is not needed any more, lets go of the files. */
  close(): Promise<void>;
}

interface Segment {
  readonly name: string;
  bytes: number;
  /** To be delivered; `acknowledged` of them have been. */
  count: number;
  acknowledged: number;
  /** Them; `null`: on the disk only. */
  receipts: Receipt[] | null;
  /** Times in a row that it could not be read. */
  failures: number;
}

/** A session whose final receipt is not on the disk. */
interface OpenSession {
  last: Receipt | SessionOpening;
  /** True while `last` waits to be written. */
  isDirty: boolean;
  /** Where the newest that is on the disk lies: with that segment it must not go. */
  segment: Segment | null;
  /** Number of the last receipt that is on the disk; -1: none. */
  keptSeq: number;
}

const SEGMENT = /^(\d{10})\.spool$/;
const MAX_ENTRIES_PER_RECORD = 5000;
/** In memory, while nothing can be written. */
const MAX_UNWRITTEN = 50_000;
/** Segments whose receipts are held in memory beside those of the first and the last. */
const HELD_SEGMENTS = 2;
const RETRY_MS = 1000;
/** A spool that was full is so no longer below this part of its bound. */
const ROOM_AGAIN = 0.9;

const stateIn = (entry: SpoolEntry): Receipt | SessionOpening =>
  'receipt' in entry ? entry.receipt : 'carried' in entry ? entry.carried : entry.opened;

const receiptsOf = (entries: readonly SpoolEntry[]): Receipt[] =>
  entries.flatMap((entry) => ('receipt' in entry ? [entry.receipt] : []));

/** The last receipt of a session that a crash has ended: what is known of it, and always the same. */
function closingOf(last: Receipt | SessionOpening): Receipt {
  const { session, ticket, uri, startedAt } = last;
  const reading = 'seq' in last ? last : { at: startedAt, mediaMs: 0, bytes: 0 };
  const chain = createReceiptChain({ session, ticket, uri, startedAt }, 'seq' in last ? last : null);
  return chain.next({ ...reading, reason: 'server_crashed' });
}

/**
 * Opens a spool, and closes the sessions that it finds open in it.
 * @throws Error of the system when the directory cannot be read
 */
export async function openSpool(options: SpoolOptions): Promise<Spool> {
  const { disk, log, maxBytes, commitMs = 250, segmentBytes = 1024 * 1024 } = options;
  const damage = createDamageControl({ disk, log });
  const segments: Segment[] = [];
  const sessions = new Map<string, OpenSession>();
  let unwritten: SpoolEntry[] = [];
  let active: Segment | null = null;
  let nextNumber = 0;
  let trouble: SpoolTrouble | null = null;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let ready: () => void = () => undefined;
  /** Everything that touches the files, one after the other. */
  let working: Promise<unknown> = Promise.resolve();

  function alone<T>(work: () => Promise<T>): Promise<T> {
    const running = working.then(work);
    working = running.catch(() => undefined);
    return running;
  }

  const size = (): number => segments.reduce((sum, { bytes }) => sum + bytes, 0);

  function push(entry: SpoolEntry): void {
    unwritten.push(entry);
    const last = stateIn(entry);
    const open = sessions.get(last.session);
    if (open === undefined) sessions.set(last.session, { last, isDirty: true, segment: null, keptSeq: -1 });
    else Object.assign(open, { last, isDirty: true });
  }

  /** An entry is on the disk. */
  function noteWritten(entry: SpoolEntry, segment: Segment): void {
    const state = stateIn(entry);
    const open = sessions.get(state.session);
    if (open === undefined) return;
    if ('state' in state && state.state === 'final') return void sessions.delete(state.session);
    open.segment = segment;
    if ('seq' in state) open.keptSeq = Math.max(open.keptSeq, state.seq);
    if (open.last === state) open.isDirty = false;
  }

  /** Takes in what a segment that was found has. */
  function takeIn(name: string, { entries, bytes }: FoundSegment): void {
    const { length: count } = receiptsOf(entries);
    const segment = { name, bytes, count, acknowledged: 0, receipts: null, failures: 0 };
    for (const entry of entries) {
      const last = stateIn(entry);
      const open = sessions.get(last.session);
      if (open === undefined) sessions.set(last.session, { last, isDirty: false, segment, keptSeq: -1 });
      else open.last = last;
      noteWritten(entry, segment);
    }
    segments.push(segment);
  }

  async function recover(): Promise<number> {
    const names = (await disk.list()).filter((name) => SEGMENT.test(name)).sort();
    for (const [index, name] of names.entries()) {
      nextNumber = Number(SEGMENT.exec(name)?.[1]) + 1;
      const found = await damage.readFound(name, index === names.length - 1);
      if (found !== null) takeIn(name, found);
    }
    const open = [...sessions.values()];
    for (const { last } of open) push({ receipt: closingOf(last) });
    return open.length;
  }

  function schedule(delayMs: number): void {
    if (closed || timer !== undefined) return;
    timer = setTimeout(() => {
      timer = undefined;
      void alone(commit);
    }, delayMs);
    timer.unref();
  }

  function setTrouble(next: SpoolTrouble | null, fields: object): void {
    if (next === trouble) return;
    trouble = next;
    if (next === null) log.warn(fields, 'receipts are kept on disk again');
    else
      log.error(
        { trouble: next, ...fields },
        next === 'disk' ? 'receipts cannot be kept on disk' : 'the spool of the receipts is full',
      );
  }

  function judgeSize(): void {
    const bytes = size();
    if (bytes > maxBytes) setTrouble('bound', { bytes, maxBytes });
    else if (trouble === 'disk' || bytes <= maxBytes * ROOM_AGAIN) setTrouble(null, { bytes });
  }

  /** What could not be synced may be on the disk in part, and syncing again proves nothing: another file is begun. */
  async function abandon({ name, bytes }: Segment, isNew: boolean): Promise<void> {
    active = null;
    await (isNew ? disk.remove(name) : disk.truncate(name, bytes)).catch(() => undefined);
  }

  function beginSegment(): Segment {
    const name = `${String(nextNumber).padStart(10, '0')}.spool`;
    nextNumber += 1;
    return { name, bytes: 0, count: 0, acknowledged: 0, receipts: [], failures: 0 };
  }

  /** Writes what waits, one record; answers whether all of it is on the disk now. */
  async function commit(): Promise<boolean> {
    const entries = unwritten.slice(0, MAX_ENTRIES_PER_RECORD);
    if (entries.length === 0) return true;
    const isNew = active === null || active.bytes >= segmentBytes;
    const segment = isNew || active === null ? beginSegment() : active;
    try {
      const record = encodeRecord(entries);
      await disk.write(segment.name, segment.bytes, record);
      segment.bytes += record.byteLength;
    } catch (error) {
      await abandon(segment, isNew);
      setTrouble('disk', errorFields(error));
      schedule(RETRY_MS);
      ready();
      return false;
    }
    if (isNew) hold(segment);
    active = segment;
    settle(segment, entries);
    judgeSize();
    ready();
    await sweep();
    if (unwritten.length > 0) schedule(0);
    return unwritten.length === 0;
  }

  function hold(segment: Segment): void {
    segments.push(segment);
    // Who is last is being filled, who is first is being delivered; of those between some.
    const held = segments.slice(1, -1).filter(({ receipts }) => receipts !== null);
    const released = held.length > HELD_SEGMENTS ? held.at(-1) : undefined;
    if (released !== undefined) released.receipts = null;
  }

  /** Entries, the first of `unwritten`, are on the disk. */
  function settle(segment: Segment, entries: readonly SpoolEntry[]): void {
    unwritten = unwritten.slice(entries.length);
    const receipts = receiptsOf(entries);
    segment.count += receipts.length;
    segment.receipts?.push(...receipts);
    for (const entry of entries) noteWritten(entry, segment);
  }

  /** Deletes segments that are delivered, the oldest first; what sessions that go on need of them is written anew. */
  async function sweep(): Promise<void> {
    for (let first = segments[0]; first !== undefined && first !== active; first = segments[0]) {
      if (first.acknowledged < first.count) return;
      const needed = [...sessions.values()].filter(({ segment }) => segment === first);
      for (const { last, isDirty } of needed) {
        if (!isDirty) push('seq' in last ? { carried: last } : { opened: last });
      }
      if (needed.length > 0) {
        // It is looked at again when they have been written.
        schedule(0);
        return;
      }
      try {
        await disk.remove(first.name);
      } catch (error) {
        log.warn({ file: first.name, ...errorFields(error) }, 'delivered receipts could not be deleted');
        return;
      }
      segments.shift();
      judgeSize();
    }
  }

  async function load(segment: Segment): Promise<Receipt[]> {
    if (segment.receipts !== null) return segment.receipts;
    const receipts = receiptsOf(decodeSegment(await disk.read(segment.name)).entries);
    if (receipts.length < segment.count) {
      damage.noteLoss(segment.name, segment.count - receipts.length);
      segment.count = receipts.length;
    }
    segment.receipts = receipts;
    segment.failures = 0;
    return receipts;
  }

  /** The sessions that go on are closed by what is known of them all the same. */
  async function giveUp(segment: Segment, cause: unknown): Promise<void> {
    segments.splice(segments.indexOf(segment), 1);
    for (const open of sessions.values()) {
      if (open.segment !== segment) continue;
      open.segment = null;
      const { last, isDirty } = open;
      if (!isDirty) push('seq' in last ? { carried: last } : { opened: last });
    }
    schedule(0);
    await damage.setAside(segment.name, cause);
    if (trouble === 'bound') judgeSize();
  }

  /** @throws Error of the system, as often as is borne; then the segment is given up, and there is nothing in it. */
  async function loadOrGiveUp(segment: Segment): Promise<Receipt[]> {
    try {
      return await load(segment);
    } catch (error) {
      segment.failures += 1;
      const { name: file, failures } = segment;
      log.warn({ file, failures, ...errorFields(error) }, 'a segment of the receipts could not be read');
      if (failures < MAX_READ_FAILURES) throw error;
      if (segments.includes(segment)) await giveUp(segment, error);
      return [];
    }
  }

  const undelivered = (): Segment | undefined =>
    segments.find(({ count, acknowledged }) => acknowledged < count);

  /**
   * The oldest so many have been delivered without the disk, which is of no use: of what waits to be written, only what
   * sessions are to be closed by is still needed.
   */
  function dropDelivered(count: number): void {
    let left = count;
    unwritten = unwritten.flatMap((entry): SpoolEntry[] => {
      const isLast = sessions.get(stateIn(entry).session)?.last === stateIn(entry);
      if (!('receipt' in entry)) return isLast ? [entry] : [];
      if (left === 0) return [entry];
      left -= 1;
      return isLast ? [{ carried: entry.receipt }] : [];
    });
  }

  async function flush(): Promise<void> {
    let before;
    do before = unwritten.length;
    while (!(await alone(commit)) && unwritten.length < before);
  }

  const closedSessions = await recover();
  await alone(commit);
  if (closedSessions > 0)
    log.warn({ sessions: closedSessions }, 'sessions that a crash had left open were closed');

  return {
    closedSessions,
    open(session) {
      push({ opened: session });
      schedule(commitMs);
    },
    append(receipt) {
      push({ receipt });
      schedule(commitMs);
    },
    hasRoom: () => trouble !== 'bound' && unwritten.length < MAX_UNWRITTEN,
    takesSessions: () => trouble === null,
    isKept: ({ session, seq }) => seq <= (sessions.get(session)?.keptSeq ?? Number.POSITIVE_INFINITY),
    waiting: () =>
      segments.reduce((sum, { count, acknowledged }) => sum + count - acknowledged, 0) +
      receiptsOf(unwritten).length,
    async next(max) {
      // Looked for anew each time: one that was damaged has less in it now, one that was given up is gone.
      for (let segment = undelivered(); segment !== undefined; segment = undelivered()) {
        const found = segment;
        const receipts = await alone(() => loadOrGiveUp(found));
        const batch = receipts.slice(segment.acknowledged, segment.acknowledged + max);
        if (batch.length > 0) return batch;
      }
      return trouble === 'disk' ? receiptsOf(unwritten).slice(0, max) : [];
    },
    acknowledge: (count) =>
      alone(async () => {
        let left = count;
        for (const segment of segments) {
          const taken = Math.min(left, segment.count - segment.acknowledged);
          segment.acknowledged += taken;
          left -= taken;
        }
        if (left > 0) dropDelivered(left);
        await sweep();
      }),
    onReady: (listener) => void (ready = listener),
    flush,
    stats: () => ({ bytes: size(), trouble, setAside: damage.count() }),
    async close() {
      closed = true;
      clearTimeout(timer);
      await flush();
      await alone(async () => {
        if (sessions.size === 0) {
          active = null;
          await sweep();
        }
        await disk.close();
      });
    },
  };
}
