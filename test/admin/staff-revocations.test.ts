/** Staff end what was sold, over GraphQL; streaming servers report what they noticed. */
import { randomUUID } from 'node:crypto';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { generateSigningKey, thumbprint } from '../../plugin/ticket/index.ts';
import { SERVER_ID, startOrderServer, type Json, type TestOrderServer } from '../support/order-server.ts';
import { buy, offersOf, type Purchase } from '../support/shop.ts';

let server: TestOrderServer;
let staff: string;
let viewer: string;
let offerId: string;
beforeAll(async () => {
  server = await startOrderServer();
  [staff, viewer] = await Promise.all([server.tokenOf('staff'), server.tokenOf('viewer')]);
  offerId = (await offersOf(server.url, '/live/demo')).get('Preview')!.id;
});
afterAll(() => server.close());

async function asStaff(query: string, variables: object = {}): Promise<Record<string, Json>> {
  const { data, codes } = await server.graphql(query, variables, staff);
  expect(codes).toEqual([]);
  return data!;
}

const jtiOf = (purchase: Purchase) => String(decodeJwt(purchase.ticket).jti);
const reserve = (purchase: Purchase, session: string = randomUUID()) =>
  server.send('/v1/redemptions', 'redemption+jwt', {
    op: 'reserve',
    session,
    attempt: null,
    ticket: purchase.ticket,
  });
const report = (ticket: string, changes: object = {}) =>
  server.send('/v1/redemptions', 'redemption+jwt', {
    op: 'report',
    session: randomUUID(),
    ticket,
    what: 'proof_replayed',
    ...changes,
  });
const codeOf = async (response: Response) => ((await response.json()) as { code?: string }).code;

const nodes = (list: Json) => (list['edges'] as unknown as { node: Json }[]).map(({ node }) => node);

it('revokes a ticket: it is refused, its buyer sees when, staff see who and why', async () => {
  const purchase = await buy(server.url, offerId, viewer);
  const id = jtiOf(purchase);
  const revoke = () =>
    asStaff(
      'mutation ($id: ID!) { revokeTicket(id: $id, reason: "reported stolen") { id orderId accountEmail revokedAt } }',
      { id },
    );
  const first = (await revoke())['revokeTicket']!;
  expect(first).toMatchObject({ id, accountEmail: 'viewer@example.com' });
  expect((await revoke())['revokeTicket']).toEqual(first);
  const refused = await reserve(purchase);
  expect(refused.status).toBe(403);
  expect(await codeOf(refused)).toBe('ticket_revoked');
  const order = await server.graphql(
    'query ($id: ID!) { order(id: $id) { tickets { id revokedAt flags { what } } } }',
    { id: first['orderId'] },
    viewer,
  );
  expect(order.data).toEqual({ order: { tickets: [{ id, revokedAt: first['revokedAt'], flags: [] }] } });
  const { revocations } = await asStaff(
    '{ revocations(first: 1) { edges { node { kind value reason revokedBy } } } }',
  );
  expect(nodes(revocations!)).toEqual([
    { kind: 'ticket', value: id, reason: 'reported stolen', revokedBy: 'staff@example.com' },
  ]);
});

it('revokes an order, and an account', async () => {
  const [one, two] = [await buy(server.url, offerId, viewer), await buy(server.url, offerId, viewer)];
  const { soldTicket } = await asStaff('query ($id: ID!) { soldTicket(id: $id) { orderId revokedAt } }', {
    id: jtiOf(one),
  });
  expect(soldTicket!['revokedAt']).toBeNull();
  const { revokeOrder } = await asStaff(
    'mutation ($id: ID!) { revokeOrder(id: $id, reason: "refund") { id } }',
    { id: soldTicket!['orderId'] },
  );
  expect(revokeOrder).toEqual([{ id: jtiOf(one) }]);
  expect((await reserve(one)).status).toBe(403);

  await asStaff('mutation { revokeAccount(email: "Viewer@Example.com", reason: "fraud") { tickets } }');
  expect(await codeOf(await reserve(two))).toBe('ticket_revoked');
  await expect(buy(server.url, offerId, viewer)).rejects.toThrow('forbidden');
  await asStaff('mutation { reinstateAccount(email: "viewer@example.com") }');
  await buy(server.url, offerId, viewer);
});

it('revokes a proof key', async () => {
  const purchase = await buy(server.url, offerId);
  const jkt = thumbprint(purchase.proofKey.publicJwk);
  const { revokeProofKey } = await asStaff(
    'mutation ($jkt: String!) { revokeProofKey(jkt: $jkt, reason: "leaked") { tickets } }',
    { jkt },
  );
  expect(revokeProofKey).toEqual({ tickets: 1 });
  expect(await codeOf(await reserve(purchase))).toBe('ticket_revoked');
});

