/** A gate of a small world, with media that open at once and remember for whom. */
import type { Grant } from '../../plugin/contract.ts';
import { Denial, type Code } from '../../plugin/errors.ts';
import { createGate, type GateOptions } from '../../plugin/gate.ts';
import type { Clock } from '../../plugin/ports.ts';
import { createReplayMemory } from '../../plugin/ticket/index.ts';
import {
  fakeViewing,
  nothingRevoked,
  recordedRedemptions,
  recordedSink,
  silentLog,
  type FakeViewing,
} from './doubles.ts';
import { SERVER_ID, type TicketWorld } from './tickets.ts';

export function setUpGate(world: TicketWorld, clock: Clock, options: Partial<GateOptions> = {}) {
  const redemptions = recordedRedemptions();
  const sink = recordedSink();
  const opened: Grant[] = [];
  const viewings: FakeViewing[] = [];
  const gate = createGate({
    serverId: SERVER_ID,
    keys: world.keys,
    unsealKeys: world.unsealKeys,
    nonces: world.nonces,
    replay: createReplayMemory({ clock }),
    redemptions,
    revocations: nothingRevoked,
    streamKeys: { authorizePublish: () => Promise.resolve() },
    sink,
    clock,
    log: silentLog,
    ...options,
  });
  const media = {
    live: true,
    isLive: () => media.live,
    open: (grant: Grant) => {
      opened.push(grant);
      const viewing = fakeViewing();
      viewings.push(viewing);
      return Promise.resolve(viewing);
    },
  };
  return { gate, media, opened, viewings, redemptions, sink };
}

/** The code of a refusal, or `admitted`. */
export async function codeOf(work: Promise<unknown>): Promise<Code | 'admitted'> {
  try {
    await work;
    return 'admitted';
  } catch (error) {
    if (error instanceof Denial) return error.code;
    throw error;
  }
}
