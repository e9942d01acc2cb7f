import { describe, expect, test } from 'vitest';
import { Problem } from '../../player-demo/src/problems.ts';
import type { WatchState } from '../../player-demo/src/watch.ts';
import { ANSWER_SDP, FINGERPRINT_TEXT } from './support/fake-webrtc.ts';
import { NOW_MS, WHEP } from './support/shop.ts';
import { created, ended, methods, running, setUp } from './support/watching.ts';

test('playing posts the offer with its fingerprint, takes the answer and is live', async () => {
  const { watch, sent, states, connections, reach } = setUp([created()]);
  watch.play();
  await reach('live');
  expect(states.map(({ phase }) => phase)).toEqual(['connecting', 'connecting', 'live']);
  expect(sent[0]).toMatchObject({ method: 'POST', url: WHEP, binding: { fingerprint: FINGERPRINT_TEXT } });
  expect(connections[0]?.remoteDescription).toEqual({ type: 'answer', sdp: ANSWER_SDP });
  expect(watch.session?.url).toBe('https://media.example/whep/live/demo/session-1');
  await watch.stop();
});

test('stopping closes the connection, frees the place, and a second stop does nothing more', async () => {
  const { watch, sent, states, connections, reach } = setUp([created()]);
  watch.play();
  await reach('live');
  await watch.stop();
  await watch.stop();
  expect(connections[0]?.closed).toBe(true);
  expect(methods(sent)).toEqual(['POST', 'DELETE']);
  expect(states.at(-1)).toEqual({ phase: 'idle' });
});

test('pressing play twice opens one session', async () => {
  const { watch, sent, reach } = setUp([created()]);
  watch.play();
  watch.play();
  await reach('live');
  expect(methods(sent)).toEqual(['POST']);
  await watch.stop();
});

describe('bought, off air now', () => {
  test('waits as long as the server says and starts by itself', async () => {
    const offAir = (): Problem => new Problem('stream_offline', { retryAfterSeconds: 3 });
    const { watch, states, waits, reach } = setUp([offAir(), offAir(), created()]);
    watch.play();
    await reach('live');
    expect(waits).toEqual([3000, 3000]);
    // Told once, although it was tried twice.
    expect(states.map((state) => ('code' in state ? state.code : state.phase))).toEqual([
      'connecting',
      'stream_offline',
      'connecting',
      'live',
    ]);
    await watch.stop();
  });

  test('each try is a new attempt', async () => {
    const { watch, sent, reach } = setUp(['stream_offline', 'overloaded', created()]);
    watch.play();
    await reach('live');
    expect(new Set(sent.map(({ binding }) => binding?.attempt)).size).toBe(3);
    await watch.stop();
  });
});

test('a lost reply is asked for again as the same attempt with the same offer', async () => {
  const { watch, sent, reach } = setUp(['network', 'network', created()]);
  watch.play();
  await reach('live');
  expect(new Set(sent.map(({ binding }) => binding?.attempt)).size).toBe(1);
  expect(new Set(sent.map(({ sdp }) => sdp)).size).toBe(1);
  await watch.stop();
});

test.each([
  'rights_exhausted',
  'ticket_expired',
  'ticket_revoked',
  'rights_concurrency',
  'proof_invalid',
  'no_such_code',
])('a refusal with %s ends the viewing, which can then be started anew', async (code) => {
  const { watch, reach, connections } = setUp([code, created()]);
  watch.play();
  await reach('ended', code);
  expect(connections[0]?.closed).toBe(true);
  watch.play();
  await reach('live');
  await watch.stop();
});

test('an answer that the browser cannot use gives the place back', async () => {
  const broken = new Response('broken', { status: 201, headers: { location: '/whep/live/demo/session-1' } });
  const { watch, sent, reach } = setUp([broken]);
  watch.play();
  await reach('ended', 'offer_unsupported');
  expect(methods(sent)).toEqual(['POST', 'DELETE']);
});

