/** Everything that staff change is in the audit log. */
import { randomUUID } from 'node:crypto';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAccount } from '../../admin/accounts/accounts.ts';
import { isPermission } from '../../admin/accounts/permissions.ts';
import { ruleOf } from '../../admin/graphql/access.ts';
import { schema } from '../../admin/graphql/schema.ts';
import { startOrderServer, type Json, type TestOrderServer } from '../support/order-server.ts';
import { buy, createOffer, offersOf } from '../support/shop.ts';

/** What each mutation of staff is called in the log. A new one has to be put here. */
const actions: Record<string, string> = {
  cancelCustomerOrder: 'order.cancel',
  cancelVouchers: 'voucher.cancel',
  createApiKey: 'api_key.create',
  createCategory: 'category.create',
  createOffer: 'offer.create',
  createPromotion: 'promotion.create',
  createStreamKey: 'stream_key.create',
  createTitle: 'title.create',
  creditAccount: 'account.credit',
  deactivateStreamingServer: 'server.deactivate',
  deleteCategory: 'category.delete',
  endSession: 'session.end',
  issueVouchers: 'voucher.issue',
  publishTitle: 'title.publish',
  refundOrder: 'order.refund',
  registerStreamingServer: 'server.register',
  reinstateAccount: 'account.reinstate',
  revokeAccount: 'account.revoke',
  revokeApiKey: 'api_key.revoke',
  revokeOrder: 'order.revoke',
  revokeProofKey: 'proof_key.revoke',
  revokeStreamKey: 'stream_key.revoke',
  revokeTicket: 'ticket.revoke',
  rotateSigningKey: 'signing_key.rotate',
  rotateStreamKey: 'stream_key.rotate',
  setRole: 'account.set_role',
  setServerCapacity: 'server.capacity',
  setTitleServers: 'title.servers',
  updateCategory: 'category.update',
  updateOffer: 'offer.update',
  updatePromotion: 'promotion.update',
  updateTitle: 'title.update',
};

describe('the actions of the audit log', () => {
  it('are known for every mutation of staff', () => {
    const fields = Object.values(schema.getMutationType()!.getFields());
    const ofStaff = fields.filter((field) => isPermission(ruleOf(field))).map(({ name }) => name);
    expect(Object.keys(actions).sort()).toEqual(ofStaff.sort());
  });
});

