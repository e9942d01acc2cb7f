import { randomUUID } from 'node:crypto';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createReceiptChain } from '../../../plugin/receipts/chain.ts';
import type { Json, TestOrderServer } from '../../support/order-server.ts';
import { buy, offersOf } from '../../support/shop.ts';
import { subscribe } from '../../support/sse.ts';

export interface Pair {
  /** Things are done at one and looked at from the other; they may be the same. */
  readonly one: TestOrderServer;
  readonly other: TestOrderServer;
  close(): Promise<void>;
}

const SESSIONS =
  'subscription ($ticketId: ID) { sessions(ticketId: $ticketId) { id state mediaMs bytes ticket { id accountEmail } } }';
const ORDER_USAGE = 'subscription ($id: ID!) { orderUsage(orderId: $id) { orderId seconds bytes sessions } }';

const CHARGES = `subscription ($titleId: ID) { charges(titleId: $titleId) {
  id kind orderId revenue { amountMinor } balance { amountMinor } held { amountMinor } } }`;
const REFUND = 'mutation ($input: RefundInput!) { refundOrder(input: $input) { id } }';

/** Somebody who has bought a ticket, and whose viewing goes on by receipts. */
async function startViewing(
  at: TestOrderServer,
  token: string,
  {
    path = '/live/demo',
    name = 'Preview',
    cardToken,
  }: { readonly path?: string; readonly name?: string; readonly cardToken?: string } = {},
) {
  const offer = (await offersOf(at.url, path)).get(name)!;
  const { ticket } = await buy(at.url, offer.id, token, cardToken);
  const jti = String(decodeJwt(ticket).jti);
  const session = randomUUID();
  const { data } = await at.graphql('{ me { orders(first: 1) { edges { node { id } } } } }', {}, token);
  const edges = data!['me']!['orders']!['edges'] as unknown as { node: { id: string } }[];
  return { jti, session, orderId: edges[0]!.node.id };
}

