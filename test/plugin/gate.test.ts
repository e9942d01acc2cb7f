import { beforeAll, describe, expect, it } from 'vitest';
import type { AccessRequest } from '../../plugin/contract.ts';
import { Denial, type Code } from '../../plugin/errors.ts';
import type { GateOptions } from '../../plugin/gate.ts';
import type { Clock } from '../../plugin/ports.ts';
import { UNLIMITED_PLAY } from '../../plugin/rights/index.ts';
import { generateSigningKey, type ProofOptions, type SigningKeyPair } from '../../plugin/ticket/index.ts';
import { fakeViewing, recordingLog, type FakeViewing } from '../support/doubles.ts';
import { codeOf, setUpGate } from '../support/gates.ts';
import { createTicketWorld, type TicketWorld, type Viewer } from '../support/tickets.ts';

const START_MS = Date.now();
const clock: Clock & { ms: number } = { ms: START_MS, nowMs: () => clock.ms, monotonicMs: () => clock.ms };
const nowSeconds = (): number => Math.floor(clock.ms / 1000);

let world: TicketWorld;
let viewer: Viewer;
let otherKey: SigningKeyPair;
beforeAll(async () => {
  world = await createTicketWorld(clock);
  viewer = await world.newViewer();
  otherKey = await generateSigningKey();
});

const ONE_ACCESS = { ...UNLIMITED_PLAY, accesses: 1, tier: { maxHeight: 720 } };

const setUp = (options: Partial<GateOptions> = {}) => setUpGate(world, clock, options);

/** Flips one bit of the middle of a base64url part. */
function tamper(token: string, part: number): string {
  const parts = token.split('.');
  const text = parts[part] ?? '';
  const at = Math.floor(text.length / 2);
  parts[part] = text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1);
  return parts.join('.');
}

interface Case {
  claims?: () => Record<string, unknown>;
  proof?: () => Partial<ProofOptions>;
  request?: (made: AccessRequest) => Partial<AccessRequest>;
  signingKey?: () => SigningKeyPair;
}

