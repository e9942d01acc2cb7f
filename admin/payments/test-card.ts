/**
 * A card provider for tests and demos: it lives in this process, moves no money, and does what the token says. What it
 * tells later it tells as real ones do, by signed webhooks that may come late or twice.
 */
import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { Denial } from '../../plugin/errors.ts';
import type { Clock } from '../../plugin/ports.ts';
import type { PaymentProvider, ProviderOutcome, ProviderRequest } from './providers.ts';
import { checkWebhook, signWebhook } from './webhook-signature.ts';

/** The cards there are, by their tokens: what a shop calls them, and what they do. */
export const TEST_CARDS = {
  tok_ok: { name: 'Card that works', does: 'is authorized at once' },
  tok_declined: { name: 'Declined card', does: 'is declined at once' },
  tok_delayed: { name: 'Slow card', does: 'is authorized by a webhook, two seconds later' },
  tok_delayed_declined: { name: 'Slow card, declined', does: 'is declined by a webhook, two seconds later' },
  tok_duplicate_webhook: {
    name: 'Card that is told of twice',
    does: 'is authorized by a webhook that comes twice',
  },
  tok_timeout: {
    name: 'Card whose answer gets lost',
    does: 'is authorized, but the answer gets lost; the second time it comes',
  },
  tok_capture_fails: {
    name: 'Card that cannot be charged',
    does: 'is authorized at once; what is then to be charged is refused',
  },
} as const;
type TestCard = keyof typeof TEST_CARDS;

export interface TestCardOptions {
  /** Of the webhooks' signatures. */
  readonly secret: string;
  readonly clock: Clock;
  /** Delivers a webhook, as an HTTP request would. */
  readonly deliver: (signature: string, body: string) => Promise<unknown>;
  /** Does something two seconds later. Default: a timer. */
  readonly later?: (work: () => void) => void;
}

const DELAY_MS = 2000;
/** What it remembers of payments; the oldest are forgotten. */
const MAX_REMEMBERED = 10_000;

const eventSchema = z.strictObject({
  id: z.string().regex(/^[\x21-\x7e]{1,100}$/),
  operation: z.uuid(),
  outcome: z.enum(['done', 'refused']),
  reason: z.string().max(200).nullable(),
});

const DONE: ProviderOutcome = { state: 'done' };
const DECLINED: ProviderOutcome = { state: 'refused', reason: 'the card was declined' };
const LATER: ProviderOutcome = { state: 'waiting' };

function isTestCard(token: string | null): token is TestCard {
  return token !== null && Object.hasOwn(TEST_CARDS, token);
}

function never(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => {
      reject(new Error('the provider does not answer'));
    });
  });
}

export function createTestCardProvider(options: TestCardOptions): PaymentProvider {
  const { secret, clock, deliver } = options;
  const later = options.later ?? ((work: () => void) => void setTimeout(work, DELAY_MS).unref());
  /** When each authorization was first asked for. */
  const askedAtMs = new Map<string, number>();
  const failing = new Set<string>();

  function remember(collection: {
    delete(key: string): boolean;
    size: number;
    keys(): Iterator<string>;
  }): void {
    if (collection.size <= MAX_REMEMBERED) return;
    const oldest = collection.keys().next();
    if (oldest.done !== true) collection.delete(oldest.value);
  }

  function tellLater(operationId: string, outcome: 'done' | 'refused', times: number): void {
    const event = {
      id: randomUUID(),
      operation: operationId,
      outcome,
      reason: outcome === 'refused' ? 'the card was declined' : null,
    };
    const body = JSON.stringify(event);
    const tell = () => {
      for (let count = 0; count < times; count++) {
        // One that does not arrive is not sent again: whoever waits for it asks.
        deliver(signWebhook(secret, body, clock.nowMs()), body).catch(() => undefined);
      }
    };
    later(tell);
  }

  async function authorize(request: ProviderRequest, signal: AbortSignal): Promise<ProviderOutcome> {
    const { operationId, paymentId, source } = request;
    if (!isTestCard(source)) return { state: 'refused', reason: 'no such test card' };
    const nowMs = clock.monotonicMs();
    const firstMs = askedAtMs.get(operationId);
    if (firstMs === undefined) {
      askedAtMs.set(operationId, nowMs);
      remember(askedAtMs);
    }
    const decided = firstMs !== undefined && nowMs - firstMs >= DELAY_MS;
    switch (source) {
      case 'tok_ok':
        return DONE;
      case 'tok_capture_fails':
        failing.add(paymentId);
        remember(failing);
        return DONE;
      case 'tok_declined':
        return DECLINED;
      case 'tok_timeout':
        return firstMs === undefined ? never(signal) : DONE;
      case 'tok_delayed':
      case 'tok_duplicate_webhook':
        if (firstMs === undefined) tellLater(operationId, 'done', source === 'tok_delayed' ? 1 : 2);
        return decided ? DONE : LATER;
      case 'tok_delayed_declined':
        if (firstMs === undefined) tellLater(operationId, 'refused', 1);
        return decided ? DECLINED : LATER;
    }
  }

  return {
    name: 'test_card',
    knows: (token) => isTestCard(token),
    authorize,
    capture: async ({ paymentId }) =>
      failing.has(paymentId) ? { state: 'refused', reason: 'the charge was refused' } : DONE,
    release: async () => DONE,
    refund: async () => DONE,
    readWebhook(signature, body, nowMs) {
      checkWebhook(secret, signature, body, nowMs);
      const event = eventSchema.safeParse(parseJson(body));
      if (!event.success) throw new Denial('request_malformed', { detail: 'body' });
      const { id, operation, outcome, reason } = event.data;
      return { eventId: id, operationId: operation.toLowerCase(), outcome, reason };
    },
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
