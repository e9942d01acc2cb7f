/** A session of a fake viewing, whose receipts and requests to the order server are recorded. Wants fake timers. */
import type { Grant, Redeemed } from '../../plugin/contract.ts';
import { startSession } from '../../plugin/session.ts';
import {
  fakeTimerClock,
  fakeViewing,
  makeGrant,
  recordedRedemptions,
  recordedSink,
  SESSION_ID,
  silentLog,
  UNLIMITED,
} from './doubles.ts';

export interface TestSessionOptions {
  grant?: Partial<Grant>;
  /** What was redeemed for it; `null`: nothing of it is counted. */
  limits?: Partial<Redeemed> | null;
  receiptIntervalMs?: number;
}

export function startTestSession({ grant, limits = {}, receiptIntervalMs = 5000 }: TestSessionOptions = {}) {
  const redemptions = recordedRedemptions(limits ?? {});
  const sink = recordedSink();
  const viewing = fakeViewing();
  const session = startSession({
    grant: makeGrant(grant),
    viewing,
    redeemed: limits === null ? null : { ...UNLIMITED, ...limits, session: SESSION_ID },
    redemptions,
    sink,
    clock: fakeTimerClock,
    log: silentLog,
    receiptIntervalMs,
  });
  return { session, viewing, sink, redemptions };
}
