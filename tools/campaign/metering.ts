/**
 * The campaign of the meter: three ways of watching on real servers, with pauses, reconnects and a network that loses
 * packets; what was billed is held against what each client has counted by itself.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { launchBrowser } from '../../test/support/browser.ts';
import { createStreamKeyFor, createTitleWithOffer, graphql } from '../../test/support/shop.ts';
import { publishTestCard, startStack, type Encoder, type Stack } from '../../test/support/stack.ts';
import {
  readByFfmpeg,
  readByRtsp,
  readInChromium,
  PAUSE_MS,
  type Counted,
  type ReaderWorld,
} from './metering-readers.ts';
import { signInStaff } from './sync.ts';

/** More than this is a fault. */
export const BAR_SECONDS = 1;
export const BAR_BYTES = 0.01;
const PATH = '/live/metering';
const READERS = [
  { name: 'ffmpeg, HTTP-FLV; stopped for 6 s', read: readByFfmpeg },
  { name: 'Chromium, WHEP; 2% loss each way', read: readInChromium },
  { name: 'RTSP client; PAUSE for 6 s', read: readByRtsp },
] as const;
/** Each reader comes so often. */
const VIEWINGS = 3;
const ON_AIR_WITHIN_MS = 30_000;
const BILLED_WITHIN_MS = 20_000;

export interface MeteringOptions {
  readonly minutes: number;
  /** Of the network's losses. */
  readonly seed: number;
}

export interface MeteringRow {
  readonly name: string;
  readonly counted: Counted;
  readonly billed: Counted;
  readonly sessions: number;
}

/** What is wrong with the rows; empty when nothing is. */
export function faultsOfMetering(rows: readonly MeteringRow[]): string[] {
  return rows.flatMap(({ name, counted, billed, sessions }) => {
    const seconds = (billed.mediaMs - counted.mediaMs) / 1000;
    const share = billed.bytes / counted.bytes - 1;
    return [
      ...(sessions === VIEWINGS ? [] : [`${name}: ${sessions} sessions, not ${VIEWINGS}`]),
      ...(Math.abs(seconds) <= BAR_SECONDS
        ? []
        : [`${name}: billed ${seconds.toFixed(2)} s beyond what was counted`]),
      ...(Math.abs(share) <= BAR_BYTES
        ? []
        : [`${name}: billed ${(share * 100).toFixed(2)}% of the bytes beyond`]),
    ];
  });
}

async function until<T>(read: () => Promise<T | undefined>, withinMs: number, what: string): Promise<T> {
  const deadlineMs = performance.now() + withinMs;
  for (;;) {
    const value = await read();
    if (value !== undefined) return value;
    if (performance.now() > deadlineMs) throw new Error(what);
    await sleep(200);
  }
}

/** 15 pictures a second, with a keyframe each second. */
const SMALL = [
  ...['-s', '320x180', '-c:v', 'libx264', '-preset', 'ultrafast', '-tune', 'zerolatency'],
  ...['-profile:v', 'baseline', '-pix_fmt', 'yuv420p', '-g', '15', '-b:v', '400k'],
  ...['-c:a', 'aac', '-b:a', '64k', '-ar', '48000', '-ac', '2'],
];

async function publish({ mediaUrl }: Stack, url: string): Promise<Encoder> {
  const encoder = publishTestCard(url, { fps: 15, codecs: SMALL });
  await until(
    async () => {
      const metrics = await (await fetch(`${mediaUrl}/metrics`)).text();
      return metrics.includes('usher_live_streams 1') ? true : undefined;
    },
    ON_AIR_WITHIN_MS,
    'the stream did not come on the air',
  );
  return encoder;
}

interface OrderUsage {
  readonly order: {
    readonly sessions: readonly {
      readonly reason: string | null;
      readonly mediaMs: number;
      readonly bytes: number;
    }[];
  };
}

/** What the order server has of an order's sessions, once all have ended there. */
async function billedFor({ orderUrl }: Stack, orderId: string, token: string) {
  return until(
    async () => {
      const { order } = await graphql<OrderUsage>(
        orderUrl,
        'query ($id: ID!) { order(id: $id) { sessions { reason mediaMs bytes } } }',
        { id: orderId },
        token,
      );
      const { sessions } = order;
      return sessions.length > 0 && sessions.every(({ reason }) => reason !== null) ? sessions : undefined;
    },
    BILLED_WITHIN_MS,
    'the final receipts did not come',
  );
}

const sumOf = (parts: readonly Counted[]): Counted => ({
  mediaMs: parts.reduce((sum, { mediaMs }) => sum + mediaMs, 0),
  bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
});

/** Each reader watches, leaves and comes back; all at once, each with an order for each viewing. */
export async function runMetering({ minutes, seed }: MeteringOptions): Promise<MeteringRow[]> {
  const stack = await startStack();
  const browser = await launchBrowser();
  let encoder: Encoder | undefined;
  try {
    const token = await signInStaff(stack);
    const { titleId, offerId } = await createTitleWithOffer(stack.orderUrl, token, PATH);
    encoder = await publish(
      stack,
      stack.publishUrl(PATH, await createStreamKeyFor(stack.orderUrl, token, titleId)),
    );
    const viewingMs = (minutes * 60_000) / VIEWINGS - PAUSE_MS;
    const world: ReaderWorld = { stack, browser, path: PATH, offerId, viewingMs, seed };
    return await Promise.all(
      READERS.map(async ({ name, read }) => {
        const counted: Counted[] = [];
        const billed: Counted[] = [];
        for (let viewing = 0; viewing < VIEWINGS; viewing++) {
          const watched = await read({ ...world, seed: seed + viewing });
          counted.push(watched.counted);
          billed.push(...(await billedFor(stack, watched.orderId, token)));
        }
        return { name, counted: sumOf(counted), billed: sumOf(billed), sessions: billed.length };
      }),
    );
  } finally {
    await encoder?.stop();
    await browser.close();
    await stack.stop();
  }
}
