import { decodeJwt } from 'jose';
import { expect, test } from 'vitest';
import { createOrderKeys } from '../../player-demo/src/keys.ts';
import { createSignedFetch } from '../../player-demo/src/signed-fetch.ts';

const url = 'https://media.example/whep/live/demo';

type Answer = (headers: Headers) => Response;

async function setUp(...answers: (Answer | Error)[]) {
  const sent: { method: string; headers: Headers; nonce: unknown }[] = [];
  const fetcher: typeof fetch = async (_input, init) => {
    const headers = new Headers(init?.headers);
    const proof = headers.get('dpop');
    sent.push({
      method: init?.method ?? 'GET',
      headers,
      nonce: proof === null ? null : decodeJwt(proof)['nonce'],
    });
    const answer = answers.shift();
    if (answer === undefined) throw new Error('one request too many');
    if (answer instanceof Error) throw answer;
    return answer(headers);
  };
  const keys = await createOrderKeys();
  const signed = createSignedFetch({
    ticket: 'the.ticket.text',
    keys,
    fetch: fetcher,
    nowMs: () => 1_800_000_000_000,
  });
  return { signed, sent };
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

test('after warming up, the first request has a nonce and needs one round trip', async () => {
  const { signed, sent } = await setUp(ok('n-0'), ok('n-1'));
  await signed.warmUp(url);
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

test('a refusal carries its code and the time to wait', async () => {
  const { signed } = await setUp(problem(409, 'stream_offline', { 'retry-after': '7' }));
  await expect(signed.send({ method: 'POST', url })).rejects.toMatchObject({
    code: 'stream_offline',
    retryAfterSeconds: 7,
  });
});

test('no answer at all is the code network, and warming up does not throw over it', async () => {
  const { signed } = await setUp(new TypeError('Failed to fetch'), new TypeError('Failed to fetch'));
  await expect(signed.send({ method: 'POST', url })).rejects.toMatchObject({ code: 'network' });
  await expect(signed.warmUp(url)).resolves.toBeUndefined();
});

test('an intermediary that answers something else is the code internal', async () => {
  const { signed } = await setUp(() => new Response('<h1>Bad gateway</h1>', { status: 502 }));
  await expect(signed.send({ method: 'GET', url })).rejects.toMatchObject({ code: 'internal' });
});
