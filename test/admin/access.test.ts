import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { schema } from '../../admin/graphql/schema.ts';
import { startOrderServer, type TestOrderServer } from '../support/order-server.ts';

let server: TestOrderServer;
beforeAll(async () => {
  server = await startOrderServer();
});
afterAll(() => server.close());

describe('who may do what', () => {
  const uuid = randomUUID();
  const key = '{ kty: "OKP", crv: "Ed25519", x: "x" }';
  const seal = '{ kty: "OKP", crv: "X25519", x: "x" }';
  /** One call of every field of Query and Mutation, with arguments that do nothing. */
  const calls: Record<string, string> = {
    catalog: '{ catalog { edges { node { id } } } }',
    title: `{ title(id: "${uuid}") { id } }`,
    me: '{ me { id } }',
    order: `{ order(id: "${uuid}") { id } }`,
    streamingServers: '{ streamingServers { id } }',
    signUp: 'mutation { signUp(email: "x", password: "x", name: "x") { token } }',
    signIn: 'mutation { signIn(email: "x", password: "x") { token } }',
    signOut: 'mutation { signOut }',
    placeOrder: `mutation { placeOrder(input: { offerId: "${uuid}", proofKey: ${key}, sealKey: ${seal}, idempotencyKey: "x" }) { ticket } }`,
    topUp: 'mutation { topUp(amountMinor: 0, currency: "EUR", idempotencyKey: "x") { id } }',
    creditAccount: `mutation { creditAccount(email: "x", amountMinor: 0, currency: "EUR", idempotencyKey: "x") { currency } }`,
    createTitle: 'mutation { createTitle(input: { path: "x", name: "x" }) { id } }',
    updateTitle: `mutation { updateTitle(id: "${uuid}", input: {}) { id } }`,
    createOffer: `mutation { createOffer(input: { titleId: "${uuid}", name: "x", priceMinor: -1, currency: "x", rights: {}, validSeconds: 1 }) { id } }`,
    updateOffer: `mutation { updateOffer(id: "${uuid}", input: {}) { id } }`,
    createStreamKey: `mutation { createStreamKey(titleId: "${uuid}") }`,
    rotateStreamKey: `mutation { rotateStreamKey(titleId: "${uuid}") }`,
    revokeStreamKey: `mutation { revokeStreamKey(id: "${uuid}") }`,
    streamKeys: `{ streamKeys(titleId: "${uuid}") { id } }`,
    signingKeys: '{ signingKeys { kid } }',
    registerStreamingServer: 'mutation { registerStreamingServer(id: "!") { code } }',
    deactivateStreamingServer: 'mutation { deactivateStreamingServer(id: "!") { id } }',
    rotateSigningKey: 'mutation { rotateSigningKey { kid } }',
    soldTicket: `{ soldTicket(id: "${uuid}") { id } }`,
    runningSessions: '{ runningSessions { edges { node { id } } } }',
    revocations: '{ revocations { edges { node { id } } } }',
    flaggedTickets: '{ flaggedTickets { edges { node { id } } } }',
    revokeTicket: `mutation { revokeTicket(id: "${uuid}", reason: "x") { id } }`,
    revokeOrder: `mutation { revokeOrder(id: "${uuid}", reason: "x") { id } }`,
    revokeAccount: 'mutation { revokeAccount(email: "x", reason: "x") { tickets } }',
    reinstateAccount: 'mutation { reinstateAccount(email: "x") }',
    revokeProofKey: 'mutation { revokeProofKey(jkt: "x", reason: "x") { tickets } }',
    endSession: `mutation { endSession(id: "${uuid}", comeBack: true) { id } }`,
  };
  const rules: Record<string, 'anyone' | 'account' | 'staff'> = {
    catalog: 'anyone',
    title: 'anyone',
    me: 'anyone',
    order: 'account',
    streamingServers: 'staff',
    signUp: 'anyone',
    signIn: 'anyone',
    signOut: 'anyone',
    placeOrder: 'anyone',
    topUp: 'account',
    creditAccount: 'staff',
    createTitle: 'staff',
    updateTitle: 'staff',
    createOffer: 'staff',
    updateOffer: 'staff',
    createStreamKey: 'staff',
    rotateStreamKey: 'staff',
    revokeStreamKey: 'staff',
    streamKeys: 'staff',
    signingKeys: 'staff',
    registerStreamingServer: 'staff',
    deactivateStreamingServer: 'staff',
    rotateSigningKey: 'staff',
    soldTicket: 'staff',
    runningSessions: 'staff',
    revocations: 'staff',
    flaggedTickets: 'staff',
    revokeTicket: 'staff',
    revokeOrder: 'staff',
    revokeAccount: 'staff',
    reinstateAccount: 'staff',
    revokeProofKey: 'staff',
    endSession: 'staff',
  };
  const everyField = [schema.getQueryType(), schema.getMutationType()].flatMap((type) =>
    Object.keys(type?.getFields() ?? {}),
  );

  it('is stated here for every field', () => {
    expect(Object.keys(rules).sort()).toEqual([...everyField].sort());
    expect(Object.keys(calls).sort()).toEqual([...everyField].sort());
  });

  const cases = Object.entries(rules).flatMap(([field, rule]) =>
    (['nobody', 'viewer', 'staff'] as const).map((who) => {
      const refused =
        rule === 'anyone' || who === 'staff' || (who === 'viewer' && rule === 'account')
          ? null
          : who === 'nobody'
            ? 'unauthenticated'
            : 'forbidden';
      return { field, who, refused };
    }),
  );
  // A viewer's signOut would end the session that the other cases use.
  it.each(cases.filter(({ field, who }) => field !== 'signOut' || who === 'nobody'))(
    '$field by $who: $refused',
    async ({ field, who, refused }) => {
      const token = who === 'nobody' ? undefined : await server.tokenOf(who);
      const { codes } = await server.graphql(calls[field]!, {}, token);
      if (refused === null) expect(codes).not.toContain('forbidden');
      else expect(codes).toEqual([refused]);
      if (refused === null && field !== 'signIn') expect(codes).not.toContain('unauthenticated');
    },
  );
});