const CASES: [string, Code | 'admitted', Case][] = [
  ['a good ticket with a good proof', 'admitted', {}],
  ['no Authorization', 'ticket_missing', { request: () => ({ authorization: undefined }) }],
  ['another scheme', 'ticket_malformed', { request: () => ({ authorization: 'Basic dXNoZXI6dXNoZXI=' }) }],
  [
    'two tickets in one header',
    'ticket_malformed',
    { request: (made) => ({ authorization: `${made.authorization ?? ''}, ${made.authorization ?? ''}` }) },
  ],
  ['no ticket behind the scheme', 'ticket_malformed', { request: () => ({ authorization: 'DPoP ' }) }],
  ['a ticket that is no JWS', 'ticket_malformed', { request: () => ({ authorization: 'DPoP abc' }) }],
  [
    'an oversized header',
    'ticket_malformed',
    { request: () => ({ authorization: `DPoP ${'a'.repeat(10_000)}` }) },
  ],
  [
    'a tampered signature',
    'ticket_untrusted',
    { request: (made) => ({ authorization: tamper(made.authorization ?? '', 2) }) },
  ],
  ['another order server’s key', 'ticket_untrusted', { signingKey: () => otherKey }],
  ['another issuer', 'ticket_untrusted', { claims: () => ({ iss: 'https://evil.example' }) }],
  [
    'an expired ticket',
    'ticket_expired',
    { claims: () => ({ iat: nowSeconds() - 20, nbf: nowSeconds() - 20, exp: nowSeconds() }) },
  ],
  ['a ticket of the future', 'ticket_not_yet_valid', { claims: () => ({ nbf: nowSeconds() + 60 }) }],
  ['another server’s audience', 'ticket_wrong_audience', { claims: () => ({ aud: ['ss-two'] }) }],
  ['another stream', 'ticket_wrong_uri', { claims: () => ({ uri: '/live/demo2' }) }],
  [
    'a bound ticket as Bearer',
    'proof_missing',
    { request: (made) => ({ authorization: (made.authorization ?? '').replace('DPoP', 'Bearer') }) },
  ],
  ['no proof', 'proof_missing', { request: () => ({ proof: undefined }) }],
  ['a proof that is no JWS', 'proof_invalid', { request: () => ({ proof: 'x' }) }],
  ['a tampered proof', 'proof_invalid', { request: (made) => ({ proof: tamper(made.proof ?? '', 1) }) }],
  [
    'a proof by another key',
    'proof_invalid',
    { proof: () => ({ privateKey: otherKey.privateKey, publicJwk: otherKey.publicJwk }) },
  ],
  ['a proof for another method', 'proof_invalid', { proof: () => ({ method: 'GET' }) }],
  [
    'a proof for another URL',
    'proof_invalid',
    { proof: () => ({ url: 'https://media.example/whep/live/demo2' }) },
  ],
  ['a proof for another ticket', 'proof_invalid', { proof: () => ({ ticket: 'another' }) }],
  ['a proof without a nonce', 'proof_nonce_required', { proof: () => ({ nonce: undefined }) }],
  ['a proof with a foreign nonce', 'proof_nonce_required', { proof: () => ({ nonce: 'x'.repeat(32) }) }],
  [
    'a proof for another fingerprint',
    'proof_invalid',
    { proof: () => ({ fingerprint: 'sha-256 AA' }), request: () => ({ fingerprint: 'sha-256 BB' }) },
  ],
  ['a proof without the fingerprint', 'proof_invalid', { request: () => ({ fingerprint: 'sha-256 BB' }) }],
  ['a wish to publish', 'rights_insufficient', { proof: () => ({ ask: { action: 'publish' } }) }],
  [
    'a wish above the tier',
    'rights_insufficient',
    {
      claims: () => ({ rights: ONE_ACCESS }),
      proof: () => ({ ask: { action: 'play', tier: { maxHeight: 1080 } } }),
    },
  ],
  [
    'a ticket for publishing',
    'rights_insufficient',
    { claims: () => ({ rights: { ...ONE_ACCESS, action: 'publish' } }) },
  ],
  ['a ticket for another address', 'rights_insufficient', { claims: () => ({ addr: '192.0.2.9' }) }],
  ['a ticket for this address', 'admitted', { claims: () => ({ addr: '192.0.2.1' }) }],
  ['a ticket bound to a device', 'rights_insufficient', { claims: () => ({ dev: 'device-1' }) }],
  [
    'an unbound ticket as Bearer',
    'admitted',
    {
      claims: () => ({ cnf: undefined }),
      request: (made) => ({ authorization: (made.authorization ?? '').replace('DPoP', 'Bearer') }),
    },
  ],
  ['an unbound ticket with a proof', 'proof_invalid', { claims: () => ({ cnf: undefined }) }],
];

