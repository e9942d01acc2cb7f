import { decodeJwt } from 'jose';
import { describe, expect, test } from 'vitest';
import { createOrderKeys } from '../../player-demo/src/keys.ts';
import { createNonces, FRESH_MS } from '../../player-demo/src/nonces.ts';
import { createSignedFetch } from '../../player-demo/src/signed-fetch.ts';

const url = 'https://media.example/whep/live/demo';

type Answer = (headers: Headers) => Response;

async function setUp(...answers: (Answer | Error)[]) {
  const clock = { nowMs: 1_800_000_000_000 };
  const nowMs = (): number => clock.nowMs;
  const sent: { method: string; headers: Headers; nonce: unknown; body: unknown }[] = [];
  const fetcher: typeof fetch = async (_input, init) => {
    const headers = new Headers(init?.headers);
    const proof = headers.get('dpop');
    sent.push({
      method: init?.method ?? 'GET',
      headers,
      nonce: proof === null ? null : decodeJwt(proof)['nonce'],
      body: init?.body,
    });
    const answer = answers.shift();
    if (answer === undefined) throw new Error('one request too many');
    if (answer instanceof Error) throw answer;
    return answer(headers);
  };
  const keys = await createOrderKeys();
  const nonces = createNonces({ fetch: fetcher, nowMs });
  const signed = createSignedFetch({ ticket: 'the.ticket.text', keys, nonces, fetch: fetcher, nowMs });
  return { signed, sent, clock };
}

const ok =
  (nonce: string): Answer =>
  () =>
    new Response('v=0', { status: 201, headers: { 'dpop-nonce': nonce } });
const problem =
  (status: number, code: string, headers: Record<string, string> = {}): Answer =>
  () =>
    Response.json({ code }, { status, headers });

test('a missing nonce is fetched by the refusal, and the request repeated once with it', async () => {
  const { signed, sent } = await setUp(
    problem(401, 'proof_nonce_required', { 'dpop-nonce': 'n-1' }),
    ok('n-2'),
  );
  const binding = { attempt: crypto.randomUUID(), fingerprint: 'sha-256 AB' };
  await signed.send({ method: 'POST', url, sdp: 'v=0', binding });
  expect(sent.map(({ nonce }) => nonce)).toEqual([undefined, 'n-1']);
  const attempts = sent.map(({ headers }) => decodeJwt(headers.get('dpop') ?? '')['attempt']);
  expect(attempts).toEqual([binding.attempt, binding.attempt]);
  expect(sent[1]?.headers.get('authorization')).toBe('DPoP the.ticket.text');
  expect(sent[1]?.headers.get('content-type')).toBe('application/sdp');
});

test('a server that asks for nonces for ever is asked twice, not for ever', async () => {
  const refusal = problem(401, 'proof_nonce_required', { 'dpop-nonce': 'n' });
  const { signed, sent } = await setUp(refusal, refusal, refusal);
  await expect(signed.send({ method: 'GET', url })).rejects.toMatchObject({ code: 'proof_nonce_required' });
  expect(sent).toHaveLength(2);
});

test('after a nonce was asked for, the first request has it and needs one round trip', async () => {
  const { signed, sent } = await setUp(ok('n-0'), ok('n-1'));
  await signed.refreshNonce(url, 0);
  await signed.send({ method: 'POST', url, sdp: 'v=0' });
  expect(sent.map(({ method, nonce }) => [method, nonce])).toEqual([
    ['HEAD', null],
    ['POST', 'n-0'],
  ]);
});

test('each answer brings the nonce of the next request', async () => {
  const { signed, sent } = await setUp(ok('n-1'), ok('n-2'), ok('n-3'));
  for (let i = 0; i < 3; i++) await signed.send({ method: 'GET', url });
  expect(sent.map(({ nonce }) => nonce)).toEqual([undefined, 'n-1', 'n-2']);
});

test('JSON is sent as JSON', async () => {
  const { signed, sent } = await setUp(ok('n-1'));
  await signed.send({ method: 'POST', url, json: { uri: '/live/demo' } });
  expect(sent).toMatchObject([{ method: 'POST', body: '{"uri":"/live/demo"}' }]);
  expect(sent[0]?.headers.get('content-type')).toBe('application/json');
});

