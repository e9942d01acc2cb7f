/** Two processes of one streaming server, behind one URL: what one of them has seen counts in the other. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { systemClock as clock } from '../../plugin/clock.ts';
import { asDenial } from '../../plugin/errors.ts';
import { createGate, type Gate } from '../../plugin/gate.ts';
import type { Redemptions } from '../../plugin/ports.ts';
import { UNLIMITED_PLAY } from '../../plugin/rights/index.ts';
import { createNonces, openSharedReplay, type SharedReplay } from '../../plugin/ticket/index.ts';
import { fakeViewing, nothingRevoked, recordedSink, silentLog, UNLIMITED } from '../support/doubles.ts';
import { createTicketWorld, SERVER_ID, type TicketWorld, type Viewer } from '../support/tickets.ts';

const media = { isLive: () => true, open: async () => fakeViewing() };
const SESSION_URL = 'https://media.example/session/abc';

let directory: string;
let memories: SharedReplay[];
let world: TicketWorld;
let viewer: Viewer;
let gates: [Gate, Gate];

/** As the order server counts: an attempt has one session, whichever process asks. */
function oneAccess(): Redemptions {
  const sessions = new Map<string, string>();
  return {
    async reserve(session, attempt) {
      const key = attempt ?? session;
      sessions.set(key, sessions.get(key) ?? session);
      return { ...UNLIMITED, session: sessions.get(key) ?? session };
    },
    commit: async (session) => ({ ...UNLIMITED, session }),
    release: async () => undefined,
  };
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'usher-gates-'));
  world = await createTicketWorld(clock);
  viewer = await world.newViewer();
  const redemptions = oneAccess();
  memories = [openSharedReplay({ directory, clock }), openSharedReplay({ directory, clock })];
  gates = memories.map(({ replay, secret }) =>
    createGate({
      serverId: SERVER_ID,
      keys: world.keys,
      unsealKeys: world.unsealKeys,
      nonces: createNonces({ secret, clock }),
      replay,
      redemptions,
      revocations: nothingRevoked,
      streamKeys: { authorizePublish: async () => undefined },
      sink: recordedSink(),
      clock,
      log: silentLog,
    }),
  ) as [Gate, Gate];
});
afterEach(async () => {
  for (const gate of gates) await gate.close('server_stopped');
  for (const memory of memories) memory.close();
  rmSync(directory, { recursive: true });
});

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'admitted',
    (error: unknown) => asDenial(error).code,
  );

it('a nonce of one is good in the other, and a proof in just one of them', async () => {
  const ticket = await world.ticketFor(viewer);
  const request = await world.request(viewer, ticket, { proof: { nonce: gates[0].nonce() } });
  const outcomes = await Promise.all(
    [1, 0, 1, 0].map((index) => codeOf((gates[index] as Gate).admit(request, media))),
  );
  expect(outcomes.toSorted()).toEqual(['admitted', 'proof_replayed', 'proof_replayed', 'proof_replayed']);
});

it('a proof for a session cannot be used in the other for anything', async () => {
  const ticket = await world.ticketFor(viewer);
  const nonce = gates[0].nonce();
  const sessions = await Promise.all(
    gates.map(async (gate) => gate.admit(await world.request(viewer, ticket, { proof: { nonce } }), media)),
  );
  const made = { method: 'DELETE', url: SESSION_URL };
  const request = { ...(await world.request(viewer, ticket, { proof: { nonce, ...made } })), ...made };
  const outcomes = await Promise.all(
    gates.map((gate, index) => codeOf(gate.prove(sessions[index] as (typeof sessions)[0], request))),
  );
  expect(outcomes.toSorted()).toEqual(['admitted', 'proof_replayed']);
});

it('an attempt that is made in both at once has one session', async () => {
  const ticket = await world.ticketFor(viewer, { rights: { ...UNLIMITED_PLAY, accesses: 1 } });
  const attempt = randomUUID();
  const nonce = gates[0].nonce();
  const outcomes = await Promise.all(
    [0, 1, 0, 1].map(async (index) => {
      const request = await world.request(viewer, ticket, { proof: { nonce, attempt } });
      return codeOf((gates[index] as Gate).admit(request, media));
    }),
  );
  // The one that has the session answers it again; the other one is told that it is elsewhere.
  expect(outcomes.toSorted()).toEqual(['admitted', 'admitted', 'proof_replayed', 'proof_replayed']);
  expect(gates.flatMap((gate) => gate.sessions())).toHaveLength(1);
});