it('shows what runs, and ends it, with and without the right to come back', async () => {
  const list = async (variables: object) =>
    nodes(
      (
        await asStaff(
          'query ($ticketId: ID, $serverId: String) { runningSessions(ticketId: $ticketId, serverId: $serverId) { edges { node { id serverId state kickedAt ticket { id accountEmail } } } } }',
          variables,
        )
      )['runningSessions']!,
    );
  const purchase = await buy(server.url, offerId);
  const [ticketId, session] = [jtiOf(purchase), randomUUID()];
  expect((await reserve(purchase, session)).status).toBe(200);
  expect(await list({ ticketId })).toEqual([
    {
      id: session,
      serverId: SERVER_ID,
      state: 'reserved',
      kickedAt: null,
      ticket: { id: ticketId, accountEmail: null },
    },
  ]);
  expect((await list({ serverId: SERVER_ID })).map(({ id }) => id)).toContain(session);
  expect(await list({ serverId: 'ss-9' })).toEqual([]);

  const end = (comeBack: boolean) =>
    asStaff(
      'mutation ($id: ID!, $comeBack: Boolean!) { endSession(id: $id, comeBack: $comeBack) { id kickedAt ticket { revokedAt } } }',
      { id: session, comeBack },
    );
  const kicked = (await end(true))['endSession']!;
  expect(kicked['ticket']).toEqual({ revokedAt: null });
  expect((await end(true))['endSession']).toEqual(kicked);
  const commit = { op: 'commit', session };
  expect(await codeOf(await server.send('/v1/redemptions', 'redemption+jwt', commit))).toBe('session_ended');
  expect((await end(false))['endSession']!['ticket']).not.toEqual({ revokedAt: null });
  expect(await codeOf(await reserve(purchase))).toBe('ticket_revoked');
});

it.each([
  ['a ticket that is not there', `revokeTicket(id: "${randomUUID()}", reason: "x") { id }`, 'not_found'],
  ['an order that is not there', `revokeOrder(id: "${randomUUID()}", reason: "x") { id }`, 'not_found'],
  [
    'an account that is not there',
    'revokeAccount(email: "a@b.example", reason: "x") { tickets }',
    'not_found',
  ],
  ['a session that is not there', `endSession(id: "${randomUUID()}", comeBack: true) { id }`, 'not_found'],
  ['no id', 'revokeTicket(id: "x", reason: "x") { id }', 'input_invalid'],
  ['no reason', `revokeTicket(id: "${randomUUID()}", reason: " ") { id }`, 'input_invalid'],
  [
    'a long reason',
    `revokeTicket(id: "${randomUUID()}", reason: "${'x'.repeat(201)}") { id }`,
    'input_invalid',
  ],
  ['no thumbprint', 'revokeProofKey(jkt: "abc", reason: "x") { tickets }', 'input_invalid'],
])('cannot revoke with %s', async (_what, field, code) => {
  expect((await server.graphql(`mutation { ${field} }`, {}, staff)).codes).toEqual([code]);
});

it('pages through revocations and flags', async () => {
  const { revocations } = await asStaff(
    '{ revocations(first: 2) { edges { node { seq } } pageInfo { hasNextPage endCursor } } }',
  );
  const [newest, next] = nodes(revocations!).map(({ seq }) => Number(seq));
  expect(newest).toBeGreaterThan(next!);
  expect(revocations!['pageInfo']!['hasNextPage']).toBe(true);
  const rest = await asStaff(
    'query ($after: String) { revocations(after: $after) { edges { node { seq } } } }',
    {
      after: revocations!['pageInfo']!['endCursor'],
    },
  );
  expect(Number(nodes(rest['revocations']!)[0]!['seq'])).toBe(next! - 1);
});

it('shows a ticket whose proof was replayed to staff and to its buyer, with how often', async () => {
  const purchase = await buy(server.url, offerId, viewer);
  const ticketId = jtiOf(purchase);
  expect((await report(ticketId)).status).toBe(200);
  expect((await report(ticketId.toUpperCase())).status).toBe(200);
  const { flaggedTickets, soldTicket } = await asStaff(
    'query ($id: ID!) { flaggedTickets { edges { node { ticketId what times serverId } } } soldTicket(id: $id) { orderId flags { times } } }',
    { id: ticketId },
  );
  expect(nodes(flaggedTickets!)).toEqual([
    { ticketId, what: 'proof_replayed', times: 2, serverId: SERVER_ID },
  ]);
  expect(soldTicket!['flags']).toEqual([{ times: 2 }]);
  const order = await server.graphql(
    'query ($id: ID!) { order(id: $id) { tickets { flags { what times } } } }',
    { id: soldTicket!['orderId'] },
    viewer,
  );
  expect(order.data).toEqual({ order: { tickets: [{ flags: [{ what: 'proof_replayed', times: 2 }] }] } });
  // A flag is for people to judge: the ticket is good.
  expect((await reserve(purchase)).status).toBe(200);
});

it('takes reports about tickets that are there, of what it knows, from servers that are registered', async () => {
  const ticket = jtiOf(await buy(server.url, offerId));
  expect(await codeOf(await report(randomUUID()))).toBe('ticket_untrusted');
  expect(await codeOf(await report(ticket, { what: 'boredom' }))).toBe('request_malformed');
  expect(await codeOf(await report(ticket, { times: 9 }))).toBe('request_malformed');
  const payload = { op: 'report', session: randomUUID(), ticket, what: 'proof_replayed' };
  const foreign = await server.send('/v1/redemptions', 'redemption+jwt', payload, await generateSigningKey());
  expect(await codeOf(foreign)).toBe('server_untrusted');
});

it('takes a bounded number of reports from one server', async () => {
  const ticket = jtiOf(await buy(server.url, offerId));
  const answers = await Promise.all(Array.from({ length: 80 }, () => report(ticket)));
  const limited = answers.filter(({ status }) => status === 429);
  expect(limited.length).toBeGreaterThan(0);
  expect(limited[0]?.headers.get('retry-after')).not.toBeNull();
});
