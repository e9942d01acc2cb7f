/** Another ticket for the session that is running. */
import { describe, expect, test, vi } from 'vitest';
import { Problem } from '../../player-demo/src/problems.ts';
import { NOW_MS, WHEP } from './support/shop.ts';
import { created, ended, methods, setUp, TERMS } from './support/watching.ts';

const SESSION = 'https://media.example/whep/live/demo/session-1';
const renewed = { session: 'session-id-2', expiresAt: 1 };
const LATER = { ...TERMS, expiresAtSeconds: TERMS.expiresAtSeconds + 3600 };

test('it is handed to the session in its own name, and only then used for the rest', async () => {
  const { watch, sent, used, connections, reach } = setUp([created(), renewed]);
  watch.play();
  await reach('live');
  await watch.renew('ticket-2', LATER);
  expect(sent.at(-1)).toEqual({ method: 'POST', url: `${SESSION}/ticket`, ticket: 'ticket-2' });
  expect([used, connections.length, watch.state.phase]).toEqual([['ticket-2'], 1, 'live']);
  await watch.stop();
});

test('without a session it is simply the next one’s', async () => {
  const { watch, sent, used } = setUp([]);
  await watch.renew('ticket-2', LATER);
  expect([used, sent]).toEqual([['ticket-2'], []]);
  expect(watch.leftMs()).toBe(7_200_000);
});

test('a reply that was lost is asked for again, a refusal is not, and changes nothing', async () => {
  const { watch, sent, used, waits, reach } = setUp([
    created(),
    'network',
    'network',
    renewed,
    'ticket_revoked',
  ]);
  watch.play();
  await reach('live');
  await watch.renew('ticket-2', LATER);
  expect([methods(sent), waits]).toEqual([
    ['POST', 'POST', 'POST', 'POST'],
    [400, 1500],
  ]);
  await expect(watch.renew('ticket-3', TERMS)).rejects.toMatchObject({ code: 'ticket_revoked' });
  expect([used, watch.leftMs()]).toEqual([['ticket-2'], 7_200_000]);
  await watch.stop();
});

test('what is left counts what flows now, and begins anew with the new ticket', async () => {
  let nowMs = NOW_MS;
  const { watch, reach } = setUp([created(), renewed], [], {
    nowMs: () => nowMs,
    terms: { allowedSeconds: 60 },
  });
  expect(watch.leftMs()).toBe(60_000);
  watch.play();
  await reach('live');
  nowMs += 40_000;
  expect(watch.leftMs()).toBe(20_000);
  await watch.renew('ticket-2', { ...LATER, allowedSeconds: 60 });
  expect(watch.leftMs()).toBe(60_000);
  nowMs += 10_000;
  expect(watch.leftMs()).toBe(50_000);
  await watch.stop();
});

test('that the ticket before has ended in the receipts is not the end of the session', async () => {
  const { watch, reach, drop } = setUp([created(), renewed, created()], [ended('replaced')]);
  watch.play();
  await reach('live');
  await watch.renew('ticket-2', LATER);
  drop();
  await reach('waiting', 'connection_lost');
  await reach('live');
  await watch.stop();
});

test('after it the request for a leaving page is signed anew, for the new ticket', async () => {
  const prepared: string[] = [];
  const { watch, sent, reach } = setUp([created()], [], {
    signed: {
      use: (ticket) => void prepared.push(ticket),
      async prepare({ method, url }) {
        prepared.push(method);
        return { url, init: { method } };
      },
      send: async (request) => {
        sent.push(request);
        if (request.method === 'DELETE') return new Response(null, { status: 200 });
        return sent.length === 1 ? created() : Response.json(renewed);
      },
    },
  });
  watch.play();
  await reach('live');
  await watch.renew('ticket-2', LATER);
  expect(prepared).toEqual(['DELETE', 'ticket-2', 'DELETE']);
  await watch.stop();
});

