import { randomUUID } from 'node:crypto';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock as clock } from '../../plugin/clock.ts';
import type { AccessRequest, Grant, Revocation } from '../../plugin/contract.ts';
import { asDenial } from '../../plugin/errors.ts';
import { createGate, type Gate } from '../../plugin/gate.ts';
import type { Revocations } from '../../plugin/ports.ts';
import { UNLIMITED_PLAY } from '../../plugin/rights/index.ts';
import { createRevocationList } from '../../plugin/revocations/list.ts';
import type { Session } from '../../plugin/session.ts';
import { createReplayMemory, thumbprint } from '../../plugin/ticket/index.ts';
import {
  fakeViewing,
  recordedRedemptions,
  recordedSink,
  silentLog,
  type FakeViewing,
  type RecordedRedemptions,
} from '../support/doubles.ts';
import { revocationOf } from '../support/revocations.ts';
import { createTicketWorld, SERVER_ID, type TicketWorld, type Viewer } from '../support/tickets.ts';

const ONE_ACCESS = { ...UNLIMITED_PLAY, accesses: 1 };
const SESSION_URL = 'https://media.example/session/abc';

/** A list that the test writes itself. */
function handWritten() {
  const list = createRevocationList({ clock });
  let listener: (entry: Revocation | null) => void = () => undefined;
  const revocations: Revocations & { stale: boolean; take(kind: Revocation['kind'], value: string): void } = {
    stale: false,
    find: (target) => list.find(target),
    isStale: () => revocations.stale,
    onChange: (given) => void (listener = given),
    take(kind, value) {
      const entry = revocationOf(kind, value);
      list.add(entry);
      listener(entry);
    },
  };
  return revocations;
}

let world: TicketWorld;
let viewer: Viewer;
let revocations: ReturnType<typeof handWritten>;
let redemptions: RecordedRedemptions;
let gate: Gate;
let viewings: FakeViewing[];
let replays: [string, string | null][];

beforeAll(async () => {
  world = await createTicketWorld(clock);
  viewer = await world.newViewer();
});
beforeEach(() => {
  revocations = handWritten();
  redemptions = recordedRedemptions();
  viewings = [];
  replays = [];
  gate = createGate({
    serverId: SERVER_ID,
    keys: world.keys,
    unsealKeys: world.unsealKeys,
    nonces: world.nonces,
    replay: createReplayMemory({ clock }),
    redemptions,
    revocations,
    reports: { proofReplayed: (ticket, session) => void replays.push([ticket, session]) },
    streamKeys: { authorizePublish: () => Promise.resolve() },
    sink: recordedSink(),
    clock,
    log: silentLog,
  });
});

const media = {
  isLive: () => true,
  open: async (_grant: Grant): Promise<FakeViewing> => {
    const viewing = fakeViewing();
    viewings.push(viewing);
    return viewing;
  },
};
const claimsOf = (ticket: string): { jti: string; sub: string } =>
  JSON.parse(Buffer.from(ticket.split('.')[1] ?? '', 'base64url').toString()) as { jti: string; sub: string };

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'admitted',
    (error: unknown) => asDenial(error).code,
  );
}

const jktOf = (of: Viewer): string => thumbprint(of.proofKey.publicJwk);

const VALUES: [Exclude<Revocation['kind'], 'session'>, (ticket: string, of: Viewer) => string][] = [
  ['ticket', (ticket) => claimsOf(ticket).jti],
  ['subject', (ticket) => claimsOf(ticket).sub],
  ['key', (_ticket, of) => jktOf(of)],
];

describe.each(VALUES)('a revoked %s', (kind, valueOf) => {
  it('is not admitted, and nobody else is hurt', async () => {
    const [holder, other] = await Promise.all([world.newViewer(), world.newViewer()]);
    const [ticket, otherTicket] = await Promise.all([world.ticketFor(holder), world.ticketFor(other)]);
    revocations.take(kind, valueOf(ticket, holder));
    expect(await codeOf(gate.admit(await world.request(holder, ticket), media))).toBe('ticket_revoked');
    expect(viewings).toEqual([]);
    expect(await codeOf(gate.admit(await world.request(other, otherTicket), media))).toBe('admitted');
    await gate.close('server_stopped');
  });

  it('ends its running session, and no other', async () => {
    const [holder, other] = await Promise.all([world.newViewer(), world.newViewer()]);
    const [ticket, otherTicket] = await Promise.all([world.ticketFor(holder), world.ticketFor(other)]);
    const session = await gate.admit(await world.request(holder, ticket), media);
    const untouched = await gate.admit(await world.request(other, otherTicket), media);
    revocations.take(kind, valueOf(ticket, holder));
    expect(await session.ended).toBe('revoked');
    expect(session.viewing.closed).toBe(true);
    expect(untouched.isEnded()).toBe(false);
    await gate.close('server_stopped');
  });
});

it('a revoked ticket is refused before its proof is looked at', async () => {
  const ticket = await world.ticketFor(viewer);
  revocations.take('ticket', claimsOf(ticket).jti);
  const request = await world.request(viewer, ticket, { request: { proof: 'x' } });
  expect(await codeOf(gate.admit(request, media))).toBe('ticket_revoked');
});

