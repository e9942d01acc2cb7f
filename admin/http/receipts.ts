/** `POST /v1/receipts`: usage, stated by registered streaming servers. */
import { receiptBatchSchema, type ReceiptsStored } from '../../plugin/contract.ts';
import type { Services } from '../context.ts';
import { storeReceipts } from '../receipts/store.ts';
import { useMessage } from '../trust/messages.ts';

/** 500 receipts of about 400 bytes, in base64url. */
export const MAX_RECEIPTS_BYTES = 512 * 1024;

/** Verifies a batch and stores its receipts. @throws Denial. */
export async function takeReceipts(services: Services, jws: string): Promise<ReceiptsStored> {
  const { db, messages, clock, desk, metrics, events } = services;
  const nowMs = clock.nowMs();
  const { message, use } = await messages.verify(jws, {
    typ: 'receipts+jwt',
    schema: receiptBatchSchema,
    maxChars: MAX_RECEIPTS_BYTES,
  });
  const batch = { serverId: message.iss, receipts: message.receipts, jws };
  const { answer, sessionIds, orderIds } = await db.transaction(async (tx) => {
    await useMessage(tx, use, nowMs);
    return storeReceipts(tx, batch, nowMs);
  });
  // What is due is written down; it is settled beside the answer.
  void desk.settle(orderIds);
  events.publish([
    ...sessionIds.map((id) => ({ kind: 'session', id }) as const),
    ...orderIds.map((id) => ({ kind: 'order', id }) as const),
  ]);
  metrics.receipts.inc({ outcome: 'stored' }, answer.stored);
  for (const { reason } of answer.refused) metrics.receipts.inc({ outcome: reason });
  return answer;
}
