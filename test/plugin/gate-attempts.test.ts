/** Attempts: a request that is made again has the session that it has, also when the media of that is lost. */
import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../plugin/clock.ts';
import type { AccessRequest } from '../../plugin/contract.ts';
import { UNLIMITED_PLAY } from '../../plugin/rights/index.ts';
import { codeOf, setUpGate } from '../support/gates.ts';
import { createTicketWorld, type TicketWorld, type Viewer } from '../support/tickets.ts';

let world: TicketWorld;
let viewer: Viewer;
beforeAll(async () => {
  world = await createTicketWorld(systemClock);
  viewer = await world.newViewer();
});

const ONE_ACCESS = { ...UNLIMITED_PLAY, accesses: 1, tier: { maxHeight: 720 } };

const setUp = () => setUpGate(world, systemClock);

describe('the gate', () => {
  it('answers a repeated attempt with the session that it has, also while that is being opened', async () => {
    const { gate, media, opened, redemptions } = setUp();
    const attempt = randomUUID();
    const ticket = await world.ticketFor(viewer, { rights: ONE_ACCESS });
    const [first, second] = await Promise.all([
      gate.admit(await world.request(viewer, ticket, { proof: { attempt } }), media),
      gate.admit(await world.request(viewer, ticket, { proof: { attempt } }), media),
    ]);
    const third = await gate.admit(await world.request(viewer, ticket, { proof: { attempt } }), media);
    expect(second).toBe(first);
    expect(third).toBe(first);
    expect(opened).toHaveLength(1);
    expect(redemptions.calls).toEqual(['reserve']);
    const otherOffer = await world.request(viewer, ticket, {
      proof: { attempt },
      request: { bodyHash: 'another' },
    });
    expect(await codeOf(gate.admit(otherOffer, media))).toBe('proof_invalid');
    await gate.close('server_stopped');
  });

  it('gives no second session to an attempt that the order server knows from elsewhere', async () => {
    const { gate, media, redemptions, viewings } = setUp();
    const elsewhere = randomUUID();
    const plain = redemptions.answer;
    redemptions.answer = (op) => plain(op, elsewhere);
    const ticket = await world.ticketFor(viewer, { rights: ONE_ACCESS });
    const request = await world.request(viewer, ticket, { proof: { attempt: randomUUID() } });
    expect(await codeOf(gate.admit(request, media))).toBe('proof_replayed');
    expect(viewings.map(({ closed }) => closed)).toEqual([true]);
  });
});

describe('when the media of a session is lost', () => {
  async function lose() {
    const made = setUp();
    const attempt = randomUUID();
    const ticket = await world.ticketFor(viewer, { rights: ONE_ACCESS });
    const ask = (bodyHash: string): Promise<AccessRequest> =>
      world.request(viewer, ticket, { proof: { attempt }, request: { bodyHash } });
    const session = await made.gate.admit(await ask('first'), made.media);
    made.viewings[0]?.firstMedia();
    made.viewings[0]?.gone('server_crashed');
    await Promise.resolve();
    return { ...made, ask, session, attempt };
  }

  it('the same attempt gets media anew in it, for another offer, and takes no other access', async () => {
    const { gate, media, ask, session, viewings, redemptions } = await lose();
    expect(await gate.admit(await ask('second'), media)).toBe(session);
    expect(session.viewing).toBe(viewings[1]);
    // Its reply may be lost too.
    expect(await gate.admit(await ask('second'), media)).toBe(session);
    expect(await codeOf(gate.admit(await ask('third'), media))).toBe('proof_invalid');
    expect([viewings.length, gate.sessions().length]).toEqual([2, 1]);
    expect(redemptions.calls).toEqual(['reserve', 'commit']);
    await gate.close('server_stopped');
  });

  it('of two requests at once one gets it', async () => {
    const { gate, media, ask, viewings } = await lose();
    const requests = [await ask('second'), await ask('third')];
    const codes = await Promise.all(requests.map((request) => codeOf(gate.admit(request, media))));
    expect(codes.toSorted()).toEqual(['admitted', 'proof_invalid']);
    expect(viewings).toHaveLength(2);
    await gate.close('server_stopped');
  });

  it('what could not be opened may be asked for again', async () => {
    const { gate, media, ask, session } = await lose();
    media.live = false;
    expect(await codeOf(gate.admit(await ask('second'), media))).toBe('stream_offline');
    media.live = true;
    expect(await gate.admit(await ask('third'), media)).toBe(session);
    await gate.close('server_stopped');
  });

  it('a session that ends while its media is opened anew stays ended, and the media is closed', async () => {
    const { gate, media, ask, session, viewings } = await lose();
    const plain = media.open;
    media.open = async (grant) => {
      const viewing = await plain(grant);
      await session.end('revoked');
      return viewing;
    };
    expect(await codeOf(gate.admit(await ask('second'), media))).toBe('session_ended');
    expect(viewings[1]?.closed).toBe(true);
    expect(gate.sessions()).toEqual([]);
  });

  it('another key gets nothing of it', async () => {
    const { gate, media, attempt, viewings } = await lose();
    const other = await world.newViewer();
    const ticket = await world.ticketFor(other, { rights: ONE_ACCESS });
    const request = await world.request(other, ticket, { proof: { attempt } });
    const session = await gate.admit(request, media);
    expect(gate.sessions()).toHaveLength(2);
    expect(session.viewing).toBe(viewings[1]);
    await gate.close('server_stopped');
  });
});