it('a ticket that nobody trusts is not told whether it is revoked', async () => {
  const stranger = await createTicketWorld(clock);
  const ticket = await stranger.ticketFor(viewer);
  revocations.take('ticket', claimsOf(ticket).jti);
  expect(await codeOf(gate.admit(await world.request(viewer, ticket), media))).toBe('ticket_untrusted');
});

it('what is revoked while the order server is being asked is not admitted, and the access goes back', async () => {
  const ticket = await world.ticketFor(viewer, { rights: ONE_ACCESS });
  const answer = redemptions.answer;
  redemptions.answer = (op, session) => {
    if (op === 'reserve') revocations.take('ticket', claimsOf(ticket).jti);
    return answer(op, session);
  };
  expect(await codeOf(gate.admit(await world.request(viewer, ticket), media))).toBe('ticket_revoked');
  expect(viewings.map(({ closed }) => closed)).toEqual([true]);
  expect(redemptions.calls).toEqual(['reserve', 'release']);
  expect(gate.sessions()).toEqual([]);
});

it('a session that is revoked cannot be fetched again by its attempt', async () => {
  const ticket = await world.ticketFor(viewer);
  const attempt = randomUUID();
  const request = (): Promise<AccessRequest> => world.request(viewer, ticket, { proof: { attempt } });
  const session = await gate.admit(await request(), media);
  revocations.take('ticket', claimsOf(ticket).jti);
  expect(await codeOf(gate.admit(await request(), media))).toBe('ticket_revoked');
  await session.ended;
});

describe('a kick', () => {
  it('ends one session of a ticket; the viewer may come back', async () => {
    const ticket = await world.ticketFor(viewer);
    const [first, second] = [
      await gate.admit(await world.request(viewer, ticket), media),
      await gate.admit(await world.request(viewer, ticket), media),
    ];
    revocations.take('session', first.id);
    expect(await first.ended).toBe('kicked');
    expect(second.isEnded()).toBe(false);
    expect(await codeOf(gate.admit(await world.request(viewer, ticket), media))).toBe('admitted');
    await gate.close('server_stopped');
  });

  it('comes in time for a session that is still being opened', async () => {
    const ticket = await world.ticketFor(viewer, { rights: ONE_ACCESS });
    const answer = redemptions.answer;
    redemptions.answer = (op, session) => {
      if (op === 'reserve') revocations.take('session', session);
      return answer(op, session);
    };
    expect(await codeOf(gate.admit(await world.request(viewer, ticket), media))).toBe('session_ended');
    expect(viewings.map(({ closed }) => closed)).toEqual([true]);
  });
});

describe('while too little is known of what is revoked', () => {
  it('nobody is admitted, counted or not, bound or not', async () => {
    revocations.stale = true;
    const tickets = await Promise.all([
      world.ticketFor(viewer),
      world.ticketFor(viewer, { rights: ONE_ACCESS }),
      world.ticketFor(viewer, { cnf: undefined }),
    ]);
    for (const ticket of tickets) {
      const request = await world.request(viewer, ticket);
      const denial = asDenial(await gate.admit(request, media).catch((error: unknown) => error));
      expect(denial).toMatchObject({ code: 'order_server_unreachable', retryAfterSeconds: 5 });
    }
    expect(viewings).toEqual([]);
  });

  it('running sessions go on', async () => {
    const session = await gate.admit(await world.request(viewer, await world.ticketFor(viewer)), media);
    revocations.stale = true;
    expect(session.isEnded()).toBe(false);
    await gate.close('server_stopped');
  });
});

describe('a proof that is shown again is reported', () => {
  async function admitted(): Promise<{
    session: Session<FakeViewing>;
    ticket: string;
    request: AccessRequest;
  }> {
    const ticket = await world.ticketFor(viewer);
    const request = await world.request(viewer, ticket);
    return { session: await gate.admit(request, media), ticket, request };
  }

  it('at admission', async () => {
    const { request, ticket } = await admitted();
    expect(await codeOf(gate.admit(request, media))).toBe('proof_replayed');
    expect(replays).toEqual([[claimsOf(ticket).jti, null]]);
    await gate.close('server_stopped');
  });

  it('in a session', async () => {
    const { session, ticket } = await admitted();
    const made = { method: 'DELETE', url: SESSION_URL };
    const again = { ...(await world.request(viewer, ticket, { proof: made })), ...made };
    expect(await codeOf(gate.prove(session, again))).toBe('admitted');
    expect(await codeOf(gate.prove(session, again))).toBe('proof_replayed');
    expect(replays).toEqual([[claimsOf(ticket).jti, session.id]]);
    await gate.close('server_stopped');
  });

  it('and one that is refused for anything else is not', async () => {
    const { session, ticket } = await admitted();
    expect(
      await codeOf(
        gate.prove(session, await world.request(viewer, ticket, { request: { url: SESSION_URL } })),
      ),
    ).toBe('proof_invalid');
    expect(replays).toEqual([]);
    await gate.close('server_stopped');
  });
});
