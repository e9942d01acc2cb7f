/** Tells the order server what is on the air here: at each change, and every few seconds while anything is. */
import {
  MAX_STREAMS_PER_REPORT,
  MAX_STREAMS_REPORT_BYTES,
  streamStatusSchema,
  type StreamStatus,
} from './contract.ts';
import { asDenial } from './errors.ts';
import type { Clock, Log } from './ports.ts';

export interface StreamsReportOptions {
  /** What is on the air now. */
  readonly read: () => readonly StreamStatus[];
  /** Takes one report to the order server; each replaces the one before. */
  readonly deliver: (streams: readonly StreamStatus[]) => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
  /** Default 10 s; the order server shows what is no older than 30 s. */
  readonly intervalMs?: number;
}

export interface StreamsReport {
  /** A stream has come, gone or changed. */
  changed(): void;
  /** Says that nothing is on the air any more, and then nothing. Never rejects. */
  close(): Promise<void>;
}

const GATHER_MS = 500;
/** Base64url makes four characters of three bytes; the rest is for header, envelope and signature. */
const MAX_JSON_BYTES = Math.floor(MAX_STREAMS_REPORT_BYTES * 0.75) - 4096;

/** What a report can carry, the first streams first. One that the order server would refuse must not cost the others. */
function withinBounds(streams: readonly StreamStatus[]): readonly StreamStatus[] {
  const sound = streams.filter((stream) => streamStatusSchema.safeParse(stream).success);
  let bytes = 0;
  const over = sound.findIndex((stream, index) => {
    bytes += Buffer.byteLength(JSON.stringify(stream)) + 1;
    return bytes > MAX_JSON_BYTES || index >= MAX_STREAMS_PER_REPORT;
  });
  return over < 0 ? sound : sound.slice(0, over);
}

/**
 * Starts reporting. When the last stream goes, one empty report says so. One report is on its way at a time; one that
 * fails is tried again, with what is on the air then, an interval later.
 */
export function createStreamsReport(options: StreamsReportOptions): StreamsReport {
  const { read, deliver, clock, log, intervalMs = 10_000 } = options;
  let timer: NodeJS.Timeout | undefined;
  let dueAtMs = Infinity;
  let notBeforeMs = -Infinity;
  let sending = false;
  let changedMeanwhile = false;
  let reported = 0;
  let failing = false;
  let cut = false;
  let closed = false;
  const hasChanged = (): boolean => changedMeanwhile; // A function: it changes while we wait.

  /** Reports after `delayMs`, or earlier if that was planned. */
  function plan(delayMs: number): void {
    const nowMs = clock.monotonicMs();
    const atMs = Math.max(nowMs + delayMs, notBeforeMs);
    if (closed || atMs >= dueAtMs) return;
    clearTimeout(timer);
    dueAtMs = atMs;
    timer = setTimeout(() => void send(), atMs - nowMs);
    timer.unref();
  }

  function bounded(streams: readonly StreamStatus[]): readonly StreamStatus[] {
    const kept = withinBounds(streams);
    if (kept.length < streams.length && !cut) {
      log.warn({ streams: streams.length, reported: kept.length }, 'not every stream fits into the report');
    }
    cut = kept.length < streams.length;
    return kept;
  }

  async function report(): Promise<void> {
    try {
      const streams = bounded(read());
      if (streams.length === 0 && reported === 0) return;
      // A report that fails may have arrived all the same: an empty one must follow it.
      reported = Math.max(reported, streams.length);
      await deliver(streams);
      reported = streams.length;
      failing = false;
    } catch (error) {
      notBeforeMs = clock.monotonicMs() + intervalMs;
      if (!failing) log.warn({ code: asDenial(error).code }, 'what is on the air could not be reported');
      failing = true;
    }
  }

  async function send(): Promise<void> {
    dueAtMs = Infinity;
    sending = true;
    changedMeanwhile = false;
    await report();
    sending = false;
    if (reported > 0) plan(intervalMs);
    if (hasChanged()) plan(GATHER_MS);
  }

  return {
    changed() {
      if (sending) changedMeanwhile = true;
      else plan(GATHER_MS);
    },
    async close() {
      if (closed) return;
      closed = true;
      clearTimeout(timer);
      // If it fails, the order server forgets the last report in half a minute.
      if (reported > 0) await deliver([]).catch(() => undefined);
    },
  };
}
