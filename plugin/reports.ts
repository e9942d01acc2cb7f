/** Reports to staff, one per ticket and minute: whoever repeats a proof must not keep the order server busy with it. */
import { asDenial } from './errors.ts';
import type { Clock, Log, Reports } from './ports.ts';

export interface ReportsOptions {
  /** Delivers one report. */
  readonly send: (ticketId: string, sessionId: string | null) => Promise<void>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly log: Log;
  /** Tickets reported within one interval; what is more is only logged. Default 1000. */
  readonly maxTickets?: number;
  /** Default 60,000. */
  readonly intervalMs?: number;
}

/** Makes the reports of one media server. */
export function createReports(options: ReportsOptions): Reports {
  const { send, clock, log, maxTickets = 1000, intervalMs = 60_000 } = options;
  /** Ticket -> when it was reported; in that order, since an entry is never renewed in place. */
  const reported = new Map<string, number>();

  function forgetOld(nowMs: number): void {
    for (const [ticketId, atMs] of reported) {
      if (nowMs - atMs < intervalMs) return;
      reported.delete(ticketId);
    }
  }

  return {
    proofReplayed(ticketId, sessionId) {
      const nowMs = clock.monotonicMs();
      forgetOld(nowMs);
      if (reported.has(ticketId)) return;
      log.warn({ ticket: ticketId, session: sessionId }, 'a proof of this ticket was shown again');
      if (reported.size >= maxTickets) return;
      reported.set(ticketId, nowMs);
      send(ticketId, sessionId).catch((error: unknown) => {
        log.warn({ ticket: ticketId, code: asDenial(error).code }, 'a replay could not be reported');
      });
    },
  };
}
