import { randomUUID } from 'node:crypto';
import { eq } from 'drizzle-orm';
import { decodeJwt } from 'jose';
import { describe, expect, it } from 'vitest';
import type { Account } from '../../../admin/accounts/accounts.ts';
import type { Executor } from '../../../admin/db/connect.ts';
import { mediaSessions, revocations, tickets } from '../../../admin/db/schema.ts';
import { placeOrder } from '../../../admin/orders/place.ts';
import {
  appendRevocations,
  latestSeq,
  readEntries,
  type RevocationActor,
} from '../../../admin/revocations/entries.ts';
import { listRunningSessions } from '../../../admin/revocations/queries.ts';
import {
  kickSession,
  reinstateAccount,
  revokeAccount,
  revokeOrder,
  revokeProofKey,
  revokeTicket,
} from '../../../admin/revocations/revoke.ts';
import { findFlags, flagTicket } from '../../../admin/tickets/flags.ts';
import { commit, release, reserve } from '../../../admin/tickets/redeem.ts';
import { thumbprint } from '../../../plugin/ticket/index.ts';
import type { Revocation } from '../../../plugin/contract.ts';
import {
  buyerOf,
  createCustomer,
  createOrderRequest,
  createTestOffer,
  orderOffer,
  START_MS,
  type World,
} from '../../support/databases.ts';

const SECOND = 1000;
const NOW = new Date(START_MS);
const VALID_SECONDS = 3600;
const EXPIRES_AT = START_MS / SECOND + VALID_SECONDS;