describe('the gate, asked to play', () => {
  it.each(CASES)('with %s: %s', async (_name, expected, { claims, proof, request, signingKey }) => {
    const { gate, media, opened, redemptions } = setUp();
    const ticket = await world.ticketFor(viewer, claims?.(), signingKey && { signingKey: signingKey() });
    const made = await world.request(viewer, ticket, { proof: proof?.() ?? {} });
    const outcome = await codeOf(gate.admit({ ...made, ...request?.(made) }, media));
    expect(outcome).toBe(expected);
    expect(opened).toHaveLength(expected === 'admitted' ? 1 : 0);
    if (expected !== 'admitted') expect(redemptions.calls).toEqual([]);
    await gate.close('server_stopped');
  });

  it('refuses the same proof twice, and an old nonce', async () => {
    const { gate, media } = setUp();
    const ticket = await world.ticketFor(viewer);
    const made = await world.request(viewer, ticket);
    expect(await codeOf(gate.admit(made, media))).toBe('admitted');
    expect(await codeOf(gate.admit(made, media))).toBe('proof_replayed');
    const nonce = gate.nonce();
    clock.ms += 121_000;
    const late = await world.request(viewer, ticket, { proof: { nonce } });
    expect(await codeOf(gate.admit(late, media))).toBe('proof_nonce_required');
    clock.ms = START_MS;
    await gate.close('server_stopped');
  });

  it('reserves a counted access only for a stream that is on the air', async () => {
    const { gate, media, redemptions } = setUp();
    const ticket = await world.ticketFor(viewer, { rights: ONE_ACCESS });
    media.live = false;
    expect(await codeOf(gate.admit(await world.request(viewer, ticket), media))).toBe('stream_offline');
    expect(redemptions.calls).toEqual([]);
    media.live = true;
    const session = await gate.admit(await world.request(viewer, ticket), media);
    expect(redemptions.calls).toEqual(['reserve']);
    expect(session.grant.key).toHaveLength(32);
    await gate.close('server_stopped');
    expect(redemptions.calls).toEqual(['reserve', 'release']);
  });

  it('admits an uncounted ticket while the order server is away, and no counted one', async () => {
    const { gate, media, redemptions, viewings } = setUp();
    redemptions.answer = () => {
      throw new Denial('order_server_unreachable');
    };
    const uncounted = await world.ticketFor(viewer);
    const counted = await world.ticketFor(viewer, { rights: ONE_ACCESS });
    expect(await codeOf(gate.admit(await world.request(viewer, uncounted), media))).toBe('admitted');
    expect(await codeOf(gate.admit(await world.request(viewer, counted), media))).toBe(
      'order_server_unreachable',
    );
    expect(viewings.map(({ closed }) => closed)).toEqual([false, true]);
    expect(gate.sessions()).toHaveLength(1);
    await gate.close('server_stopped');
  });

  it('closes media that were opened for an access which is not to be had', async () => {
    const { gate, redemptions } = setUp();
    redemptions.answer = () => {
      throw new Denial('rights_exhausted');
    };
    const ticket = await world.ticketFor(viewer, { rights: ONE_ACCESS });
    const opening = Promise.withResolvers<FakeViewing>();
    const media = { isLive: () => true, open: () => opening.promise };
    expect(await codeOf(gate.admit(await world.request(viewer, ticket), media))).toBe('rights_exhausted');
    const late = fakeViewing();
    opening.resolve(late);
    await opening.promise;
    expect(late.closed).toBe(true);
    expect(gate.sessions()).toEqual([]);
  });

  it('gives the access back when the media cannot be opened', async () => {
    const { gate, redemptions } = setUp();
    const ticket = await world.ticketFor(viewer, { rights: ONE_ACCESS });
    const media = { isLive: () => true, open: () => Promise.reject(new Denial('offer_unsupported')) };
    expect(await codeOf(gate.admit(await world.request(viewer, ticket), media))).toBe('offer_unsupported');
    expect(redemptions.calls).toEqual(['reserve', 'release']);
    expect(gate.sessions()).toEqual([]);
  });

  it('survives media that fail to open while the order server is still being asked', async () => {
    const { gate, redemptions } = setUp({});
    const asked = Promise.withResolvers<void>();
    const slow = {
      ...redemptions,
      reserve: async (session: string) => {
        await asked.promise;
        return redemptions.reserve(session, null, '');
      },
    };
    const patient = setUp({ redemptions: slow });
    const unhandled: unknown[] = [];
    const note = (error: unknown): void => void unhandled.push(error);
    process.on('unhandledRejection', note);
    const ticket = await world.ticketFor(viewer, { rights: ONE_ACCESS });
    const media = { isLive: () => true, open: () => Promise.reject(new Denial('offer_unsupported')) };
    const outcome = codeOf(patient.gate.admit(await world.request(viewer, ticket), media));
    await new Promise((resolve) => setTimeout(resolve, 50)); // Time for the rejection to be taken for unhandled.
    asked.resolve();
    expect(await outcome).toBe('offer_unsupported');
    process.off('unhandledRejection', note);
    expect(unhandled).toEqual([]);
    expect(redemptions.calls).toEqual(['reserve', 'release']);
    await gate.close('server_stopped');
  });

  it('admits no more than its maximum of sessions, and none after it was closed', async () => {
    const { gate, media } = setUp({ maxSessions: 2 });
    const ticket = await world.ticketFor(viewer);
    const requests = await Promise.all([1, 2, 3].map(() => world.request(viewer, ticket)));
    const outcomes = await Promise.all(requests.map((request) => codeOf(gate.admit(request, media))));
    expect(outcomes.toSorted()).toEqual(['admitted', 'admitted', 'overloaded']);
    await gate.close('server_stopped');
    expect(await codeOf(gate.admit(await world.request(viewer, ticket), media))).toBe('overloaded');
  });

  it('writes neither ticket nor proof nor key into its log', async () => {
    const log = recordingLog();
    const { gate, media } = setUp({ log });
    const ticket = await world.ticketFor(viewer, { rights: ONE_ACCESS });
    const made = await world.request(viewer, ticket);
    await gate.admit(made, media);
    await codeOf(gate.admit(made, media));
    await codeOf(gate.admit({ ...made, authorization: `DPoP ${tamper(ticket, 2)}` }, media));
    await gate.close('server_stopped');
    const text = log.lines.join('\n');
    expect(text).toContain('proof_replayed');
    for (const secret of [...ticket.split('.'), ...(made.proof ?? '').split('.')])
      expect(text).not.toContain(secret);
  });
});

