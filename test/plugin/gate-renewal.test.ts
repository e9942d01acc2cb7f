import { randomUUID } from 'node:crypto';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Revocation } from '../../plugin/contract.ts';
import { Denial, type Code } from '../../plugin/errors.ts';
import type { GateOptions } from '../../plugin/gate.ts';
import type { Clock, Revocations } from '../../plugin/ports.ts';
import { UNLIMITED_PLAY } from '../../plugin/rights/index.ts';
import { generateSigningKey, type ProofOptions, type SigningKeyPair } from '../../plugin/ticket/index.ts';
import { UNLIMITED } from '../support/doubles.ts';
import { codeOf, setUpGate } from '../support/gates.ts';
import { createTicketWorld, type TicketWorld, type Viewer } from '../support/tickets.ts';

const clock: Clock & { ms: number } = {
  ms: Date.now(),
  nowMs: () => clock.ms,
  monotonicMs: () => clock.ms,
};
const nowSeconds = (): number => Math.floor(clock.ms / 1000);
const HELD = {
  ...UNLIMITED_PLAY,
  accesses: 1,
  tier: { maxHeight: 720, maxBitrate: 2_000_000 },
  controls: ['pause'],
};
const TICKET_URL = 'https://media.example/session/secret/ticket';

let world: TicketWorld;
let viewer: Viewer;
let stranger: Viewer;
let otherKey: SigningKeyPair;
beforeAll(async () => {
  world = await createTicketWorld(clock);
  [viewer, stranger] = await Promise.all([world.newViewer(), world.newViewer()]);
  otherKey = await generateSigningKey();
});

/** A feed that can be told. */
function feed(): Revocations & { revoked: Set<string>; tell(entry: Revocation | null): void } {
  const listeners: ((entry: Revocation | null) => void)[] = [];
  const revoked = new Set<string>();
  return {
    revoked,
    find: ({ ticketId }) => (revoked.has(ticketId) ? 'revoked' : null),
    isStale: () => false,
    onChange: (listener) => void listeners.push(listener),
    tell: (entry) => listeners.forEach((listener) => listener(entry)),
  };
}
const revocationOf = (value: string): Revocation => ({
  seq: 1,
  until: nowSeconds() + 3600,
  kind: 'ticket',
  value,
  action: 'revoke',
});