export function revocationsSuite(world: () => World): void {
  let staff: Account | undefined;
  async function actor(reason = 'test'): Promise<RevocationActor> {
    staff ??= await createCustomer(world());
    return { accountId: staff.id, reason, now: NOW };
  }
  /** Runs one revocation as staff. */
  async function run<T>(
    work: (tx: Executor, actor: RevocationActor) => Promise<T>,
    changes: Partial<RevocationActor> = {},
  ): Promise<T> {
    const by = { ...(await actor()), ...changes };
    return world().db.transaction((tx) => work(tx, by));
  }
  /** What was added to the feed by `work`. */
  async function added(work: () => Promise<unknown>): Promise<Omit<Revocation, 'seq'>[]> {
    const after = await latestSeq(world().db);
    await work();
    const entries = await readEntries(world().db, { after, limit: 1000 });
    return entries.map(({ seq: _, ...entry }) => entry);
  }
  async function sell(accountId: string | null = null, validSeconds = VALID_SECONDS) {
    const offer = await createTestOffer(world(), { validSeconds });
    const { order, issued } = await orderOffer(world(), offer.id, accountId);
    const [row] = await world().db.select().from(tickets).where(eq(tickets.jti, issued.jti));
    const take = (session: string, attempt: string | null = null, atMs = START_MS) =>
      reserve(world().db, { session, attempt, ticketId: issued.jti, serverId: 'ss-1' }, atMs);
    return { order, issued, jkt: row!.jkt, offer, take };
  }
  const put = (session: string, atMs = START_MS) => commit(world().db, session, 'ss-1', atMs);

  describe('a ticket', () => {
    it('once revoked is neither reserved nor committed, not even by the attempt that was answered', async () => {
      const { issued, take } = await sell();
      const [reserved, committed, attempt] = [randomUUID(), randomUUID(), randomUUID()];
      await take(reserved, attempt);
      await take(committed);
      await put(committed);
      await run((tx, by) => revokeTicket(tx, issued.jti, by));
      const refusal = { code: 'ticket_revoked' };
      await expect(take(randomUUID())).rejects.toMatchObject(refusal);
      await expect(take(reserved, attempt)).rejects.toMatchObject(refusal);
      await expect(take(randomUUID(), attempt)).rejects.toMatchObject(refusal);
      await expect(put(reserved)).rejects.toMatchObject(refusal);
      await expect(put(committed)).rejects.toMatchObject(refusal);
      await release(world().db, reserved, 'ss-1', START_MS);
    });

    it('is in the feed once, for as long as it would live, whoever repeats it', async () => {
      const { issued } = await sell();
      const entries = await added(async () => {
        await run((tx, by) => revokeTicket(tx, issued.jti, by), { reason: 'first' });
        await run((tx, by) => revokeTicket(tx, issued.jti, by), {
          reason: 'second',
          now: new Date(START_MS + SECOND),
        });
      });
      expect(entries).toEqual([{ kind: 'ticket', value: issued.jti, action: 'revoke', until: EXPIRES_AT }]);
      const [row] = await world().db.select().from(tickets).where(eq(tickets.jti, issued.jti));
      expect(row?.revokedAt).toEqual(NOW);
      const [entry] = await world()
        .db.select({ reason: revocations.reason })
        .from(revocations)
        .where(eq(revocations.value, issued.jti));
      expect(entry).toEqual({ reason: 'first' });
    });

    it('that has expired is marked, and not in the feed', async () => {
      const { issued } = await sell();
      const late = { now: new Date((EXPIRES_AT + 1) * SECOND) };
      expect(await added(() => run((tx, by) => revokeTicket(tx, issued.jti, by), late))).toEqual([]);
      const [row] = await world().db.select().from(tickets).where(eq(tickets.jti, issued.jti));
      expect(row?.revokedAt).toEqual(late.now);
    });

    it('that is not there is refused', async () => {
      await expect(run((tx, by) => revokeTicket(tx, randomUUID(), by))).rejects.toMatchObject({
        code: 'not_found',
        detail: 'ticket',
      });
    });
  });

  describe('an order', () => {
    it('is revoked by the pseudonym of its tickets', async () => {
      const { order, issued, take } = await sell();
      const entries = await added(() => run((tx, by) => revokeOrder(tx, order.id, by)));
      expect(entries).toEqual([
        { kind: 'subject', value: decodeJwt(issued.ticket).sub, action: 'revoke', until: EXPIRES_AT },
      ]);
      await expect(take(randomUUID())).rejects.toMatchObject({ code: 'ticket_revoked' });
    });
  });

  describe('an account', () => {
    it('is revoked as its orders that are alive: the feed never names it', async () => {
      const { db } = world();
      const [one, other] = [await createCustomer(world()), await createCustomer(world())];
      const [first, second] = [await sell(one.id), await sell(one.id)];
      const [dead, others] = [await sell(one.id, 10), await sell(other.id)];
      const later = { now: new Date(START_MS + 10 * SECOND) };
      let revoked;
      const entries = await added(async () => {
        revoked = await run((tx, by) => revokeAccount(tx, one.email, by), later);
        // The same again: the same answer, and nothing new.
        expect(await run((tx, by) => revokeAccount(tx, one.email, by), later)).toEqual({
          ...revoked,
          revokedBefore: later.now,
        });
      });
      expect(revoked).toMatchObject({ tickets: 2, revokedAt: later.now, revokedBefore: null });
      const subjects = [first, second].map(({ issued }) => decodeJwt(issued.ticket).sub);
      expect(new Set(entries.map(({ value }) => value))).toEqual(new Set(subjects));
      expect(entries.every(({ kind }) => kind === 'subject')).toBe(true);
      expect(JSON.stringify(entries)).not.toContain(one.id);
      await expect(first.take(randomUUID())).rejects.toMatchObject({ code: 'ticket_revoked' });
      await others.take(randomUUID());
      const [row] = await db.select().from(tickets).where(eq(tickets.jti, dead.issued.jti));
      expect(row?.revokedAt).toBeNull();
    });

    it('orders no more until it is reinstated; then what was revoked stays so', async () => {
      const account = await createCustomer(world());
      const { offer, take } = await sell(account.id);
      await run((tx, by) => revokeAccount(tx, account.email, by));
      await expect(orderOffer(world(), offer.id, account.id)).rejects.toMatchObject({
        code: 'forbidden',
        detail: 'account: revoked',
      });
      await reinstateAccount(world().db, account.email);
      await orderOffer(world(), offer.id, account.id);
      await expect(take(randomUUID())).rejects.toMatchObject({ code: 'ticket_revoked' });
    });

    it('leaves no ticket alive that is ordered while it is being revoked', async () => {
      const account = await createCustomer(world());
      const { offer } = await sell(account.id);
      const results = await Promise.allSettled([
        ...Array.from({ length: 10 }, () => orderOffer(world(), offer.id, account.id)),
        run((tx, by) => revokeAccount(tx, account.email, by)),
        ...Array.from({ length: 10 }, () => orderOffer(world(), offer.id, account.id)),
      ]);
      const bought = results.flatMap((result) =>
        result.status === 'fulfilled' && 'issued' in result.value ? [result.value.issued.jti] : [],
      );
      for (const jti of bought) {
        const [row] = await world().db.select().from(tickets).where(eq(tickets.jti, jti));
        expect(row?.revokedAt).toEqual(NOW);
      }
      for (const result of results) {
        if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'forbidden' });
      }
    });
  });

  describe('a proof key', () => {
    it('ends its tickets, and takes no order any more', async () => {
      const { jkt, take, offer } = await sell();
      const entries = await added(() => run((tx, by) => revokeProofKey(tx, jkt, by)));
      expect(entries).toEqual([{ kind: 'key', value: jkt, action: 'revoke', until: EXPIRES_AT }]);
      await expect(take(randomUUID())).rejects.toMatchObject({ code: 'ticket_revoked' });
      await orderOffer(world(), offer.id);
    });

    it('that nobody has used yet takes no order either', async () => {
      const { db, authority } = world();
      const { offer } = await sell();
      const request = await createOrderRequest(offer.id);
      const jkt = thumbprint(request.proofKey);
      expect(await run((tx, by) => revokeProofKey(tx, jkt, by))).toEqual({ tickets: 0, revokedAt: NOW });
      await expect(
        db.transaction((tx) => placeOrder(tx, authority, request, buyerOf(null), START_MS)),
      ).rejects.toMatchObject({ code: 'forbidden', detail: 'proofKey: revoked' });
    });
  });

  describe('a viewing', () => {
    it('that was kicked may come back, as another one', async () => {
      const { issued, take } = await sell();
      const [session, attempt] = [randomUUID(), randomUUID()];
      await take(session, attempt);
      await put(session);
      const kick = () => run((tx, by) => kickSession(tx, session, true, by));
      const entries = await added(async () => {
        await kick();
        await kick();
      });
      expect(entries).toEqual([{ kind: 'session', value: session, action: 'kick', until: EXPIRES_AT }]);
      await expect(take(session, attempt)).rejects.toMatchObject({ code: 'conflict' });
      await take(randomUUID(), randomUUID());
      const running = await listRunningSessions(world().db, { limit: 10, inverted: false }, NOW, {
        ticketId: issued.jti,
      });
      expect(running.map(({ id, kickedAt }) => [id === session, kickedAt])).toContainEqual([true, NOW]);
      expect(running).toHaveLength(2);
    });

    it('cannot be committed after it was kicked', async () => {
      const { take } = await sell();
      const session = randomUUID();
      await take(session);
      await run((tx, by) => kickSession(tx, session, true, by));
      await expect(put(session)).rejects.toMatchObject({ code: 'session_ended' });
      await release(world().db, session, 'ss-1', START_MS);
    });

    it('that may not come back takes its ticket with it', async () => {
      const { issued, take } = await sell();
      const session = randomUUID();
      await take(session);
      const entries = await added(() => run((tx, by) => kickSession(tx, session, false, by)));
      expect(entries.map(({ kind, value }) => [kind, value])).toEqual([
        ['ticket', issued.jti],
        ['session', session],
      ]);
      await expect(take(randomUUID())).rejects.toMatchObject({ code: 'ticket_revoked' });
    });

    it.each(['released', 'ended'] as const)('that is %s is not there', async (state) => {
      const { take } = await sell();
      const session = randomUUID();
      await take(session);
      await world().db.update(mediaSessions).set({ state }).where(eq(mediaSessions.id, session));
      for (const id of [session, randomUUID()]) {
        await expect(run((tx, by) => kickSession(tx, id, true, by))).rejects.toMatchObject({
          code: 'not_found',
        });
      }
    });

    it('is listed while it runs', async () => {
      const { issued, take } = await sell();
      const [one, other] = [randomUUID(), randomUUID()];
      await take(one);
      await take(other);
      await put(other);
      const list = async (atMs: number) =>
        (
          await listRunningSessions(world().db, { limit: 10, inverted: false }, new Date(atMs), {
            ticketId: issued.jti,
          })
        ).map(({ id }) => id);
      expect(new Set(await list(START_MS))).toEqual(new Set([one, other]));
      expect(await list(START_MS + 30 * SECOND)).toEqual([]);
    });
  });

  describe('the feed', () => {
    it('has no gaps and no order but that of the commits, with 30 writers at once', async () => {
      const { db } = world();
      const after = await latestSeq(db);
      const seen: number[] = [];
      let isDone = false;
      // A reader that looks all the time: what it has seen is never followed by something smaller.
      const reading = (async () => {
        let at = after;
        while (!isDone || at < (await latestSeq(db))) {
          const entries = await readEntries(db, { after: at, limit: 5 });
          seen.push(...entries.map(({ seq }) => seq));
          at = entries.at(-1)?.seq ?? at;
        }
      })();
      await Promise.all(
        Array.from({ length: 30 }, (_, index) =>
          run(async (tx, by) => {
            await appendRevocations(
              tx,
              'session',
              [0, 1].map(() => ({ value: randomUUID(), until: NOW })),
              by,
            );
            if (index % 5 === 0) await tx.execute('select pg_sleep(0.01)');
            if (index % 7 === 0) throw new Error('rolled back');
          }).catch((error: unknown) => {
            if (!(error instanceof Error) || error.message !== 'rolled back') throw error;
          }),
        ),
      );
      isDone = true;
      await reading;
      expect(seen).toEqual(Array.from({ length: 50 }, (_, index) => after + 1 + index));
    });

    it('leaves out what is dead when it is asked for what is alive', async () => {
      const { issued } = await sell();
      const after = await latestSeq(world().db);
      await run((tx, by) => revokeTicket(tx, issued.jti, by));
      const alive = (atSeconds: number) =>
        readEntries(world().db, { after, limit: 10, aliveAt: new Date(atSeconds * SECOND) });
      expect(await alive(EXPIRES_AT - 1)).toHaveLength(1);
      expect(await alive(EXPIRES_AT)).toEqual([]);
    });

    it.each(['update revocations set reason = $$x$$', 'delete from revocations', 'truncate revocations'])(
      'refuses to be changed: %s',
      async (statement) => {
        await run((tx, by) => appendRevocations(tx, 'session', [{ value: randomUUID(), until: NOW }], by));
        await expect(world().db.execute(statement)).rejects.toMatchObject({
          cause: { message: 'revocations are append-only' },
        });
      },
    );
  });

  describe('flags', () => {
    it('count what is reported, once per ticket, with the last time', async () => {
      const { db } = world();
      const { issued } = await sell();
      const report = (seconds: number) =>
        flagTicket(
          db,
          { ticketId: issued.jti, what: 'proof_replayed', serverId: 'ss-1' },
          new Date(START_MS + seconds * SECOND),
        );
      await report(0);
      await Promise.all([report(20), report(10), report(5)]);
      const flags = (await findFlags(db, [issued.jti])).get(issued.jti);
      expect(flags).toMatchObject([
        { times: 4, firstAt: NOW, lastAt: new Date(START_MS + 20 * SECOND), serverId: 'ss-1' },
      ]);
    });

    it('are taken from servers that the ticket is for, about tickets that are there', async () => {
      const { issued } = await sell();
      const flag = (ticketId: string, serverId: string) =>
        flagTicket(world().db, { ticketId, what: 'proof_replayed', serverId }, NOW);
      await expect(flag(issued.jti, 'ss-9')).rejects.toMatchObject({ code: 'ticket_wrong_audience' });
      await expect(flag(randomUUID(), 'ss-1')).rejects.toMatchObject({ code: 'ticket_untrusted' });
    });
  });
}