test('a refusal that says why the session has ended is believed', async () => {
  const { watch, reach, drop } = setUp([created()], [new Problem('session_ended', { reason: 'kicked' })]);
  watch.play();
  await reach('live');
  drop();
  await reach('ended', 'kicked');
});

test.each(['expired', 'exhausted', null])(
  'a session that was over (%s) before its ticket could be renewed is followed by another one, with the new ticket',
  async (reason) => {
    const refusal = new Problem('session_ended', { reason });
    const { watch, sent, used, states, reach, drop } = setUp([created(), refusal, created()]);
    watch.play();
    await reach('live');
    await watch.renew('ticket-2', LATER);
    expect(used).toEqual(['ticket-2']);
    drop();
    await reach('waiting', 'connection_lost');
    await reach('live');
    expect(sent.filter(({ url }) => url === WHEP)).toHaveLength(2);
    expect(states.filter(({ phase }) => phase === 'ended')).toEqual([]);
    await watch.stop();
  },
);

test('a session that somebody has ended is not followed by another one because a ticket came', async () => {
  const kicked = new Problem('session_ended', { reason: 'kicked' });
  const { watch, used, reach, drop } = setUp([created(), kicked], [kicked]);
  watch.play();
  await reach('live');
  await expect(watch.renew('ticket-2', LATER)).rejects.toMatchObject({ reason: 'kicked' });
  drop();
  await reach('ended', 'kicked');
  expect(used).toEqual([]);
});

describe('a session that is lost while it is renewed', () => {
  const OTHER = SESSION.replace('session-1', 'session-2');

  /** A server on which every session opens at once, and whose word on each renewal and offer is held for the test. */
  function setUpHeld(held: (url: string) => Promise<Response> | null) {
    const asked: string[] = [];
    let opened = 0;
    const world = setUp([], [], {
      signed: {
        use: () => undefined,
        prepare: async ({ url }) => ({ url, init: {} }),
        async send({ method, url }) {
          if (method === 'GET') throw new Problem('session_ended');
          if (method === 'DELETE') return new Response(null, { status: 200 });
          asked.push(url);
          const answer = held(url);
          if (answer !== null) return answer;
          opened += 1;
          return created({ location: `/whep/live/demo/session-${String(opened)}` });
        },
      },
    });
    return { ...world, asked };
  }

  test.each([
    ['taken', () => Response.json(renewed)],
    [
      'refused',
      () => {
        throw new Problem('session_ended');
      },
    ],
  ])('by one that was %s: the session after it gets the ticket as well', async (_name, answer) => {
    const first = Promise.withResolvers<undefined>();
    const { watch, asked, reach, drop } = setUpHeld((url) => {
      if (url === `${SESSION}/ticket`) return first.promise.then(answer);
      return url === `${OTHER}/ticket` ? Promise.resolve(Response.json(renewed)) : null;
    });
    watch.play();
    await reach('live');
    const renewing = watch.renew('ticket-2', LATER);
    drop();
    await reach('waiting');
    await reach('live');
    first.resolve(undefined);
    await renewing;
    expect(asked).toEqual([WHEP, `${SESSION}/ticket`, WHEP, `${OTHER}/ticket`]);
    expect(watch.leftMs()).toBe(7_200_000);
    await watch.stop();
  });

  test('and opened anew with the ticket before gets the new one as soon as it is open', async () => {
    const opening = Promise.withResolvers<undefined>();
    const { watch, asked, reach } = setUpHeld((url) => {
      if (url.endsWith('/ticket')) return Promise.resolve(Response.json(renewed));
      return opening.promise.then(() => created());
    });
    watch.play();
    await vi.waitUntil(() => asked.length === 1);
    await watch.renew('ticket-2', LATER);
    opening.resolve(undefined);
    await reach('live');
    expect(asked).toEqual([WHEP, `${SESSION}/ticket`]);
    await watch.stop();
  });
});