export function subscriptionsSuite(where: string, open: () => Promise<Pair>): void {
  describe(`subscriptions on ${where}`, () => {
    let pair: Pair;
    beforeAll(async () => {
      pair = await open();
    });
    afterAll(() => pair.close());

    it('show staff a viewing as it begins and goes on', async () => {
      const { one, other } = pair;
      const buyer = await one.tokenOf('viewer');
      const staff = await one.tokenOf('staff');
      const { jti, session } = await startViewing(one, buyer);
      const seen = await subscribe(other.url, SESSIONS, { ticketId: jti }, staff);
      const chain = createReceiptChain({
        session,
        ticket: jti,
        uri: '/live/demo',
        startedAt: Math.floor(Date.now() / 1000),
      });
      const report = async (bytes: number) => {
        const at = Math.floor(Date.now() / 1000);
        const receipts = [chain.next({ at, mediaMs: 1000, bytes })];
        const response = await one.send('/v1/receipts', 'receipts+jwt', { receipts });
        expect(await response.json()).toMatchObject({ stored: 1, refused: [] });
      };
      await report(100);
      const first = await seen.until(({ sessions }) => sessions?.['id'] === (session as unknown));
      expect(first['sessions']).toMatchObject({
        state: 'committed',
        mediaMs: 1000,
        bytes: 100,
        ticket: { id: jti, accountEmail: 'viewer@example.com' },
      });
      await report(250);
      await seen.until(({ sessions }) => sessions?.['bytes'] === (250 as unknown));
      await seen.close();
    });

    it('show a buyer what is used of his order, and nobody else', async () => {
      const { one, other } = pair;
      const buyer = await one.tokenOf('viewer');
      const { jti, session, orderId } = await startViewing(one, buyer);
      const seen = await subscribe(other.url, ORDER_USAGE, { id: orderId }, buyer);
      expect(await seen.next()).toEqual({
        data: { orderUsage: { orderId, seconds: 0, bytes: 0, sessions: 0 } },
        codes: [],
      });
      const startedAt = Math.floor(Date.now() / 1000);
      const chain = createReceiptChain({ session, ticket: jti, uri: '/live/demo', startedAt });
      const receipts = [chain.next({ at: startedAt, mediaMs: 2500, bytes: 7 })];
      await one.send('/v1/receipts', 'receipts+jwt', { receipts });
      expect(await seen.next()).toEqual({
        data: { orderUsage: { orderId, seconds: 2.5, bytes: 7, sessions: 1 } },
        codes: [],
      });
      await seen.close();
      for (const id of [orderId, randomUUID()]) {
        const stranger = await subscribe(other.url, ORDER_USAGE, { id }, await one.tokenOf('second'));
        expect((await stranger.next())?.codes).toEqual(['not_found']);
        expect(await stranger.next()).toBeNull();
      }
    });

    it('show staff what a title is charged for and what is given back, once each', async () => {
      const { one, other } = pair;
      const [staff, buyer] = [await one.tokenOf('staff'), await one.tokenOf('second')];
      const { data } = await one.graphql('{ title(path: "/live/late") { id } }');
      const seen = await subscribe(other.url, CHARGES, { titleId: data!['title']!['id'] }, staff);
      const watch = async (path: string, name: string) => {
        const { jti, session, orderId } = await startViewing(one, buyer, { path, name });
        const at = Math.floor(Date.now() / 1000);
        const chain = createReceiptChain({ session, ticket: jti, uri: path, startedAt: at });
        // What is used of an order that is charged already is no charge.
        for (const mediaMs of [500, 1000]) {
          const receipts = [chain.next({ at, mediaMs, bytes: mediaMs })];
          const response = await one.send('/v1/receipts', 'receipts+jwt', { receipts });
          expect(await response.json()).toEqual({ stored: 1, refused: [] });
        }
        return orderId;
      };
      await watch('/live/demo', '24 hours');
      const orderId = await watch('/live/late', 'Tonight');
      expect((await seen.next())?.data?.['charges']).toMatchObject({
        ...{ kind: 'capture', orderId },
        ...{ revenue: { amountMinor: 499 }, balance: { amountMinor: 0 } },
      });
      for (const amountMinor of [1, 2]) {
        const idempotencyKey = `refund-${orderId}-${String(amountMinor)}`;
        const input = { orderId, amountMinor, reason: 'test', idempotencyKey };
        expect((await one.graphql(REFUND, { input }, staff)).codes).toEqual([]);
        expect((await seen.next())?.data?.['charges']).toMatchObject({
          ...{ kind: 'refund', orderId },
          ...{ revenue: { amountMinor: -amountMinor }, balance: { amountMinor } },
        });
      }
      await seen.close();
    });

    it('show staff what a card is charged and given back, when its provider has done so', async () => {
      const { one, other } = pair;
      const [staff, buyer] = [await one.tokenOf('staff'), await one.tokenOf('second')];
      const balance = async () =>
        (await one.graphql('{ me { balance { amountMinor } } }', {}, buyer)).data!['me'];
      const before = await balance();
      const seen = await subscribe(other.url, CHARGES, {}, staff);
      const path = '/live/late';
      const bought = { path, name: 'Tonight', cardToken: 'tok_ok' };
      const { jti, session, orderId } = await startViewing(one, buyer, bought);
      const at = Math.floor(Date.now() / 1000);
      const chain = createReceiptChain({ session, ticket: jti, uri: path, startedAt: at });
      const receipts = [chain.next({ at, mediaMs: 500, bytes: 1 })];
      await one.send('/v1/receipts', 'receipts+jwt', { receipts });
      const ofOrder = ({ charges }: Record<string, Json>) =>
        charges?.['orderId'] === (orderId as unknown as Json);
      // The money was the card issuer's: nothing of the customer's moves.
      const untouched = { balance: { amountMinor: 0 }, held: { amountMinor: 0 } };
      expect((await seen.until(ofOrder))['charges']).toMatchObject({
        ...{ kind: 'capture', revenue: { amountMinor: 499 } },
        ...untouched,
      });
      const input = { orderId, reason: 'test', idempotencyKey: `refund-${orderId}` };
      expect((await one.graphql(REFUND, { input }, staff)).codes).toEqual([]);
      expect((await seen.until(ofOrder))['charges']).toMatchObject({
        ...{ kind: 'refund', revenue: { amountMinor: -499 } },
        ...untouched,
      });
      expect(await balance()).toEqual(before);
      await seen.close();
    });

    it.each([
      ['nobody what runs', SESSIONS, undefined, 'unauthenticated'],
      ['a viewer what runs', SESSIONS, 'viewer', 'forbidden'],
      ['a viewer what is charged', CHARGES, 'viewer', 'forbidden'],
    ] as const)('do not show %s', async (_what, query, what, code) => {
      const { one, other } = pair;
      const token = what === undefined ? undefined : await one.tokenOf(what);
      const seen = await subscribe(other.url, query, {}, token);
      expect((await seen.next())?.codes).toEqual([code]);
      expect(await seen.next()).toBeNull();
    });

    it('end when their session is signed out', async () => {
      const { one, other } = pair;
      const { data } = await one.graphql(
        'mutation { signIn(email: "staff@example.com", password: "demo-staff-1") { token } }',
      );
      const token = String(data!['signIn']!['token']);
      const seen = await subscribe(other.url, SESSIONS, { ticketId: randomUUID() }, token);
      const ended = seen.next();
      await one.graphql('mutation { signOut }', {}, token);
      expect(await ended).toBeNull();
    });

    it('end when their role is taken', async () => {
      const { one, other } = pair;
      const email = `${randomUUID()}@example.com`;
      const { data } = await one.graphql(
        `mutation { signUp(email: "${email}", password: "a long password", name: "Op") { token account { id } } }`,
      );
      const accountId = (data!['signUp'] as unknown as { account: { id: string } }).account.id;
      const staff = await one.tokenOf('staff');
      const setRole = (role: string) =>
        one.graphql(`mutation { setRole(accountId: "${accountId}", role: ${role}) { id } }`, {}, staff);
      expect((await setRole('OPERATOR')).codes).toEqual([]);
      const signedIn = await one.graphql(
        `mutation { signIn(email: "${email}", password: "a long password") { token } }`,
      );
      const token = String(signedIn.data!['signIn']!['token']);
      const seen = await subscribe(other.url, SESSIONS, { ticketId: randomUUID() }, token);
      const ended = seen.next();
      await setRole('VIEWER');
      expect(await ended).toBeNull();
    });

    it('are so many for one client, and no more', async () => {
      const { one, other } = pair;
      const staff = await one.tokenOf('staff');
      const open = [];
      for (let count = 0; count < 10; count++)
        open.push(await subscribe(other.url, SESSIONS, { ticketId: randomUUID() }, staff));
      await expect(subscribe(other.url, SESSIONS, {}, staff)).rejects.toThrow(/^429 .*rate_limited/);
      for (const seen of open) await seen.close();
      const metric = async () =>
        /^usher_subscriptions (\d+)$/m.exec(await (await fetch(`${other.url}/metrics`)).text())?.[1];
      await expect.poll(metric, { timeout: 5000 }).toBe('0');
      const again = await subscribe(other.url, SESSIONS, {}, staff);
      await again.close();
    });

    it('are refused where JSON is expected', async () => {
      const { codes } = await pair.other.graphql(SESSIONS, {}, await pair.one.tokenOf('staff'));
      expect(codes).toEqual(['request_malformed']);
    });
  });
}
