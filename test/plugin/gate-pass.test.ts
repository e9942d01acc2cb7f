import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AccessRequest } from '../../plugin/contract.ts';
import { Denial, type Code } from '../../plugin/errors.ts';
import type { Clock } from '../../plugin/ports.ts';
import { UNLIMITED_PLAY } from '../../plugin/rights/index.ts';
import { recordingLog } from '../support/doubles.ts';
import { codeOf, setUpGate } from '../support/gates.ts';
import { createTicketWorld, PATH, type TicketWorld, type Viewer } from '../support/tickets.ts';

const START_MS = Date.now();
const clock: Clock & { ms: number } = { ms: START_MS, nowMs: () => clock.ms, monotonicMs: () => clock.ms };
const nowSeconds = (): number => Math.floor(clock.ms / 1000);
const ONE_ACCESS = { ...UNLIMITED_PLAY, accesses: 1 };

let world: TicketWorld;
let viewer: Viewer;
let setUp: ReturnType<typeof setUpGate>;
beforeAll(async () => {
  world = await createTicketWorld(clock);
  viewer = await world.newViewer();
});
beforeEach(() => {
  clock.ms = START_MS;
  setUp = setUpGate(world, clock);
});
afterEach(() => setUp.gate.close('server_stopped'));

type Claims = Parameters<TicketWorld['ticketFor']>[1];

async function mint(claims: Claims = {}, request: Partial<AccessRequest> = {}): Promise<string> {
  const made = await world.request(viewer, await world.ticketFor(viewer, claims), { request });
  return (await setUp.gate.mintPass({ ...made, protocol: 'pass' })).pass;
}

const playing = (pass: string, more: Partial<AccessRequest> = {}): AccessRequest => ({
  protocol: 'http-flv',
  uri: PATH,
  authorization: undefined,
  pass,
  proof: undefined,
  method: 'GET',
  url: '',
  bodyHash: '',
  peer: '192.0.2.1',
  confidential: true,
  ...more,
});

const play = (pass: string, more: Partial<AccessRequest> = {}): Promise<Code | 'admitted'> =>
  codeOf(setUp.gate.admit(playing(pass, more), setUp.media));

describe('a pass', () => {
  it('is at most 80 characters, says how long it is good, and costs nothing before it is used', async () => {
    const ticket = await world.ticketFor(viewer, { rights: ONE_ACCESS });
    const given = await setUp.gate.mintPass(await world.request(viewer, ticket));
    expect(given).toEqual({
      pass: expect.stringMatching(/^[\w-]{1,80}$/),
      expiresInSeconds: 60,
      key: expect.any(Uint8Array),
    });
    expect(setUp.redemptions.calls).toEqual([]);
    expect(setUp.gate.sessions()).toEqual([]);
  });

  it('opens a session with the grant of its ticket, once', async () => {
    const pass = await mint({ rights: ONE_ACCESS });
    expect(await play(pass)).toBe('admitted');
    expect(setUp.opened).toMatchObject([{ uri: PATH, rights: ONE_ACCESS, attempt: null }]);
    expect(setUp.redemptions.calls).toEqual(['reserve']);
    expect(await play(pass)).toBe('pass_invalid');
    expect(setUp.gate.sessions()).toHaveLength(1);
  });

  it('admits one of two connections that come at the same time', async () => {
    const pass = await mint();
    expect((await Promise.all([play(pass), play(pass)])).toSorted()).toEqual(['admitted', 'pass_invalid']);
  });

  it('is one connection each: two passes of a ticket are two sessions', async () => {
    const ticket = await world.ticketFor(viewer);
    for (let made = 0; made < 2; made++) {
      const { pass } = await setUp.gate.mintPass(await world.request(viewer, ticket));
      expect(await play(pass)).toBe('admitted');
    }
    expect(setUp.gate.sessions()).toHaveLength(2);
  });

  it('is given for the right proof only, and each proof is good for one', async () => {
    const made = await world.request(viewer, await world.ticketFor(viewer));
    const mintWith = (request: Partial<AccessRequest>) =>
      codeOf(setUp.gate.mintPass({ ...made, ...request }));
    expect(await mintWith({ authorization: undefined })).toBe('ticket_missing');
    expect(await mintWith({ proof: undefined })).toBe('proof_missing');
    expect(await mintWith({ uri: '/live/other' })).toBe('ticket_wrong_uri');
    expect(await mintWith({ method: 'GET' })).toBe('proof_invalid');
    expect(await mintWith({})).toBe('admitted');
    expect(await mintWith({})).toBe('proof_replayed');
  });

  it('of a bearer ticket is given without a proof', async () => {
    const ticket = await world.ticketFor(viewer, { cnf: undefined });
    const request = await world.request(viewer, ticket, { request: { authorization: `Bearer ${ticket}` } });
    const { pass } = await setUp.gate.mintPass({ ...request, proof: undefined });
    expect(await play(pass)).toBe('admitted');
  });
});

