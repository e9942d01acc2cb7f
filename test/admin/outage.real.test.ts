import { afterAll, beforeAll, expect, it } from 'vitest';
import { startOrderServer, type TestOrderServer } from '../support/order-server.ts';
import { startPostgres, type TestPostgres } from '../support/postgres.ts';

let postgres: TestPostgres;
let server: TestOrderServer;
beforeAll(async () => {
  postgres = await startPostgres();
  server = await startOrderServer({ databaseUrl: postgres.url });
});
afterAll(() => server.close());

it('runs on PostgreSQL, and stays up without it, with 503 for what needs it', async () => {
  expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
  expect((await server.graphql('{ catalog { edges { node { path } } } }')).data).toEqual({
    catalog: { edges: [{ node: { path: '/live/demo' } }, { node: { path: '/live/late' } }] },
  });
  await postgres.stop();
  expect((await fetch(`${server.url}/readyz`)).status).toBe(503);
  expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  expect((await fetch(`${server.url}/.well-known/jwks.json`)).status).toBe(200);
  expect((await server.graphql('{ catalog { edges { node { path } } } }')).codes).toEqual(['overloaded']);
  const session = crypto.randomUUID();
  const response = await server.send('/v1/redemptions', 'redemption+jwt', { op: 'commit', session });
  expect(response.status).toBe(503);
  expect(response.headers.get('retry-after')).not.toBeNull();
});
