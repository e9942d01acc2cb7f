/** mediasoup's process has died: the session is still there, and gets media anew. */
import { expect, test, vi } from 'vitest';
import { created, methods, setUp } from './support/watching.ts';

type Overrides = NonNullable<Parameters<typeof setUp>[2]>;

const CODES: Readonly<Record<number, string>> = { 404: 'session_ended', 409: 'media_lost', 500: 'internal' };

const answering = (
  status: number,
  more: object = {},
): Overrides & { fetch: ReturnType<typeof vi.fn<typeof fetch>> } => ({
  fetch: vi.fn<typeof fetch>(async () =>
    status === 204
      ? new Response(null, { status })
      : Response.json({ code: CODES[status], ...more }, { status }),
  ),
});

async function goQuiet(answers: Parameters<typeof setUp>[0], options: Overrides) {
  const world = setUp(answers, [], options);
  world.watch.play();
  await world.reach('live');
  const [connection] = world.connections;
  if (connection === undefined) throw new Error('no connection');
  connection.silent = true;
  return { ...world, connection };
}

test('it is asked for with the same attempt, without ending the session', async () => {
  const lost = answering(409);
  const { watch, sent, states, connections, connection } = await goQuiet([created(), created()], lost);
  await vi.waitUntil(() => connections.length === 2 && watch.state.phase === 'live', { timeout: 5000 });
  expect(lost.fetch).toHaveBeenCalledTimes(1);
  expect(methods(sent)).toEqual(['POST', 'POST']);
  expect(new Set(sent.map(({ binding }) => binding?.attempt)).size).toBe(1);
  expect(connection.closed).toBe(true);
  expect(states.map(({ phase }) => phase)).toEqual([
    'connecting',
    'connecting',
    'live',
    'connecting',
    'live',
  ]);
  await watch.stop();
  expect(methods(sent)).toEqual(['POST', 'POST', 'DELETE']);
});

test('a refusal, where another session would cost an access, leaves it to the viewer', async () => {
  const { watch, sent, reach } = await goQuiet([created(), 'session_ended'], {
    ...answering(409),
    terms: { mayReconnect: false },
  });
  await reach('ended', 'session_ended');
  expect(methods(sent)).toEqual(['POST', 'POST']);
  await watch.stop();
});

test('after a refusal, where it costs nothing, another session is opened', async () => {
  const { watch, sent, connections, reach } = await goQuiet(
    [created(), 'proof_invalid', created()],
    answering(409),
  );
  await vi.waitUntil(() => connections.length === 3, { timeout: 5000 });
  await reach('live');
  const attempts = sent.map(({ binding }) => binding?.attempt);
  expect(attempts[1]).toBe(attempts[0]);
  expect(attempts[2]).not.toBe(attempts[0]);
  await watch.stop();
});

test.each([
  ['the server still has it', answering(204)],
  [
    'the server cannot be asked',
    { fetch: vi.fn<typeof fetch>(() => Promise.reject(new TypeError('network'))) },
  ],
])('nothing is asked for when %s', async (_name, options) => {
  const { watch, sent, connection, states } = await goQuiet([created()], options);
  await vi.waitUntil(() => options.fetch.mock.calls.length === 1, { timeout: 5000 });
  connection.silent = false;
  // The watch has looked again, and again, and packets came.
  const { bytesReceived } = connection;
  await vi.waitUntil(() => connection.bytesReceived >= bytesReceived + 3, { timeout: 5000 });
  expect([methods(sent), states.at(-1)?.phase, options.fetch.mock.calls.length]).toEqual([
    ['POST'],
    'live',
    1,
  ]);
  await watch.stop();
});

test.each([
  ['expired', 'ticket_expired'],
  // Perhaps only its lease; where another session would cost an access it does not ask by itself.
  ['exhausted', 'session_ended'],
  ['revoked', 'ticket_revoked'],
  ['kicked', 'kicked'],
])('a session that has ended (%s) is known as soon as packets stay out: %s', async (reason, code) => {
  const { watch, sent, reach } = await goQuiet([created()], {
    ...answering(404, { reason }),
    terms: { mayReconnect: false },
  });
  await reach('ended', code);
  expect(methods(sent)).toEqual(['POST', 'DELETE']);
  await watch.stop();
});