test('a refusal carries its code and the time to wait', async () => {
  const { signed } = await setUp(problem(409, 'stream_offline', { 'retry-after': '7' }));
  await expect(signed.send({ method: 'POST', url })).rejects.toMatchObject({
    code: 'stream_offline',
    retryAfterSeconds: 7,
  });
});

test('no answer at all is the code network, and asking for a nonce does not throw over it', async () => {
  const { signed } = await setUp(new TypeError('Failed to fetch'), new TypeError('Failed to fetch'));
  await expect(signed.send({ method: 'POST', url })).rejects.toMatchObject({ code: 'network' });
  await expect(signed.refreshNonce(url, 0)).resolves.toBeUndefined();
});

test('an intermediary that answers something else is the code internal', async () => {
  const { signed } = await setUp(() => new Response('<h1>Bad gateway</h1>', { status: 502 }));
  await expect(signed.send({ method: 'GET', url })).rejects.toMatchObject({ code: 'internal' });
});

test('a nonce is asked for only when the newest is too old, and by all who want it at once together', async () => {
  const { signed, sent, clock } = await setUp(ok('n-1'), ok('n-2'), ok('n-3'));
  await Promise.all([signed.refreshNonce(url, 0), signed.refreshNonce(url, 0)]);
  clock.nowMs += FRESH_MS - 1;
  await signed.refreshNonce(url, FRESH_MS);
  expect(sent).toHaveLength(1);
  clock.nowMs += 1;
  await signed.refreshNonce(url, FRESH_MS);
  expect(sent).toHaveLength(2);
  // A clock that was set back says nothing about the nonce's age.
  clock.nowMs -= 3_600_000;
  await signed.refreshNonce(url, FRESH_MS);
  expect(sent).toHaveLength(3);
});

describe('a proof that was made in advance', () => {
  const binding = { attempt: crypto.randomUUID(), fingerprint: 'sha-256 AB' };
  const post = { method: 'POST', url, binding } as const;
  const proofs = (sent: readonly { headers: Headers }[]): (string | null)[] =>
    sent.map(({ headers }) => headers.get('dpop')).slice(1);

  test('is sent as it is, and says all that one made at the last moment would say', async () => {
    const { signed, sent } = await setUp(ok('n-0'), ok('n-1'));
    await signed.refreshNonce(url, 0);
    const ready = await signed.prove(post);
    await signed.send({ ...post, sdp: 'v=0' }, undefined, ready);
    expect(proofs(sent)).toEqual([ready?.text]);
    expect(decodeJwt(ready?.text ?? '')).toMatchObject({ ...binding, nonce: 'n-0', htm: 'POST', htu: url });
  });

  test('is not made without a nonce, nor with one that is too old', async () => {
    const { signed, clock } = await setUp(ok('n-0'));
    expect(await signed.prove(post)).toBeNull();
    await signed.refreshNonce(url, 0);
    clock.nowMs += FRESH_MS;
    expect(await signed.prove(post)).toBeNull();
  });

  test('is left when its nonce has become too old', async () => {
    const { signed, sent, clock } = await setUp(ok('n-0'), ok('n-1'));
    await signed.refreshNonce(url, 0);
    const ready = await signed.prove(post);
    clock.nowMs += FRESH_MS;
    await signed.send(post, undefined, ready);
    expect(proofs(sent)).toEqual([expect.not.stringContaining(ready?.text ?? '')]);
  });

  test('is replaced once when the server does not take its nonce', async () => {
    const refusal = problem(401, 'proof_nonce_required', { 'dpop-nonce': 'n-1' });
    const { signed, sent } = await setUp(ok('n-0'), refusal, ok('n-2'));
    await signed.refreshNonce(url, 0);
    const ready = await signed.prove(post);
    await signed.send(post, undefined, ready);
    expect(proofs(sent)[0]).toBe(ready?.text);
    expect(decodeJwt(proofs(sent)[1] ?? '')).toMatchObject({ ...binding, nonce: 'n-1' });
  });
});