describe('the audit log', () => {
  let server: TestOrderServer;
  let staff: string;
  beforeAll(async () => {
    server = await startOrderServer();
    staff = await server.tokenOf('staff');
  });
  afterAll(() => server.close());

  async function mutate(call: string, fields = ''): Promise<Json> {
    const { data, codes } = await server.graphql(`mutation { done: ${call} ${fields} }`, {}, staff);
    expect(codes, call).toEqual([]);
    return data!['done']!;
  }

  async function logged(): Promise<Record<string, string>[]> {
    const { data } = await server.graphql(
      `{ auditLog(first: 100) { edges { node {
         action actorName objectType objectId requestId before after } } } }`,
      {},
      staff,
    );
    const edges = data!['auditLog']!['edges'] as unknown as { node: Record<string, string> }[];
    return edges.map(({ node }) => node).reverse();
  }

  it('tells what staff did to what is sold, to vouchers and to orders', async () => {
    const title = await mutate(`createTitle(input: { path: "/live/audit", name: "A" })`, '{ id }');
    const titleId = String(title['id']);
    await mutate(`updateTitle(id: "${titleId}", input: { name: "B" })`, '{ id }');
    await mutate(`publishTitle(id: "${titleId}", published: false)`, '{ id }');
    await mutate(`publishTitle(id: "${titleId}")`, '{ id }');
    await mutate(`setTitleServers(id: "${titleId}", serverIds: ["ss-1"])`, '{ id }');
    await mutate('setServerCapacity(id: "ss-1", capacity: 9)', '{ id }');
    const category = await mutate('createCategory(slug: "audit", name: "A")', '{ id }');
    await mutate(`updateCategory(id: "${String(category['id'])}", name: "B")`, '{ id }');
    await mutate(`deleteCategory(id: "${String(category['id'])}")`);
    const offerId = await createOffer(server.url, staff, titleId, { priceMinor: 7, rights: { accesses: 3 } });
    await mutate(`updateOffer(id: "${offerId}", input: { name: "B" })`, '{ id }');
    const promotion = await mutate(
      'createPromotion(input: { code: "AUDIT", name: "A", percent: 5 })',
      '{ id }',
    );
    await mutate(`updatePromotion(id: "${String(promotion['id'])}", input: { active: false })`, '{ id }');
    const expiresAt = new Date(Date.now() + 60_000).toISOString();
    const vouchers = await mutate(
      `issueVouchers(input: { name: "A", count: 2, offerId: "${offerId}", expiresAt: "${expiresAt}" })`,
      '{ codes batch { id } }',
    );
    await mutate(`cancelVouchers(id: "${String(vouchers['batch']!['id'])}")`, '{ id }');
    const orderOf = async (ticket: string) => {
      const jti = String(decodeJwt(ticket).jti);
      const { data } = await server.graphql(`{ soldTicket(id: "${jti}") { orderId } }`, {}, staff);
      return String(data!['soldTicket']!['orderId']);
    };
    const buyer = await server.tokenOf('viewer');
    const cancelledId = await orderOf((await buy(server.url, offerId, buyer)).ticket);
    await mutate(`cancelCustomerOrder(orderId: "${cancelledId}", reason: "asked for it")`, '{ id }');
    const { ticket } = await buy(server.url, offerId, buyer);
    const watchedId = await orderOf(ticket);
    const session = randomUUID();
    for (const message of [
      { op: 'reserve', session, attempt: null, ticket },
      { op: 'commit', session },
    ])
      expect((await server.send('/v1/redemptions', 'redemption+jwt', message)).status).toBe(200);
    const refund = `{ orderId: "${watchedId}", amountMinor: 3, reason: "no sound", idempotencyKey: "audit-00002" }`;
    await mutate(`refundOrder(input: ${refund})`, '{ id }');

    const entries = await logged();
    expect(entries.map(({ action, objectType, objectId }) => [action, objectType, objectId])).toEqual([
      ['title.create', 'title', titleId],
      ['title.update', 'title', titleId],
      ['title.unpublish', 'title', titleId],
      ['title.publish', 'title', titleId],
      ['title.servers', 'title', titleId],
      ['server.capacity', 'streaming_server', 'ss-1'],
      ['category.create', 'category', category['id']],
      ['category.update', 'category', category['id']],
      ['category.delete', 'category', category['id']],
      ['offer.create', 'offer', offerId],
      ['offer.update', 'offer', offerId],
      ['promotion.create', 'promotion', promotion['id']],
      ['promotion.update', 'promotion', promotion['id']],
      ['voucher.issue', 'voucher_batch', vouchers['batch']!['id']],
      ['voucher.cancel', 'voucher_batch', vouchers['batch']!['id']],
      ['order.cancel', 'order', cancelledId],
      ['order.refund', 'order', watchedId],
    ]);
    const parsed = entries.map(({ after }) => JSON.parse(after ?? 'null') as unknown);
    expect(parsed.at(-2)).toMatchObject({ state: 'cancelled', reason: 'asked for it' });
    expect(parsed.at(-1)).toMatchObject({ amountMinor: 3, reason: 'no sound' });
    for (const code of vouchers['codes'] as unknown as string[])
      expect(JSON.stringify(entries)).not.toMatch(new RegExp(code.replaceAll('-', '-?')));
  });

  it('tells what staff did to accounts, tickets, keys and servers, and keeps no secret', async () => {
    const known = (await logged()).length;
    const email = `${randomUUID()}@example.com`;
    const password = 'correct horse battery';
    const customer = await createAccount(server.db, { email, password, name: 'x' }, 'viewer', new Date());
    const offer = (await offersOf(server.url, '/live/demo')).get('Preview')!;
    const ticketOf = async () =>
      decodeJwt((await buy(server.url, offer.id, await server.tokenOf('viewer'))).ticket);
    const [first, second, third] = [await ticketOf(), await ticketOf(), await ticketOf()];
    const session = randomUUID();
    const watched = (await buy(server.url, offer.id, await server.tokenOf('second'))).ticket;
    const reserve = { op: 'reserve', session, attempt: null, ticket: watched };
    expect((await server.send('/v1/redemptions', 'redemption+jwt', reserve)).status).toBe(200);
    const jkt = (third['cnf'] as { jkt: string }).jkt;
    const sold = await server.graphql(
      `{ soldTicket(id: "${String(second.jti)}") { orderId } title(path: "/live/demo") { id } }`,
      {},
      staff,
    );
    const orderId = String(sold.data!['soldTicket']!['orderId']);
    const titleId = String(sold.data!['title']!['id']);

    const secrets: Json[] = [];
    const key = await mutate(
      'createApiKey(name: "x", permissions: ["servers:read"])',
      '{ key apiKey { id } }',
    );
    secrets.push(key['key']!);
    await mutate(`revokeApiKey(id: "${String(key['apiKey']!['id'])}")`, '{ id }');
    await mutate(`setRole(accountId: "${customer.id}", role: EDITOR)`, '{ id }');
    await mutate(
      `creditAccount(email: "${email}", amountMinor: 7, currency: "EUR", idempotencyKey: "audit-00001")`,
      '{ currency }',
    );
    await mutate(`revokeAccount(email: "${email}", reason: "abuse")`, '{ tickets }');
    await mutate(`reinstateAccount(email: "${email}")`);
    await mutate(`revokeTicket(id: "${String(first.jti)}", reason: "stolen")`, '{ id }');
    await mutate(`revokeOrder(id: "${orderId}", reason: "stolen")`, '{ id }');
    await mutate(`revokeProofKey(jkt: "${jkt}", reason: "stolen")`, '{ tickets }');
    await mutate(`endSession(id: "${session}", comeBack: true)`, '{ id }');
    secrets.push(await mutate(`createStreamKey(titleId: "${titleId}")`));
    secrets.push(await mutate(`rotateStreamKey(titleId: "${titleId}")`));
    const { data } = await server.graphql(`{ streamKeys(titleId: "${titleId}") { id } }`, {}, staff);
    const [newest] = data!['streamKeys'] as unknown as { id: string }[];
    await mutate(`revokeStreamKey(id: "${newest!.id}")`);
    await mutate('rotateSigningKey', '{ kid }');
    secrets.push((await mutate('registerStreamingServer(id: "ss-new")', '{ code }'))['code']!);
    await mutate('deactivateStreamingServer(id: "ss-1")', '{ active }');

    const entries = (await logged()).slice(known);
    expect(entries.map(({ action }) => action)).toEqual([
      'api_key.create',
      'api_key.revoke',
      'account.set_role',
      'account.credit',
      'account.revoke',
      'account.reinstate',
      'ticket.revoke',
      'order.revoke',
      'proof_key.revoke',
      'session.end',
      'stream_key.create',
      'stream_key.rotate',
      'stream_key.revoke',
      'signing_key.rotate',
      'server.register',
      'server.deactivate',
    ]);
    const byAction = new Map(entries.map((entry) => [entry['action'], entry]));
    expect(byAction.get('account.revoke')).toMatchObject({
      actorName: 'staff@example.com',
      objectType: 'account',
      objectId: customer.id,
      before: '{"revokedAt":null}',
      after: expect.stringContaining('"reason":"abuse"') as string,
    });
    expect(byAction.get('server.deactivate')).toMatchObject({
      objectId: 'ss-1',
      before: '{"active":true}',
      after: '{"active":false}',
    });
    expect(new Set(entries.map(({ requestId }) => requestId)).size).toBe(entries.length);
    for (const secret of secrets) {
      expect(String(secret).length).toBeGreaterThan(20);
      expect(JSON.stringify(entries)).not.toContain(String(secret));
    }
  });

  it('has by now an entry of every mutation of staff', async () => {
    const written = new Set((await logged()).map(({ action }) => String(action)));
    expect([...written].sort()).toEqual([...Object.values(actions), 'title.unpublish'].sort());
  });

  it('has no entry of what was refused', async () => {
    const before = (await logged()).length;
    const { codes } = await server.graphql(
      `mutation { setRole(accountId: "${randomUUID()}", role: ADMIN) { id } }`,
      {},
      staff,
    );
    expect(codes).toEqual(['not_found']);
    expect(await logged()).toHaveLength(before);
  });
});
