/** The campaign of flash and beep: real publishers, the media server, Chromium; how far apart are they, minute by minute? */
import { cpus } from 'node:os';
import type { Browser, Page } from 'playwright-core';
import { DEMO_LOGINS } from '../../admin/seed.ts';
import { flashAgainstBeep, framesDecoded, launchBrowser } from '../../test/support/browser.ts';
import { createStreamKeyFor, createTitleWithOffer, signIn } from '../../test/support/shop.ts';
import { startStack, type Stack } from '../../test/support/stack.ts';
import { openWhepPlayer } from '../../test/support/whep-player.ts';
import { SYNC_WAYS, type SyncPublisher, type SyncWay } from './sync-publishers.ts';

/** Beep minus flash, in milliseconds: more is a fault. */
export const SYNC_BAR_MS = 60;
/** With less of the processors left while it is read, what is late is late by them: that tells nothing. */
const MIN_IDLE = 0.05;
/** Read for so long at the end of each minute; the test card flashes once a second. */
const READING_SECONDS = 20;
const MIN_FLASHES = READING_SECONDS / 2;
const MINUTE_MS = 60_000;

export interface SyncReading {
  /** Median of beep minus flash; NaN without any. */
  readonly medianMs: number;
  /** Flashes with a beep beside them. */
  readonly flashes: number;
  /** What the processors had left meanwhile, from 0 to 1. */
  readonly idle: number;
}

export interface SyncRow {
  readonly name: string;
  /** One for each minute. */
  readonly readings: readonly SyncReading[];
}

export interface SyncOptions {
  readonly minutes: number;
  /** Told of the ways before the first minute, in the order of the readings. */
  readonly onWays?: (names: readonly string[]) => void;
  /** Told of each minute as it has been read. */
  readonly progress?: (minute: number, readings: readonly SyncReading[]) => void;
}

/** What some seconds of flashes and beeps amount to. */
export function readingOf(offsetsMs: readonly number[], idle: number): SyncReading {
  const sorted = offsetsMs.toSorted((a, b) => a - b);
  return { medianMs: sorted[Math.floor(sorted.length / 2)] ?? Number.NaN, flashes: sorted.length, idle };
}

/** What is wrong with the rows; empty when nothing is. */
export function faultsOfSync(rows: readonly SyncRow[]): string[] {
  return rows.flatMap(({ name, readings }) => {
    if (readings.length === 0) return [`${name}: not read`];
    return readings.flatMap(({ medianMs, flashes, idle }, index) => {
      const where = `${name}: minute ${index + 1}`;
      if (idle < MIN_IDLE) return [`${where}: the machine was too busy to tell`];
      if (flashes < MIN_FLASHES) return [`${where}: only ${flashes} flashes in ${READING_SECONDS} s`];
      if (Math.abs(medianMs) <= SYNC_BAR_MS) return [];
      return [`${where}: beep ${medianMs.toFixed(0)} ms after the flash, bar ${SYNC_BAR_MS}`];
    });
  });
}

export interface SyncViewing {
  readonly publisher: SyncPublisher;
  readonly page: Page;
}

/** Puts a title of its own on the air and watches it. */
export async function openSyncViewing(
  stack: Stack,
  browser: Browser,
  token: string,
  way: SyncWay,
  { number, minutes }: { readonly number: number; readonly minutes: number },
): Promise<SyncViewing> {
  const stream = `live/sync${number}`;
  const { titleId, offerId } = await createTitleWithOffer(stack.orderUrl, token, `/${stream}`, {
    validSeconds: 24 * 3600,
  });
  const key = await createStreamKeyFor(stack.orderUrl, token, titleId);
  const target = { rtmpPort: stack.rtmpPort, stream: `${stream}?key=${key}`, seconds: (minutes + 2) * 60 };
  const publisher = await way.publish(target);
  const { page, status, problem } = await openWhepPlayer(browser, stack, offerId);
  if (status !== 201) throw new Error(`${way.name}: refused with ${status} ${problem?.code ?? ''}`);
  await framesDecoded(page, 30);
  return { publisher, page };
}

/** A token of the demo's staff. */
export async function signInStaff({ orderUrl }: Stack): Promise<string> {
  const login = DEMO_LOGINS.find(({ role }) => role === 'admin');
  if (login === undefined) throw new Error('the demo has no staff');
  return signIn(orderUrl, login);
}

const until = (momentMs: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, Math.max(0, momentMs - performance.now())));

/** Sums of all processors since they started. */
function processorTimes(): { readonly idleMs: number; readonly allMs: number } {
  const times = cpus().map((processor) => processor.times);
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  return {
    idleMs: sum(times.map(({ idle }) => idle)),
    allMs: sum(times.flatMap((time) => Object.values(time))),
  };
}

async function readMinutes(viewings: readonly SyncViewing[], { minutes, progress }: SyncOptions) {
  const startMs = performance.now();
  const readings: SyncReading[][] = [];
  for (let minute = 1; minute <= minutes; minute++) {
    await until(startMs + minute * MINUTE_MS - READING_SECONDS * 1000);
    const before = processorTimes();
    const offsets = await Promise.all(viewings.map(({ page }) => flashAgainstBeep(page, READING_SECONDS)));
    const after = processorTimes();
    const idle = (after.idleMs - before.idleMs) / (after.allMs - before.allMs);
    const read = offsets.map((offsetsMs) => readingOf(offsetsMs, idle));
    readings.push(read);
    progress?.(minute, read);
    if (minute < minutes) await Promise.all(viewings.map(async ({ publisher }) => publisher.disturb?.()));
  }
  return readings;
}

/**
 * Publishes every way at once, watches each in a page of Chromium, and reads each minute.
 * @throws Error when a way does not play at all
 */
export async function runSync(options: SyncOptions): Promise<SyncRow[]> {
  const stack = await startStack();
  const browser = await launchBrowser();
  const viewings: SyncViewing[] = [];
  try {
    const token = await signInStaff(stack);
    for (const [number, way] of SYNC_WAYS.entries()) {
      const { minutes } = options;
      viewings.push(await openSyncViewing(stack, browser, token, way, { number, minutes }));
    }
    options.onWays?.(SYNC_WAYS.map(({ name }) => name));
    const minutes = await readMinutes(viewings, options);
    return SYNC_WAYS.map(({ name }, index) => ({
      name,
      readings: minutes.flatMap((readings) => readings.slice(index, index + 1)),
    }));
  } finally {
    await Promise.all(viewings.map(({ publisher }) => publisher.stop()));
    await browser.close();
    await stack.stop();
  }
}
