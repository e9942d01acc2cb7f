import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createThrottle } from '../../admin/http/throttle.ts';
import { startOrderServer, type TestOrderServer } from '../support/order-server.ts';

let server: TestOrderServer;
beforeAll(async () => {
  server = await startOrderServer({ trustedProxies: 1 });
});
afterAll(() => server.close());

/** One GraphQL request from an address: status, Retry-After and the first error's code. */
async function ask(address: string, query: string, token?: string) {
  const response = await fetch(`${server.url}/graphql`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'x-forwarded-for': address,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify({ query }),
  });
  const body = (await response.json()) as { errors?: { extensions: { code: string } }[]; code?: string };
  return {
    status: response.status,
    retryAfter: response.headers.get('retry-after'),
    code: body.code ?? body.errors?.[0]?.extensions.code,
  };
}

/** The same so many times, 20 at once. */
async function askOften(times: number, make: (index: number) => Promise<Awaited<ReturnType<typeof ask>>>) {
  const answers: Awaited<ReturnType<typeof ask>>[] = [];
  for (let start = 0; start < times; start += 20) {
    answers.push(...(await Promise.all(Array.from({ length: 20 }, (_, index) => make(start + index)))));
  }
  return answers;
}

const signIn = (email: string) => `mutation { signIn(email: "${email}", password: "wrong") { token } }`;

describe('limits answer 429 with Retry-After', () => {
  it('to an address that asks too often, and to nobody else', async () => {
    const answers = await askOften(1600, () => ask('192.0.2.1', '{ __typename }'));
    const limited = answers.filter(({ status }) => status === 429);
    expect(limited.length).toBeGreaterThan(0);
    expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(1000);
    for (const { code, retryAfter } of limited) expect([code, retryAfter]).toEqual(['rate_limited', '1']);
    expect((await ask('192.0.2.2', '{ __typename }')).status).toBe(200);
  });

  it('to an IPv6 network as if it were one address', async () => {
    const quote = `{ quote(input: { offerId: "${randomUUID()}", promotionCode: "GUESS" }) { price { amountMinor } } }`;
    const answers = await askOften(40, (index) => ask(`2001:db8:1:2::${index.toString(16)}`, quote));
    expect(answers.map(({ code }) => code)).toContain('rate_limited');
    expect((await ask('2001:db8:1:3::1', quote)).code).toBe('not_found');
  });

  it('to an account that asks too often, from wherever', async () => {
    const token = await server.tokenOf('second');
    const answers = await askOften(1000, (index) =>
      ask(`198.51.100.${String(index % 200)}`, '{ __typename }', token),
    );
    const limited = answers.filter(({ status }) => status === 429);
    expect(limited.length).toBeGreaterThan(0);
    expect(limited[0]).toEqual({ status: 429, retryAfter: '1', code: 'rate_limited' });
    expect((await ask('198.51.100.1', '{ __typename }', await server.tokenOf('staff'))).status).toBe(200);
  });

  it('to an account that orders too often', async () => {
    const token = await server.tokenOf('viewer');
    const key = '{ kty: "OKP", crv: "Ed25519", x: "x" }';
    const order = `mutation { placeOrder(input: { offerId: "${randomUUID()}", proofKey: ${key}, sealKey: ${key}, idempotencyKey: "12345678" }) { ticket } }`;
    const answers = await askOften(460, (index) => ask(`203.0.113.${String(index % 200)}`, order, token));
    const limited = answers.filter(({ status }) => status === 429);
    expect(limited.length).toBeGreaterThan(0);
    expect(new Set(answers.map(({ code }) => code))).toEqual(new Set(['input_invalid', 'rate_limited']));
  });

  it.each(['viewer@example.com', 'nobody@example.com'])(
    'to those who guess the password of %s from many addresses, whether it has an account or not',
    async (email) => {
      const answers = await askOften(60, (index) => ask(`10.0.${String(index)}.1`, signIn(email)));
      const codes = answers.map(({ code }) => code);
      expect(codes.filter((code) => code === 'credentials_invalid').length).toBeGreaterThanOrEqual(50);
      expect(answers.at(-1)).toMatchObject({ status: 429, code: 'rate_limited' });
      expect(Number(answers.at(-1)?.retryAfter)).toBeGreaterThan(0);
    },
  );
});

describe('a throttle', () => {
  it('gives back with time what was taken, and no more than its burst', () => {
    let nowMs = 0;
    const throttle = createThrottle({ burst: 2, refillSeconds: 10 }, () => nowMs);
    const take = () => {
      throttle.take('a');
    };
    take();
    take();
    expect(take).toThrow(expect.objectContaining({ code: 'rate_limited', retryAfterSeconds: 10 }));
    nowMs = 9999;
    expect(take).toThrow(expect.objectContaining({ retryAfterSeconds: 1 }));
    nowMs = 1_000_000;
    take();
    take();
    expect(take).toThrow();
  });

  it('takes nothing away when the clock goes back', () => {
    let nowMs = 1_000_000;
    const throttle = createThrottle({ burst: 3, refillSeconds: 10 }, () => nowMs);
    throttle.take('a');
    nowMs = 0;
    throttle.take('a');
    throttle.take('a');
  });
});
