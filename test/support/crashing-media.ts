/**
 * A media server without media, as a process that is going to be killed: sessions of one ticket that are sent a second of
 * media a second, whose receipts go through the spool to a real order server. It says what was kept of each.
 */
import { writeSync } from 'node:fs';
import type { JWK } from 'jose';
import { uuidv7 } from 'uuidv7';
import { systemClock as clock } from '../../plugin/clock.ts';
import { createOrderServer } from '../../plugin/order-server.ts';
import { openDurableOutbox } from '../../plugin/receipts/durable-outbox.ts';
import { startSession } from '../../plugin/session.ts';
import { importSigningKey } from '../../plugin/ticket/index.ts';
import { fakeViewing, makeGrant, recordedRedemptions, silentLog } from './doubles.ts';

export interface CrashingMediaSetup {
  /** Of the spool. */
  readonly directory: string;
  readonly orderUrl: string;
  readonly serverId: string;
  /** Private. */
  readonly signingJwk: JWK;
  readonly ticketId: string;
  readonly uri: string;
  readonly sessions: number;
  readonly receiptIntervalMs: number;
}

/** What it says of a session, one JSON line each. */
export interface KeptUsage {
  readonly session: string;
  readonly mediaMs: number;
}

const SAY_EVERY_MS = 20;

const setup = JSON.parse(process.argv[2] ?? '') as CrashingMediaSetup;
const signing = await importSigningKey(setup.signingJwk);
const outbox = await openDurableOutbox({
  directory: setup.directory,
  delivery: createOrderServer({
    url: setup.orderUrl,
    serverId: setup.serverId,
    signingKey: () => signing,
    clock,
  }),
  log: silentLog,
  clock,
  maxBytes: 1 << 24,
  whenFull: 'end',
  endSessions: () => undefined,
});

const sessions = Array.from({ length: setup.sessions }, () => {
  const startedMs = clock.monotonicMs();
  const viewing = fakeViewing();
  viewing.counters = () => {
    const mediaMs = Math.floor(clock.monotonicMs() - startedMs);
    return Promise.resolve({ mediaMs, bytes: mediaMs * 100 });
  };
  const session = startSession({
    grant: makeGrant({ sessionId: uuidv7(), ticketId: setup.ticketId, uri: setup.uri }),
    viewing,
    redeemed: null,
    redemptions: recordedRedemptions(),
    sink: outbox,
    clock,
    log: silentLog,
    receiptIntervalMs: setup.receiptIntervalMs,
  });
  viewing.firstMedia();
  return session;
});

setInterval(() => {
  for (const session of sessions) {
    const kept = session.receipts().at(-1);
    if (kept === undefined) continue;
    const said: KeptUsage = { session: session.id, mediaMs: kept.mediaMs };
    writeSync(1, `${JSON.stringify(said)}\n`);
  }
}, SAY_EVERY_MS);
