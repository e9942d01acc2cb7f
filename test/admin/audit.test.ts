/** Everything that staff change is in the audit log. */
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAccount } from '../../admin/accounts/accounts.ts';
import { isPermission } from '../../admin/accounts/permissions.ts';
import { ruleOf } from '../../admin/graphql/access.ts';
import { schema } from '../../admin/graphql/schema.ts';
import { startOrderServer, type Json, type TestOrderServer } from '../support/order-server.ts';
import { buy, offersOf } from '../support/shop.ts';

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

  const directory = join(import.meta.dirname, '..', '..', 'admin', 'graphql');
  const source = readdirSync(directory)
    .map((name) => readFileSync(join(directory, name), 'utf8'))
    .join('\n');
  it.each(Object.values(actions))('are written by one of them: %s', (action) => {
    expect(source).toContain(`'${action}'`);
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

  it('tells what staff did to accounts, tickets, keys and servers, and keeps no secret', async () => {
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

    const entries = await logged();
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
