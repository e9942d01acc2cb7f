/** A session's receipts, as its viewer is told of them by RTSP. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Receipt } from '../../contract.ts';
import type { SignedReceipts } from '../../receipts/heads.ts';
import type { RtspResponse } from '../../rtsp/response.ts';
import type { Session } from '../../session.ts';

/** What goes with receipts, so that a viewer can prove them. */
export type SignReceipts = (receipts: readonly Receipt[]) => SignedReceipts;

const LAST_TRIES = 20;
const LAST_EVERY_MS = 25;

/** The same document as `GET {session}/receipts` answers. */
export function receiptsOf(
  session: Pick<Session, 'receipts'>,
  sign: SignReceipts | undefined,
): Pick<RtspResponse, 'headers' | 'body'> {
  const receipts = session.receipts();
  const signed = receipts.length === 0 ? {} : sign?.(receipts);
  return { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ receipts, ...signed }) };
}

/**
 * Those of a session that has ended: the last one is told of once it is kept, which takes the disk a moment. Without
 * media there is none.
 */
export async function lastReceiptsOf(
  session: Pick<Session, 'receipts'>,
  sign: SignReceipts | undefined,
): Promise<Pick<RtspResponse, 'headers' | 'body'>> {
  for (let tries = 0; tries < LAST_TRIES && session.receipts().at(-1)?.state !== 'final'; tries++)
    await sleep(LAST_EVERY_MS);
  return receiptsOf(session, sign);
}
