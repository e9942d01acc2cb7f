/** What sessions and the gate make of a sink that cannot keep receipts, or has not kept them yet. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { systemClock } from '../../../plugin/clock.ts';
import { startSession } from '../../../plugin/session.ts';
import {
  fakeTimerClock,
  fakeViewing,
  makeGrant,
  recordedRedemptions,
  recordedSink,
  SESSION_ID,
  silentLog,
  TICKET_ID,
} from '../../support/doubles.ts';
import { codeOf, setUpGate } from '../../support/gates.ts';
import { createTicketWorld } from '../../support/tickets.ts';

beforeEach(() => {
  vi.useFakeTimers({ now: Date.UTC(2026, 0, 1) });
});
afterEach(() => {
  vi.useRealTimers();
});

function start() {
  const sink = recordedSink();
  const viewing = fakeViewing();
  const session = startSession({
    grant: makeGrant(),
    viewing,
    redeemed: null,
    redemptions: recordedRedemptions(),
    sink,
    clock: fakeTimerClock,
    log: silentLog,
    receiptIntervalMs: 5000,
  });
  return { session, sink, viewing };
}

it('a session is opened with its first media, and not before', async () => {
  const { sink, viewing } = start();
  await vi.advanceTimersByTimeAsync(1000);
  expect(sink.opened).toEqual([]);
  viewing.firstMedia();
  const startedAt = Date.UTC(2026, 0, 1) / 1000 + 1;
  expect(sink.opened).toEqual([{ session: SESSION_ID, ticket: TICKET_ID, uri: '/live/demo', startedAt }]);
});

it('a viewer is shown no receipt that a crash could put another one in the place of', async () => {
  const { session, sink, viewing } = start();
  viewing.firstMedia();
  await vi.advanceTimersByTimeAsync(10_000);
  const [first, second] = sink.receipts;
  sink.unkept.add(second!);
  expect(session.receipts()).toEqual([first]);
  sink.unkept.clear();
  expect(session.receipts()).toEqual([first, second]);
});

it('nobody is admitted while receipts cannot be kept, and who runs goes on', async () => {
  vi.useRealTimers();
  const world = await createTicketWorld(systemClock);
  let takes = true;
  const sink = { ...recordedSink(), takesSessions: () => takes };
  const viewer = await world.newViewer();
  const admit = async () =>
    codeOf(gate.admit(await world.request(viewer, await world.ticketFor(viewer)), media));
  const { gate, media } = setUpGate(world, systemClock, { sink });
  expect(await admit()).toBe('admitted');
  takes = false;
  expect(await admit()).toBe('overloaded');
  expect(gate.sessions()).toHaveLength(1);
  takes = true;
  expect(await admit()).toBe('admitted');
});