describe('a pass is refused', () => {
  it.each(['', 'ps_', 'ps_AAAAAAAAAAAAAAAAAAAAAA', 'sk_AAAAAAAAAAAAAAAAAAAAAA', 'x'.repeat(5000)])(
    'when it was never given: %.30s',
    async (pass) => {
      expect(await play(pass)).toBe('pass_invalid');
      expect(setUp.opened).toEqual([]);
    },
  );

  it('for another stream, and is lost by that', async () => {
    const pass = await mint();
    expect(await play(pass, { uri: '/live/demo2' })).toBe('ticket_wrong_uri');
    expect(await play(pass)).toBe('pass_invalid');
  });

  it('after 60 s', async () => {
    const [early, late] = [await mint(), await mint()];
    clock.ms += 59_999;
    expect(await play(early)).toBe('admitted');
    clock.ms += 1;
    expect(await play(late)).toBe('pass_invalid');
  });

  it('when its ticket has expired meanwhile', async () => {
    const pass = await mint({ exp: nowSeconds() + 20 });
    clock.ms += 20_000;
    expect(await play(pass)).toBe('ticket_expired');
    expect(setUp.opened).toEqual([]);
  });

  it('from another address than the ticket names', async () => {
    const pass = await mint({ addr: '192.0.2.1' });
    expect(await play(pass, { peer: '192.0.2.2' })).toBe('rights_insufficient');
    expect(await play(await mint({ addr: '192.0.2.1' }))).toBe('admitted');
  });
});

describe('what passes by itself does not cost the pass', () => {
  it('a stream that is off air', async () => {
    const pass = await mint({ rights: ONE_ACCESS });
    setUp.media.live = false;
    expect(await play(pass)).toBe('stream_offline');
    expect(setUp.redemptions.calls).toEqual([]);
    setUp.media.live = true;
    expect(await play(pass)).toBe('admitted');
  });

  it('an order server that is away', async () => {
    const pass = await mint({ rights: ONE_ACCESS });
    const answers = setUp.redemptions.answer;
    setUp.redemptions.answer = () => {
      throw new Denial('order_server_unreachable');
    };
    expect(await play(pass)).toBe('order_server_unreachable');
    setUp.redemptions.answer = answers;
    expect(await play(pass)).toBe('admitted');
  });

  it('but rights that are used up do', async () => {
    const pass = await mint({ rights: ONE_ACCESS });
    setUp.redemptions.answer = () => {
      throw new Denial('rights_exhausted');
    };
    expect(await play(pass)).toBe('rights_exhausted');
    expect(await play(pass)).toBe('pass_invalid');
  });
});

describe('in the clear', () => {
  const open = { confidential: false };
  const CLEAR = { transport: 'clear' };

  it.each<[string, Claims, Code | 'admitted']>([
    ['a ticket for it', CLEAR, 'admitted'],
    ['any other ticket', {}, 'transport_insecure'],
  ])('%s: media', async (_name, claims, outcome) => {
    expect(await play(await mint(claims), open)).toBe(outcome);
    const made = await world.request(viewer, await world.ticketFor(viewer, claims), { request: open });
    expect(await codeOf(setUp.gate.admit(made, setUp.media))).toBe(outcome);
    expect(setUp.opened).toHaveLength(outcome === 'admitted' ? 2 : 0);
  });

  it('no pass is given but for a ticket for it', async () => {
    await expect(mint({}, open)).rejects.toMatchObject({ code: 'transport_insecure' });
    expect(await play(await mint(CLEAR, open), open)).toBe('admitted');
  });
});

it('writes no pass into the log', async () => {
  const log = recordingLog();
  await setUp.gate.close('server_stopped');
  setUp = setUpGate(world, clock, { log });
  const pass = await mint();
  await play(pass);
  await play(pass);
  expect(log.lines.join('\n')).toContain('pass_invalid');
  expect(log.lines.join('\n')).not.toContain(pass);
});
