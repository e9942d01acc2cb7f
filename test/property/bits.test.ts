/** Any single bit of what a viewer or a server sends counts: all of them are tried, through the code that decides. */
import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { AccessRequest } from '../../plugin/contract.ts';
import { Denial } from '../../plugin/errors.ts';
import { createGate, type Gate } from '../../plugin/gate.ts';
import {
  createReplayMemory,
  importSigningKey,
  issueTicket,
  openClientPart,
  signServerMessage,
  verifyServerMessage,
} from '../../plugin/ticket/index.ts';
import { CLIENT_X25519, HOLDER_ED25519 } from '../plugin/ticket/insecure-test-keys.ts';
import { decode, flipBit, order } from '../plugin/ticket/support.ts';
import {
  fakeTimerClock as clock,
  fakeViewing,
  nothingRevoked,
  recordedRedemptions,
  recordedSink,
  silentLog,
} from '../support/doubles.ts';
import { createTicketWorld, SERVER_ID, type TicketWorld, type Viewer } from '../support/tickets.ts';

let world: TicketWorld;
let viewer: Viewer;
let ticket: string;
let gate: Gate;
const media = { isLive: () => true, open: () => Promise.resolve(fakeViewing()) };

beforeAll(async () => {
  world = await createTicketWorld(clock);
  viewer = await world.newViewer();
  ticket = await world.ticketFor(viewer);
  gate = createGate({
    serverId: SERVER_ID,
    keys: world.keys,
    unsealKeys: world.unsealKeys,
    nonces: world.nonces,
    replay: createReplayMemory({ clock }),
    redemptions: recordedRedemptions(),
    revocations: nothingRevoked,
    streamKeys: { authorizePublish: () => Promise.resolve() },
    sink: recordedSink(),
    clock,
    log: silentLog,
  });
});

async function outcomeOf(request: AccessRequest): Promise<string> {
  try {
    const session = await gate.admit(request, media);
    await session.end('viewer_left');
    return 'admitted';
  } catch (error) {
    if (error instanceof Denial) return error.code;
    throw error;
  }
}

/** Every text that differs from this one in one of the 8 bits of one character. */
function* everyBitOf(text: string): Generator<string> {
  for (let bit = 0; bit < text.length * 8; bit++) yield flipBit(text, bit);
}

describe('any single bit', () => {
  it('of a ticket makes the gate refuse it, and without a change it is admitted', async () => {
    const honest = await world.request(viewer, ticket);
    const outcomes = new Map<string, number>();
    for (const changed of everyBitOf(ticket)) {
      const outcome = await outcomeOf({ ...honest, authorization: `DPoP ${changed}` });
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }
    expect([...outcomes.keys()].toSorted()).toEqual(['ticket_malformed', 'ticket_untrusted']);
    expect(await outcomeOf(honest)).toBe('admitted');
  });

  it('of a proof makes the gate refuse it, and without a change it is admitted', async () => {
    const honest = await world.request(viewer, ticket);
    const outcomes = new Set<string>();
    for (const changed of everyBitOf(honest.proof ?? ''))
      outcomes.add(await outcomeOf({ ...honest, proof: changed }));
    expect([...outcomes]).toEqual(['proof_invalid']);
    expect(await outcomeOf(honest)).toBe('admitted');
  });

  it('of the sealed part makes the gate refuse the ticket, even if the order server signs it', async () => {
    const { header, payload } = decode(ticket);
    const sealed = JSON.stringify(payload['ss']);
    const { privateKey, alg } = world.signingKey;
    const outcomes = new Set<string>();
    const { signTexts } = await import('../plugin/ticket/support.ts');
    const resign = (text: string) =>
      signTexts(
        JSON.stringify(header),
        JSON.stringify({ ...payload, ss: 0 }).replace('"ss":0', () => `"ss":${text}`),
        { privateKey, alg },
      );
    for (const changed of everyBitOf(sealed)) {
      const forged = await resign(changed);
      outcomes.add(await outcomeOf(await world.request(viewer, forged)));
    }
    expect([...outcomes]).toEqual(['ticket_malformed']);
    expect(await outcomeOf(await world.request(viewer, await resign(sealed)))).toBe('admitted');
  }, 60_000);

  it('of a client part makes the client refuse it', async () => {
    const issued = await issueTicket(order);
    const { jti, cph } = decode(issued.ticket).payload as { jti: string; cph: string };
    const part = issued.clientPart ?? '';
    for (const changed of everyBitOf(part))
      await expect(openClientPart(changed, CLIENT_X25519, { jti, cph })).rejects.toThrow(TypeError);
    expect(await openClientPart(part, CLIENT_X25519, { jti, cph })).toHaveLength(32);
  });

  it('of a server’s message makes the order server refuse it', async () => {
    const key = await importSigningKey(HOLDER_ED25519);
    const message = await signServerMessage({
      typ: 'redemption+jwt',
      payload: { op: 'commit', session: randomUUID() },
      iss: 'ss-1',
      aud: 'https://orders.example',
      key,
      clock,
    });
    const read = (text: string) =>
      verifyServerMessage(text, {
        replay: createReplayMemory({ clock }),
        typ: 'redemption+jwt',
        audience: 'https://orders.example',
        schema: z.looseObject({}),
        findKey: (iss, kid) =>
          Promise.resolve(
            iss === 'ss-1' && kid === key.kid ? { publicKey: key.publicKey, alg: key.alg } : null,
          ),
        nowSeconds: Math.floor(clock.nowMs() / 1000),
        maxChars: 4096,
      });
    for (const changed of everyBitOf(message)) await expect(read(changed)).rejects.toBeInstanceOf(Denial);
    expect(await read(message)).toMatchObject({ op: 'commit' });
  });
});
