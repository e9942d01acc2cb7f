/** An order desk with test cards, whose clock and webhooks the test moves. */
import { createOrderDesk, type OrderDesk } from '../../admin/orders/desk.ts';
import type { OrderRequest } from '../../admin/orders/request.ts';
import type { PaymentProvider } from '../../admin/payments/providers.ts';
import { createTestCardProvider } from '../../admin/payments/test-card.ts';
import { signWebhook } from '../../admin/payments/webhook-signature.ts';
import { createOrderRequest, START_MS, type World } from './databases.ts';

export const WEBHOOK_SECRET = 'insecure-test-webhook-secret-0123456789';

export interface TestDesk extends OrderDesk {
  readonly provider: PaymentProvider;
  /** What went wrong inside. */
  readonly failures: readonly unknown[];
  nowMs(): number;
  advance(ms: number): void;
  /** Lets the provider send the webhooks that it has kept back. @returns how many there were. */
  tellWebhooks(): Promise<number>;
}

export interface TestDeskOptions {
  /** How long a provider may take. */
  readonly answerWithinMs?: number;
  /** Stands between the desk and the provider. */
  readonly wrap?: (provider: PaymentProvider) => PaymentProvider;
  /** False for a desk without any provider. Default true. */
  readonly hasProvider?: boolean;
}

export function createTestDesk(
  { db, authority }: Pick<World, 'db' | 'authority'>,
  { answerWithinMs = 20, wrap = (provider) => provider, hasProvider = true }: TestDeskOptions = {},
): TestDesk {
  let nowMs = START_MS;
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs };
  const kept: (() => void)[] = [];
  const delivering: Promise<unknown>[] = [];
  const failures: unknown[] = [];
  const provider = wrap(
    createTestCardProvider({
      secret: WEBHOOK_SECRET,
      clock,
      deliver: (signature, body) => {
        const delivered = desk.takeWebhook('test_card', signature, body);
        delivering.push(delivered);
        return delivered;
      },
      later: (work) => kept.push(work),
    }),
  );
  const desk = createOrderDesk({
    db,
    authority,
    clock,
    log: { warn: () => undefined },
    failed: (error) => failures.push(error),
    providers: hasProvider ? { test_card: provider } : {},
    answerWithinMs,
  });
  return {
    ...desk,
    provider,
    failures,
    nowMs: () => nowMs,
    advance: (ms) => {
      nowMs += ms;
    },
    tellWebhooks: async () => {
      const works = kept.splice(0);
      for (const work of works) work();
      await Promise.all(delivering.splice(0));
      return works.length;
    },
  };
}

/** The signed body of a webhook. */
export function webhook(
  event: { id: string; operation: string; outcome: 'done' | 'refused' },
  nowMs: number,
  secret = WEBHOOK_SECRET,
): [signature: string, body: string] {
  const body = JSON.stringify({ ...event, reason: null });
  return [signWebhook(secret, body, nowMs), body];
}

/** A request to buy an offer by card. */
export async function cardRequest(offerId: string, cardToken: string): Promise<OrderRequest> {
  return { ...(await createOrderRequest(offerId)), cardToken };
}
