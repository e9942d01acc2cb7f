/** Test doubles of the plugin's ports. Each records what it was told. */
import type { EndReason, Grant, Lease, Receipt, Redeemed, SessionOpening } from '../../plugin/contract.ts';
import type {
  Clock,
  Log,
  MediaCounters,
  ReceiptSink,
  Redemptions,
  Revocations,
  Viewing,
} from '../../plugin/ports.ts';
import { UNLIMITED_PLAY } from '../../plugin/rights/index.ts';

export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** A log that can be searched for what must not be in it. */
export function recordingLog(): Log & { readonly lines: string[] } {
  const lines: string[] = [];
  const write = (fields: object, message: string): void => void lines.push(JSON.stringify([fields, message]));
  return { lines, debug: write, info: write, warn: write, error: write };
}

/** Follows vitest's fake timers, which replace Date; starts at a full second. */
export const fakeTimerClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => Date.now(),
};

export const UNLIMITED: Omit<Redeemed, 'session'> = {
  expiresAt: null,
  mediaMsLeft: null,
  bytesLeft: null,
  leaseSeconds: 30,
};

export interface RecordedRedemptions extends Redemptions {
  readonly calls: string[];
  /** Overwrite to change the answer or to throw. */
  answer: (op: 'reserve' | 'commit' | 'release', session: string) => Redeemed;
}

export function recordedRedemptions(limits: Partial<Redeemed> = {}): RecordedRedemptions {
  const calls: string[] = [];
  const redemptions: RecordedRedemptions = {
    calls,
    answer: (_op, session) => ({ ...UNLIMITED, ...limits, session }),
    reserve: (session) => call('reserve', session),
    commit: (session) => call('commit', session),
    release: async (session) => {
      await call('release', session);
    },
  };
  async function call(op: 'reserve' | 'commit' | 'release', session: string): Promise<Redeemed> {
    calls.push(op);
    await Promise.resolve();
    return redemptions.answer(op, session);
  }
  return redemptions;
}

/** A feed on which nothing was ever revoked. */
export const nothingRevoked: Revocations = {
  find: () => null,
  isStale: () => false,
  onChange: () => undefined,
};

export interface RecordedSink extends ReceiptSink {
  readonly opened: SessionOpening[];
  readonly receipts: Receipt[];
  room: boolean;
  /** Receipts that a crash could still take back. */
  readonly unkept: Set<Receipt>;
  /** What the order server's answer to a receipt leases to its session. */
  lease(lease: Lease): void;
}

export function recordedSink(room = true): RecordedSink {
  const receipts: Receipt[] = [];
  const opened: SessionOpening[] = [];
  const listeners = new Map<string, ((lease: Lease) => void) | undefined>();
  const sink: RecordedSink = {
    opened,
    receipts,
    room,
    unkept: new Set(),
    lease: (lease) => listeners.get(lease.session)?.(lease),
    open(session, onLease) {
      opened.push(session);
      listeners.set(session.session, onLease);
    },
    append: (receipt) => void receipts.push(receipt),
    hasRoom: () => sink.room,
    takesSessions: () => true,
    isKept: (receipt) => !sink.unkept.has(receipt),
  };
  return sink;
}

export interface FakeViewing extends Viewing {
  closed: boolean;
  reading: MediaCounters;
  firstMedia(): void;
  gone(reason: EndReason): void;
}

export function fakeViewing(): FakeViewing {
  let first: (() => void) | undefined;
  let left: ((reason: EndReason) => void) | undefined;
  const viewing: FakeViewing = {
    closed: false,
    reading: { mediaMs: 0, bytes: 0 },
    onFirstMedia: (listener) => void (first = listener),
    onGone: (listener) => void (left = listener),
    counters: () => Promise.resolve(viewing.reading),
    close: () => void (viewing.closed = true),
    firstMedia: () => first?.(),
    gone: (reason) => left?.(reason),
  };
  return viewing;
}

export const SESSION_ID = '01936f7e-0000-7000-8000-000000000001';
export const TICKET_ID = '01936f7e-0000-7000-8000-000000000002';

export function makeGrant(overrides: Partial<Grant> = {}): Grant {
  return {
    sessionId: SESSION_ID,
    ticketId: TICKET_ID,
    issuer: 'https://orders.example',
    subject: 'pseudonym',
    uri: '/live/demo',
    rights: { ...UNLIMITED_PLAY, accesses: 1 },
    ask: { action: 'play' },
    jkt: null,
    attempt: null,
    expiresAtSeconds: Math.floor(Date.now() / 1000) + 3600,
    key: null,
    watermark: null,
    ...overrides,
  };
}
