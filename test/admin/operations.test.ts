import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startOrderServer, type TestOrderServer } from '../support/order-server.ts';
import { subscribe } from '../support/sse.ts';

let server: TestOrderServer;
beforeAll(async () => {
  server = await startOrderServer({ trustedProxies: 1 });
});
afterAll(() => server.close());

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe('request ids', () => {
  const idOf = async (url: string, header?: string) => {
    const response = await fetch(url, header === undefined ? {} : { headers: { 'x-request-id': header } });
    await response.body?.cancel();
    return response.headers.get('x-request-id');
  };

  it('of a trusted proxy are taken', async () => {
    expect(await idOf(`${server.url}/healthz`, '01J9ZQ4W9C-proxy_1')).toBe('01J9ZQ4W9C-proxy_1');
  });

  it.each([
    ['short', 'abc'],
    ['long', 'a'.repeat(65)],
    ['odd', 'aaaaaaaa\tlevel=error'],
    ['of another alphabet', 'aaaaaaaa{}'],
  ])('that are %s are replaced', async (_what, header) => {
    expect(await idOf(`${server.url}/healthz`, header)).toMatch(UUID);
  });

  it('are made where no proxy is trusted, whatever a client says', async () => {
    const open = await startOrderServer();
    try {
      expect(await idOf(`${open.url}/healthz`, '01J9ZQ4W9C-proxy_1')).toMatch(UUID);
    } finally {
      await open.close();
    }
  });

  it('are in the answer to a refusal, and in the log of what went wrong', async () => {
    const id = 'request-with-a-name';
    await server.db.execute(sql`alter table titles rename to titles_away`);
    const response = await fetch(`${server.url}/v1/usage.csv?groupBy=day&from=x&until=y`, {
      headers: { 'x-request-id': id },
    });
    expect(response.status).toBe(401);
    expect(response.headers.get('x-request-id')).toBe(id);
    await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-request-id': id },
      body: '{"query":"{ catalog { edges { cursor } } }"}',
    });
    await server.db.execute(sql`alter table titles_away rename to titles`);
    const failed = server.logged.filter(({ level }) => level === 'error');
    expect(failed).toHaveLength(1);
    expect(failed[0]?.fields).toMatchObject({ requestId: id, code: 'internal' });
  });
});

describe('/readyz', () => {
  const ready = async () => {
    const response = await fetch(`${server.url}/readyz`);
    const { detail } = (await response.json()) as { detail?: string };
    return [response.status, detail];
  };

  it('says that the database has become that of another version', async () => {
    expect(await ready()).toEqual([200, undefined]);
    await server.db.execute(
      sql`insert into drizzle.__drizzle_migrations (hash, created_at) values ('later', 9999999999999)`,
    );
    expect(await ready()).toEqual([503, 'the database belongs to another version']);
    await server.db.execute(sql`delete from drizzle.__drizzle_migrations where hash = 'later'`);
    expect(await ready()).toEqual([200, undefined]);
  });

  it('/healthz goes on, whatever the database does', async () => {
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  });
});

it('says at /readyz that it ends, answers for as long as it drains, and ends what has no end', async () => {
  const ending = await startOrderServer({ drainSeconds: 1 });
  const query = 'subscription { sessions { id } }';
  const seen = await subscribe(ending.url, query, {}, await ending.tokenOf('staff'));
  const next = seen.next();
  const closed = ending.close();
  const readiness = await fetch(`${ending.url}/readyz`);
  expect([readiness.status, await readiness.json()]).toEqual([
    503,
    expect.objectContaining({ detail: 'it is shutting down' }),
  ]);
  expect((await ending.graphql('{ __typename }')).status).toBe(200);
  expect(await next).toBeNull();
  await closed;
  await expect(fetch(`${ending.url}/healthz`)).rejects.toThrow();
});

describe('/metrics', () => {
  it('has the time of requests by route, and what is open', async () => {
    const text = await (await fetch(`${server.url}/metrics`)).text();
    expect(text).toMatch(/usher_http_request_seconds_bucket\{le="0.1",route="\/healthz"\} \d+/);
    expect(text).toMatch(/^usher_subscriptions 0$/m);
  });
});

describe('without introspection', () => {
  it('nobody is told the names of the schema, and everything else works', async () => {
    const closed = await startOrderServer({ introspection: false });
    try {
      const told = async (query: string) => {
        const response = await fetch(`${closed.url}/graphql`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ query }),
        });
        return { status: response.status, text: await response.text() };
      };
      for (const query of ['{ __schema { types { name } } }', '{ __type(name: "Query") { name } }']) {
        const { status, text } = await told(query);
        expect(status).toBe(400);
        expect(text).toContain('introspection');
      }
      const { text } = await told('{ catalogg { edges { cursor } } }');
      expect(text).toContain('Cannot query field');
      expect(text).not.toContain('Did you mean');
      expect((await told('{ __typename catalog { edges { cursor } } }')).status).toBe(200);
    } finally {
      await closed.close();
    }
  });
});

describe('/v1/usage.csv', () => {
  const get = (query: string, token?: string) =>
    fetch(`${server.url}/v1/usage.csv${query}`, {
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    });
  const MAY = '?groupBy=day&from=2026-05-01&until=2026-06-01';

  it('is for who may read the finances', async () => {
    expect((await get(MAY)).status).toBe(401);
    expect((await get(MAY, await server.tokenOf('viewer'))).status).toBe(403);
    const response = await get(MAY, await server.tokenOf('staff'));
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/csv; charset=utf-8; header=present');
    expect(response.headers.get('content-disposition')).toBe('attachment; filename="usage-by-day.csv"');
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(await response.text()).toMatch(/^day,name,seconds,bytes,sessions(,revenue_minor_[A-Z]{3})*\r\n/);
  });

  it.each([{ origin: 'https://evil.example' }, { 'sec-fetch-site': 'same-site' }])(
    'is not for pages of others, whoever looks at them: %o',
    async (headers) => {
      const response = await fetch(`${server.url}/v1/usage.csv${MAY}`, {
        headers: { ...headers, authorization: `Bearer ${await server.tokenOf('staff')}` },
      });
      expect(response.status).toBe(403);
    },
  );

  it.each([
    ['?groupBy=day&from=2026-05-01', 400],
    [`${MAY}&timeZone=Nowhere`, 400],
    [`${MAY}&unknown=1`, 400],
    [`${MAY}&groupBy=title`, 400],
  ])('refuses %s', async (query, status) => {
    const response = await get(query, await server.tokenOf('staff'));
    expect([response.status, response.headers.get('content-type')]).toEqual([
      status,
      'application/problem+json',
    ]);
  });
});