test('a source that pauses is waited for in the same session: no other admission is spent', async () => {
  const { watch, sent, states, connections, reach } = setUp([created()], [], {
    terms: { mayReconnect: false },
  });
  watch.play();
  await reach('live');
  const [connection] = connections;
  connection!.silent = true;
  await reach('waiting', 'stream_offline');
  connection!.silent = false;
  await reach('live');
  expect(methods(sent)).toEqual(['POST']);
  expect(states.map(({ phase }) => phase)).toEqual(['connecting', 'connecting', 'live', 'waiting', 'live']);
  await watch.stop();
});

describe('when the media stops, the player says why before it tries again', () => {
  const reasons: readonly [string, WatchState['phase'], string][] = [
    ['source_ended', 'waiting', 'stream_offline'],
    ['server_stopped', 'waiting', 'server_stopped'],
    ['server_crashed', 'waiting', 'server_stopped'],
    ['expired', 'ended', 'ticket_expired'],
    ['revoked', 'ended', 'ticket_revoked'],
    ['kicked', 'ended', 'kicked'],
    ['replaced', 'ended', 'replaced'],
    ['completed', 'ended', 'completed'],
  ];
  test.each(reasons)('a receipt that ends with %s: %s, %s', async (reason, phase, code) => {
    const { watch, reach, drop } = setUp([created(), 'rights_exhausted'], [ended(reason)], {
      waitMs: (_ms, signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
    });
    watch.play();
    await reach('live');
    drop();
    await reach(phase, code);
    await watch.stop();
  });

  test.each([
    ['its ticket is', 'rights_exhausted' as const, 'ended', 'rights_exhausted'],
    ['others have the rest of its ticket', 'rights_concurrency' as const, 'ended', 'rights_concurrency'],
    ['there is more of its ticket', created(), 'live', undefined],
  ])('a session whose lease was used up asks again: %s', async (_why, second, phase, code) => {
    const { watch, sent, states, reach, drop } = setUp([created(), second], [ended('exhausted')]);
    watch.play();
    await reach('live');
    drop();
    await reach('waiting', 'connection_lost');
    await reach(phase as WatchState['phase'], code);
    expect(methods(sent).filter((method) => method === 'POST')).toHaveLength(2);
    expect(states.some((state) => 'code' in state && state.code === 'rights_exhausted')).toBe(
      code === 'rights_exhausted',
    );
    await watch.stop();
  });

  test('a session the streaming server has forgotten is explained by the order server', async () => {
    const asked: string[] = [];
    const explainEnd = async (id: string): Promise<string> => {
      asked.push(id);
      return 'kicked';
    };
    const { watch, reach, drop } = setUp([created()], [running, 'session_ended'], { explainEnd });
    watch.play();
    await reach('live');
    await watch.readReceipts();
    drop();
    await reach('ended', 'kicked');
    expect(asked).toEqual(['session-id-1']);
  });

  test('a ticket whose time is over needs no question', async () => {
    let nowMs = NOW_MS;
    const { watch, sent, reach, drop } = setUp([created()], [], { nowMs: () => nowMs });
    watch.play();
    await reach('live');
    nowMs += 3_600_000;
    drop();
    await reach('ended', 'ticket_expired');
    expect(methods(sent)).not.toContain('GET');
  });

  test('a session that the server took for left, since nothing came through, is opened anew', async () => {
    const { watch, sent, reach, drop } = setUp([created(), created()], [ended('viewer_left')]);
    watch.play();
    await reach('live');
    drop();
    await reach('waiting', 'connection_lost');
    await reach('live');
    expect(methods(sent).filter((method) => method === 'POST')).toHaveLength(2);
    await watch.stop();
  });

  test('with a ticket that counts accesses the viewer decides about another', async () => {
    const { watch, sent, reach, drop } = setUp([created()], [ended('viewer_left')], {
      terms: { mayReconnect: false },
    });
    watch.play();
    await reach('live');
    drop();
    await reach('ended', 'session_ended');
    expect(methods(sent).filter((method) => method === 'POST')).toHaveLength(1);
  });

  test('a session that still runs is opened anew, after its place was freed', async () => {
    const { watch, sent, states, reach, drop } = setUp([created(), created()], [running]);
    watch.play();
    await reach('live');
    drop();
    await reach('waiting', 'connection_lost');
    await reach('live');
    expect(methods(sent)).toEqual(['POST', 'GET', 'DELETE', 'POST']);
    expect(states.filter(({ phase }) => phase === 'live')).toHaveLength(2);
    await watch.stop();
  });

  test('a ticket with counted accesses is never spent by reconnecting: the viewer decides', async () => {
    const { watch, sent, reach, drop } = setUp([created()], [running], { terms: { mayReconnect: false } });
    watch.play();
    await reach('live');
    drop();
    await reach('ended', 'session_ended');
    expect(methods(sent).filter((method) => method === 'POST')).toHaveLength(1);
  });

  describe('when neither server says why, and no access is to be spent on asking', () => {
    const cases: readonly [string, string, number, number | null][] = [
      ['all its seconds were watched', 'rights_exhausted', 60_000, 60],
      ['all its seconds were watched, nearly, by this clock', 'rights_exhausted', 55_000, 60],
      ['seconds were left', 'session_ended', 54_999, 60],
      ['any number of seconds may be watched', 'session_ended', 60_000, null],
      ['its time is nearly over by this clock', 'ticket_expired', 3_595_000, 60],
    ];
    test.each(cases)('the ticket tells if %s: %s', async (_name, code, watchedMs, allowedSeconds) => {
      let nowMs = NOW_MS;
      const { watch, reach, drop } = setUp([created()], ['session_ended'], {
        terms: { mayReconnect: false, allowedSeconds },
        nowMs: () => nowMs,
      });
      watch.play();
      await reach('live');
      nowMs += watchedMs;
      drop();
      await reach('ended', code);
    });

    test('what was watched in earlier sessions counts too', async () => {
      let nowMs = NOW_MS;
      const { watch, reach, drop } = setUp([created(), created()], ['session_ended'], {
        terms: { mayReconnect: false, allowedSeconds: 60 },
        nowMs: () => nowMs,
      });
      for (const part of ['first', 'second']) {
        watch.play();
        await reach('live');
        nowMs += 30_000;
        if (part === 'first') await watch.stop();
      }
      drop();
      await reach('ended', 'rights_exhausted');
    });
  });

  test('reconnecting ends after five tries in a row', async () => {
    const { watch, sent, waits, states, drop, reach } = setUp(
      Array.from({ length: 6 }, created),
      Array.from({ length: 6 }, () => running),
    );
    watch.play();
    for (let round = 1; round <= 6; round++) {
      while (states.filter(({ phase }) => phase === 'live').length < round) await new Promise(setImmediate);
      drop();
    }
    await reach('ended', 'session_ended');
    expect(waits).toEqual([1000, 2000, 4000, 8000, 15_000]);
    expect(methods(sent).filter((method) => method === 'POST')).toHaveLength(6);
  });
});

test('leaving the page sends a request that was signed before, and outlives the page', async () => {
  const { watch, connections, beacons, reach } = setUp([created()]);
  watch.play();
  await reach('live');
  await new Promise(setImmediate);
  watch.leave();
  watch.leave();
  expect(beacons).toHaveLength(1);
  expect(beacons[0]).toMatchObject({
    url: 'https://media.example/whep/live/demo/session-1',
    init: { method: 'DELETE', keepalive: true, headers: { dpop: 'proof' } },
  });
  expect(connections[0]?.closed).toBe(true);
});

test('receipts are read from the running session only', async () => {
  const { watch, sent, reach } = setUp([created()], [running]);
  await expect(watch.readReceipts()).rejects.toMatchObject({ code: 'session_ended' });
  watch.play();
  await reach('live');
  expect(await watch.readReceipts()).toEqual(running);
  expect(sent.at(-1)?.url).toBe('https://media.example/whep/live/demo/session-1/receipts');
  await watch.stop();
});