describe('a renewal', () => {
  let revocations: ReturnType<typeof feed>;
  beforeEach(() => {
    revocations = feed();
  });

  /** A session with its first media, on a ticket of the tier above. */
  async function admitted(options: Partial<GateOptions> = {}) {
    const house = setUpGate(world, clock, { revocations, ...options });
    const attempt = randomUUID();
    const ticket = await world.ticketFor(viewer, { rights: HELD });
    const session = await house.gate.admit(
      await world.request(viewer, ticket, { proof: { attempt } }),
      house.media,
    );
    const [viewing] = house.viewings;
    if (viewing === undefined) throw new Error('nothing was opened');
    viewing.firstMedia();
    viewing.reading = { mediaMs: 4000, bytes: 500 };
    const request = (next: string, proof: Partial<ProofOptions> = {}, by = viewer) =>
      world.request(by, next, {
        proof: { url: TICKET_URL, attempt: randomUUID(), ...proof },
        request: { url: TICKET_URL },
      });
    const renew = async (next: string, proof?: Partial<ProofOptions>, by?: Viewer) =>
      codeOf(house.gate.renew(session, await request(next, proof, by)));
    const better = (claims: Parameters<TicketWorld['ticketFor']>[1] = {}) =>
      world.ticketFor(viewer, {
        exp: nowSeconds() + 7200,
        rights: { ...HELD, tier: { maxHeight: 1080 } },
        ...claims,
      });
    return { ...house, session, ticket, attempt, viewing, request, renew, better };
  }

  it('swaps the grant in place: expiry, tier, key and ticket are the new ones, the media and the URL stay', async () => {
    const { gate, session, viewing, renew, better, opened } = await admitted();
    const [before, token, id] = [session.grant, session.token, session.id];
    expect(await renew(await better())).toBe('admitted');
    expect(session.grant).toMatchObject({
      expiresAtSeconds: nowSeconds() + 7200,
      jkt: before.jkt,
      uri: before.uri,
      attempt: before.attempt,
      rights: { tier: { maxHeight: 1080 } },
    });
    expect(session.grant.ticketId).not.toBe(before.ticketId);
    expect(session.grant.key).not.toEqual(before.key);
    expect([session.token, session.viewing, viewing.closed, opened.length]).toEqual([
      token,
      viewing,
      false,
      1,
    ]);
    expect(session.id).not.toBe(id);
    expect(gate.sessions()).toEqual([session]);
    await gate.close('server_stopped');
  });

  it('closes what the old ticket has paid for and begins the new one’s count at nothing', async () => {
    const { gate, session, viewing, renew, better, sink, redemptions } = await admitted();
    const old = session.grant;
    await renew(await better());
    viewing.reading = { mediaMs: 6500, bytes: 900 };
    await session.end('viewer_left');
    expect(
      sink.receipts.map(({ session: of, ticket, seq, mediaMs, bytes, reason }) => [
        of,
        ticket,
        seq,
        mediaMs,
        bytes,
        reason,
      ]),
    ).toEqual([
      [old.sessionId, old.ticketId, 0, 4000, 500, 'replaced'],
      [session.id, session.grant.ticketId, 0, 2500, 400, 'viewer_left'],
    ]);
    expect(redemptions.calls).toEqual(['reserve', 'commit', 'reserve', 'commit']);
    await gate.close('server_stopped');
  });

  it('with the same ticket again, whatever its attempt, changes nothing and takes no other access', async () => {
    const { gate, session, renew, better, redemptions } = await admitted();
    const next = await better();
    const answers = await Promise.all([renew(next), renew(next)]);
    const { id } = session;
    expect([...answers, await renew(next)]).toEqual(['admitted', 'admitted', 'admitted']);
    expect(session.id).toBe(id);
    expect(redemptions.calls.filter((call) => call === 'reserve')).toHaveLength(2);
    await gate.close('server_stopped');
  });

  it('comes thirty times at once, and then one every ten seconds: two tickets do not swap places for ever', async () => {
    const { gate, session, renew, better, sink } = await admitted();
    const equal = await Promise.all([better(), better()]);
    const swap = (index: number) => renew(equal[index % 2] ?? '');
    for (let index = 0; index < 30; index++) expect(await swap(index)).toBe('admitted');
    const [{ id }, receipts] = [session, sink.receipts.length];
    expect(await swap(30)).toBe('rate_limited');
    expect([session.id, sink.receipts.length]).toEqual([id, receipts]);
    clock.ms += 10_000;
    expect(await swap(30)).toBe('admitted');
    expect(await swap(31)).toBe('rate_limited');
    await gate.close('server_stopped');
  });

  it('by two tickets at once takes one after the other', async () => {
    const { gate, session, renew, better, sink } = await admitted();
    const tickets = [await better(), await better({ exp: nowSeconds() + 9000 })];
    expect(await Promise.all(tickets.map((next) => renew(next)))).toEqual(['admitted', 'admitted']);
    await session.end('viewer_left');
    expect(sink.receipts.map(({ seq, mediaMs, reason }) => [seq, mediaMs, reason])).toEqual([
      [0, 4000, 'replaced'],
      [0, 0, 'replaced'],
      [0, 0, 'viewer_left'],
    ]);
    await gate.close('server_stopped');
  });

  const tierOf = (tier: object) => ({ rights: { ...HELD, tier } });
  const REFUSED: [
    string,
    Code,
    string | undefined,
    Parameters<TicketWorld['ticketFor']>[1],
    Partial<ProofOptions>?,
  ][] = [
    ['another key', 'proof_invalid', 'jwk', { cnf: { jkt: 'A'.repeat(43) } }],
    ['no key', 'proof_invalid', 'the ticket is not bound to a key', { cnf: undefined }],
    ['another stream', 'ticket_wrong_uri', 'uri', { uri: '/live/other' }],
    ['another server', 'ticket_wrong_audience', 'aud', { aud: ['ss-two'] }],
    ['a past end', 'ticket_expired', 'exp', { exp: 1, nbf: 0, iat: 0 }],
    ['a later beginning', 'ticket_not_yet_valid', 'nbf', { nbf: 4_000_000_000, exp: 4_000_000_001 }],
    ['a lower height', 'rights_insufficient', 'tier.maxHeight', tierOf({ maxHeight: 480 })],
    [
      'a lower bitrate',
      'rights_insufficient',
      'tier.maxBitrate',
      tierOf({ maxHeight: 720, maxBitrate: 1_000_000 }),
    ],
    ['a limit on sound', 'rights_insufficient', 'tier.audioBitrate', tierOf({ audioBitrate: 64_000 })],
    ['fewer controls', 'rights_insufficient', 'controls', { rights: { ...HELD, controls: [] } }],
    ['another action', 'rights_insufficient', 'action', { rights: { ...HELD, action: 'publish' } }],
    ['another address', 'rights_insufficient', 'addr', { addr: '192.0.2.99' }],
    ['a proof for another URL', 'proof_invalid', 'htu', {}, { url: `${TICKET_URL}s` }],
    ['a proof for another ticket', 'proof_invalid', 'ath', {}, { ticket: 'another' }],
    ['a proof without a nonce', 'proof_nonce_required', 'nonce', {}, { nonce: undefined }],
  ];

  it.each(REFUSED)('by a ticket with %s is refused: %s', async (_name, code, detail, claims, proof) => {
    const { gate, session, viewing, request, better, redemptions } = await admitted();
    const { grant } = session;
    const refused = gate.renew(session, await request(await better(claims), proof));
    await expect(refused).rejects.toMatchObject({ code, detail });
    expect([session.grant, session.isEnded(), viewing.closed]).toEqual([grant, false, false]);
    expect(redemptions.calls).toEqual(['reserve', 'commit']);
    await gate.close('server_stopped');
  });

  it('by a ticket and a key of somebody else is refused, though he knows the URL', async () => {
    const { gate, session, renew } = await admitted();
    const { grant } = session;
    const theirs = await world.ticketFor(stranger, { rights: HELD });
    expect(await renew(theirs, {}, stranger)).toBe('proof_invalid');
    expect(session.grant).toBe(grant);
    await gate.close('server_stopped');
  });

  it('by a ticket of another order server’s key, or with a proof that was seen before, is refused', async () => {
    const { gate, session, renew, request, better } = await admitted();
    const { grant } = session;
    const forged = await world.ticketFor(viewer, { rights: HELD }, { signingKey: otherKey });
    expect(await renew(forged)).toBe('ticket_untrusted');
    const made = await request(await better({ uri: '/live/other' }));
    expect(await codeOf(gate.renew(session, made))).toBe('ticket_wrong_uri');
    const good = await request(await better());
    expect(await codeOf(gate.renew(session, good))).toBe('admitted');
    expect(await codeOf(gate.renew(session, good))).toBe('proof_replayed');
    expect(session.grant).not.toBe(grant);
    await gate.close('server_stopped');
  });

  it('by a ticket that is revoked, before or while the order server is asked, is refused and gives its access back', async () => {
    const { gate, session, renew, better, redemptions } = await admitted();
    const { grant } = session;
    const idOf = (ticket: string): string =>
      (JSON.parse(Buffer.from(ticket.split('.')[1] ?? '', 'base64url').toString()) as { jti: string }).jti;
    const first = await better();
    revocations.revoked.add(idOf(first));
    expect(await renew(first)).toBe('ticket_revoked');
    const second = await better();
    const answer = redemptions.answer;
    redemptions.answer = (op, of) => {
      if (op === 'reserve') revocations.revoked.add(idOf(second));
      return answer(op, of);
    };
    expect(await renew(second)).toBe('ticket_revoked');
    expect(redemptions.calls).toEqual(['reserve', 'commit', 'reserve', 'release']);
    expect(session.grant).toBe(grant);
    await gate.close('server_stopped');
  });

  it.each<Code>(['rights_exhausted', 'rights_concurrency', 'order_server_unreachable'])(
    'that the order server answers with %s leaves the session as it was',
    async (code) => {
      const { gate, session, renew, better, redemptions } = await admitted();
      const { grant } = session;
      redemptions.answer = (op, of) => {
        if (op === 'reserve') throw new Denial(code);
        return { ...UNLIMITED, session: of };
      };
      expect(await renew(await better())).toBe(code);
      expect([session.grant, session.isEnded()]).toEqual([grant, false]);
      await gate.close('server_stopped');
    },
  );

  it('of a session that has ended, or ends meanwhile, is refused and gives its access back', async () => {
    const { gate, session, request, better, redemptions, viewing } = await admitted();
    const [made, late] = [await request(await better()), await request(await better())];
    const { counters } = viewing;
    viewing.counters = async () => {
      viewing.counters = counters;
      void session.end('kicked');
      return viewing.reading;
    };
    expect(await codeOf(gate.renew(session, made))).toBe('session_ended');
    expect(redemptions.calls).toEqual(['reserve', 'commit', 'reserve', 'release']);
    await session.ended;
    expect(await codeOf(gate.renew(session, late))).toBe('session_ended');
    await gate.close('server_stopped');
  });

  it('moves the session to the new ticket’s name: that one’s revocation ends it, the old one’s does not', async () => {
    const { gate, session, renew, better } = await admitted();
    const old = session.grant.ticketId;
    await renew(await better());
    revocations.tell(revocationOf(old));
    expect(session.isEnded()).toBe(false);
    revocations.tell(revocationOf(session.grant.ticketId));
    expect(await session.ended).toBe('revoked');
    await gate.close('server_stopped');
  });

  it.each([
    ['told by an entry', 'entry', 1, true],
    ['told by a whole list', 'list', 1, true],
    ['thirty renewals later', 'entry', 30, true],
    ['more than thirty renewals later', 'entry', 31, false],
  ] as const)(
    'leaves the session to a kick by an id that it had before: %s',
    async (_when, by, times, ends) => {
      const { gate, session, renew, better } = await admitted();
      const old = session.id;
      for (let time = 0; time < times; time++) {
        clock.ms += 10_000;
        expect(await renew(await better())).toBe('admitted');
      }
      if (by === 'entry') revocations.tell({ ...revocationOf(old), kind: 'session', action: 'kick' });
      else {
        revocations.find = ({ sessionId }) => (sessionId === old ? 'kicked' : null);
        revocations.tell(null);
      }
      expect(session.isEnded()).toBe(ends);
      if (ends) expect(await session.ended).toBe('kicked');
      await gate.close('server_stopped');
    },
  );

  it('is followed by requests with the new ticket; the old one is no longer this session’s', async () => {
    const { gate, session, ticket, renew, better, request } = await admitted();
    const next = await better();
    await renew(next);
    expect(await codeOf(gate.prove(session, await request(next)))).toBe('admitted');
    expect(await codeOf(gate.prove(session, await request(ticket)))).toBe('ticket_untrusted');
    await gate.close('server_stopped');
  });

  it('lets the viewer have lost media anew by the new ticket and the attempt that opened the session', async () => {
    const { gate, media, session, attempt, viewing, renew, better, opened } = await admitted();
    const next = await better();
    await renew(next);
    viewing.gone('server_crashed');
    const again = await world.request(viewer, next, { proof: { attempt }, request: { bodyHash: 'other' } });
    await new Promise((turn) => setImmediate(turn));
    expect(await gate.admit(again, media)).toBe(session);
    expect(opened.at(-1)).toBe(session.grant);
    await gate.close('server_stopped');
  });
});
