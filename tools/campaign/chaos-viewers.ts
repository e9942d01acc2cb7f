/** Viewers of the chaos: they buy, watch, leave, and begin again whatever happens, and note what they have got. */
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeJwt } from 'jose';
import {
  openPlainViewer,
  PLAIN_PROTOCOLS,
  type PlainProtocol,
  type PlainViewer,
} from '../../test/support/plain-viewers.ts';
import { draftOrder, placeDraft, type OrderDraft, type Purchase } from '../../test/support/shop.ts';
import type { ChaosStack } from './chaos-servers.ts';
import { createRandom, type Random } from './random.ts';

/** One try to watch, whatever came of it. Times are on the clock of `performance.now`. */
export interface Watched {
  readonly ticketId: string;
  readonly protocol: PlainProtocol;
  readonly fromMs: number;
  readonly untilMs: number;
  /** From the first media to the last; 0 without any. */
  readonly countedMs: number;
}

/** What a viewer wanted to buy, once. */
export interface Bought {
  readonly idempotencyKey: string;
  /** Null: no answer has come. */
  readonly orderId: string | null;
}

export interface ViewerOptions {
  readonly stack: ChaosStack;
  readonly path: string;
  /** What there is to buy. */
  readonly offerIds: readonly string[];
  /** Who buys. */
  readonly token: string;
  readonly seed: number;
}

export interface ChaosViewer {
  readonly watched: readonly Watched[];
  readonly bought: readonly Bought[];
  /** Media has come within the last second. */
  isWatching(): boolean;
  /** Leaves, and comes back no more. */
  stop(): Promise<void>;
}

const ANSWER_WITHIN_MS = 15_000;
const AGAIN_AFTER_MS = 300;
const LOOK_EVERY_MS = 250;
/** Nothing for this long: the server has gone. */
const SILENT_MS = 2500;
/** How long somebody watches who is not disturbed. */
const [SHORTEST_MS, LONGEST_MS] = [4000, 30_000];
/** A ticket is used up to so often: after a crash, and by who comes back. */
const VIEWINGS_OF_A_TICKET = 5;

const within = <T>(work: Promise<T>): Promise<T> =>
  Promise.race([
    work,
    sleep(ANSWER_WITHIN_MS, undefined, { ref: false }).then(() => Promise.reject(new Error('no answer'))),
  ]);

/** Begins to watch by one protocol after the other, until it is stopped. */
export function startChaosViewer({ stack, path, offerIds, token, seed }: ViewerOptions): ChaosViewer {
  const random: Random = createRandom(seed);
  const watched: Watched[] = [];
  const bought: Bought[] = [];
  const media = stack.servers['media server'];
  let stopping = false;
  let current: PlainViewer | undefined;

  const isStopping = (): boolean => stopping;
  const pause = (): Promise<void> => sleep(AGAIN_AFTER_MS + random.int(AGAIN_AFTER_MS));

  /** The same order again until there is an answer; null when it is to stop before. */
  async function order(): Promise<Purchase | null> {
    const draft: OrderDraft = await draftOrder(random.pick(offerIds));
    const index = bought.push({ idempotencyKey: draft.idempotencyKey, orderId: null }) - 1;
    while (!isStopping()) {
      try {
        const purchase = await within(placeDraft(stack.orderUrl, draft, token));
        bought[index] = { idempotencyKey: draft.idempotencyKey, orderId: purchase.orderId };
        return purchase;
      } catch {
        await pause();
      }
    }
    return null;
  }

  async function stay(viewer: PlainViewer): Promise<void> {
    const untilMs = performance.now() + SHORTEST_MS + random.int(LONGEST_MS - SHORTEST_MS);
    let isCut = false;
    void viewer.cut.then(() => (isCut = true));
    const hasGone = (): boolean => isCut || performance.now() - viewer.lastMs() > SILENT_MS;
    while (!isStopping() && !hasGone() && performance.now() < untilMs) await sleep(LOOK_EVERY_MS);
    // A server that has gone cannot be told.
    if (hasGone()) viewer.close();
    else await within(viewer.leave()).catch(() => undefined);
  }

  /** @returns whether there was any media */
  async function watch(purchase: Purchase, protocol: PlainProtocol): Promise<boolean> {
    const fromMs = performance.now();
    let countedMs = 0;
    try {
      await media.whenUp();
      const viewer = await openPlainViewer(stack, protocol, path, purchase);
      current = viewer;
      await stay(viewer);
      countedMs = viewer.lastMs() - viewer.firstMs;
    } catch {
      // Refused, or cut off: another time.
    } finally {
      current = undefined;
    }
    const { jti: ticketId = '' } = decodeJwt(purchase.ticket);
    watched.push({ ticketId, protocol, fromMs, untilMs: performance.now(), countedMs });
    return countedMs > 0;
  }

  async function run(): Promise<void> {
    while (!isStopping()) {
      const purchase = await order();
      const viewings = 1 + random.int(VIEWINGS_OF_A_TICKET);
      for (let done = 0; purchase !== null && done < viewings && !isStopping();) {
        if (await watch(purchase, random.pick(PLAIN_PROTOCOLS))) done += 1;
        else await pause();
      }
    }
  }
  const running = run();

  return {
    watched,
    bought,
    isWatching: () => current !== undefined && performance.now() - current.lastMs() < 1000,
    async stop() {
      stopping = true;
      await running;
    },
  };
}