describe('a later request of a session', () => {
  const SESSION_URL = 'https://media.example/session/abc';
  const base = { method: 'DELETE', url: SESSION_URL };

  async function admitted() {
    const { gate, media } = setUp();
    const ticket = await world.ticketFor(viewer);
    const session = await gate.admit(await world.request(viewer, ticket), media);
    const request = async (by: Viewer, proof: Partial<ProofOptions> = {}, presented = ticket) => ({
      ...(await world.request(by, presented, { proof: { ...base, ...proof } })),
      ...base,
    });
    return { gate, session, ticket, request };
  }

  it('is accepted with a fresh proof by the admitted key', async () => {
    const { gate, session, request } = await admitted();
    expect(await codeOf(gate.prove(session, await request(viewer)))).toBe('admitted');
    await gate.close('server_stopped');
  });

  it('is refused without a proof, by another key, with another ticket of the same key, or for another URL', async () => {
    const { gate, session, request } = await admitted();
    const stranger = await world.newViewer();
    const otherTicket = await world.ticketFor(viewer);
    const good = await request(viewer);
    expect(await codeOf(gate.prove(session, { ...good, proof: undefined }))).toBe('proof_missing');
    expect(await codeOf(gate.prove(session, { ...good, authorization: undefined }))).toBe('ticket_missing');
    expect(await codeOf(gate.prove(session, await request(stranger)))).toBe('proof_invalid');
    expect(await codeOf(gate.prove(session, await request(viewer, {}, otherTicket)))).toBe(
      'ticket_untrusted',
    );
    expect(await codeOf(gate.prove(session, await request(viewer, { url: `${SESSION_URL}/receipts` })))).toBe(
      'proof_invalid',
    );
    await gate.close('server_stopped');
  });

  it('is told that the session has ended', async () => {
    const { gate, session, request } = await admitted();
    const made = await request(viewer);
    await session.end('kicked');
    expect(await codeOf(gate.prove(session, made))).toBe('session_ended');
  });

  it('reads the receipts after the end, too, and nobody else does', async () => {
    const { gate, session, request } = await admitted();
    session.viewing.firstMedia();
    await session.end('kicked');
    const last = (await gate.readReceipts(session, await request(viewer))).at(-1);
    expect(last).toMatchObject({ state: 'final', reason: 'kicked' });
    const stranger = await world.newViewer();
    expect(await codeOf(gate.readReceipts(session, await request(stranger)))).toBe('proof_invalid');
    const unproven = { ...(await request(viewer)), proof: undefined };
    expect(await codeOf(gate.readReceipts(session, unproven))).toBe('proof_missing');
  });
});

describe('a publisher', () => {
  const REQUEST = { uri: '/live/demo', streamKey: 'sk_insecureTestStreamKey0', peer: '192.0.2.1' };

  function setUpPublishing(answer: Promise<void>) {
    const held: (() => void)[] = [];
    const { gate } = setUp({
      streamKeys: { authorizePublish: () => answer },
      delayRefusal: () => new Promise((release) => held.push(release)),
    });
    return { gate, held };
  }

  it('with a wrong stream key is refused after a delay, whatever the protocol', async () => {
    const { gate, held } = setUpPublishing(Promise.reject(new Denial('stream_key_invalid')));
    let code: Code | 'admitted' | undefined;
    const settled = codeOf(gate.authorizePublish(REQUEST)).then((said) => (code = said));
    await new Promise((turn) => setImmediate(turn));
    expect([held.length, code]).toEqual([1, undefined]);
    held[0]?.();
    await settled;
    expect(code).toBe('stream_key_invalid');
  });

  it('is not held back where the key was right, or nobody could say', async () => {
    const unknown = setUpPublishing(Promise.reject(new Denial('order_server_unreachable')));
    expect(await codeOf(unknown.gate.authorizePublish(REQUEST))).toBe('order_server_unreachable');
    const right = setUpPublishing(Promise.resolve());
    expect(await codeOf(right.gate.authorizePublish(REQUEST))).toBe('admitted');
    expect([...unknown.held, ...right.held]).toEqual([]);
  });
});
