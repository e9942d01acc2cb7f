import { randomBytes } from 'node:crypto';
import { sql } from 'drizzle-orm';
import type { JWK } from 'jose';
import { beforeEach, describe, expect, it } from 'vitest';
import { signingKeys, tickets } from '../../../admin/db/schema.ts';
import { placeOrder } from '../../../admin/orders/place.ts';
import {
  ACTIVATION_SECONDS,
  findKeyHistory,
  JWKS_MAX_AGE_SECONDS,
  stateOf,
} from '../../../admin/trust/key-rows.ts';
import type { AuthorityOptions } from '../../../admin/trust/signing-keys.ts';
import { asDenial } from '../../../plugin/errors.ts';
import { isEndorsed } from '../../../plugin/key-endorsement.ts';
import { createKeyVault } from '../../../plugin/key-vault.ts';
import { verifyTicket } from '../../../plugin/ticket/index.ts';
import {
  buyerOf,
  ticketed,
  createOrderRequest,
  createTestOffer,
  ISSUER,
  START_MS,
  testAuthority,
  type World,
} from '../../support/databases.ts';

const SECOND = 1000;
const HOUR = 3600 * SECOND;
const setting = 'USHER_MASTER_KEY';
const codeOf = (error: unknown) => asDenial(error).code;

export function keysSuite(world: () => World): void {
  let nowMs: number;
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs };
  const start = (options: Partial<AuthorityOptions> = {}) => testAuthority(world().db, { clock, ...options });
  const sealing = (masterKey: Uint8Array, oldMasterKey?: Uint8Array) => ({
    vault: createKeyVault({ setting, masterKey, oldMasterKey }),
    demo: false,
  });
  const history = () => findKeyHistory(world().db, 100);
  const states = async () => {
    const rows = await history();
    return Object.fromEntries(rows.map((row) => [row.kid, stateOf(row, rows, nowMs)]));
  };
  const stored = async () => JSON.stringify(await world().db.select().from(signingKeys));

  beforeEach(async () => {
    nowMs = START_MS;
    await world().db.delete(signingKeys);
    await world().db.delete(tickets);
  });

  /** Sells a ticket, signed by what signs now. */
  async function sell(authority: Awaited<ReturnType<typeof start>>, validSeconds: number) {
    const offer = await createTestOffer(world(), { validSeconds });
    const request = await createOrderRequest(offer.id);
    const { issued } = ticketed(
      await world().db.transaction((tx) => placeOrder(tx, authority, request, buyerOf(null), nowMs)),
    );
    return issued;
  }

  describe('rotation', () => {
    it('makes one first key, however many processes start at once', async () => {
      const all = await Promise.all(Array.from({ length: 8 }, () => start()));
      expect(new Set(all.map(({ signingKey }) => signingKey.kid)).size).toBe(1);
      expect(await history()).toHaveLength(1);
    });

    it('publishes the next key at once, and signs with it when every cache has it', async () => {
      const authority = await start();
      const first = authority.signingKey.kid;
      const { kid } = await authority.rotate('ES256');
      expect(authority.publicJwks.map((jwk) => jwk.kid)).toEqual([kid, first]);
      expect(authority.publicJwks[0]).toMatchObject({ alg: 'ES256', use: 'sig' });
      expect(JSON.stringify(authority.publicJwks)).not.toContain('"d":');
      expect(await states()).toEqual({ [kid]: 'next', [first]: 'current' });
      expect(authority.signingKey.kid).toBe(first);

      expect(ACTIVATION_SECONDS).toBeGreaterThan(JWKS_MAX_AGE_SECONDS + 300);
      nowMs += ACTIVATION_SECONDS * SECOND - 1;
      expect(authority.signingKey.kid).toBe(first);
      nowMs += 1;
      // No read in between: the moment alone decides, for every process alike.
      expect(authority.signingKey).toMatchObject({ kid, alg: 'ES256' });
      expect(await states()).toEqual({ [kid]: 'current', [first]: 'retiring' });
    });

    it('endorses the next key with the one before it', async () => {
      const authority = await start();
      const [first] = authority.publicJwks;
      await authority.rotate('Ed25519');
      const [next] = authority.publicJwks as [JWK & { endorsement?: string }];
      const about = { issuer: ISSUER, jwk: next, by: first! };
      expect(await isEndorsed(next.endorsement, about)).toBe(true);
    });

    it('keeps a key until the last ticket that it signed has expired, and not for later ones', async () => {
      const authority = await start();
      const first = authority.signingKey.kid;
      const issued = await sell(authority, 2 * 3600);
      await authority.rotate('Ed25519');
      nowMs += ACTIVATION_SECONDS * SECOND;
      const afterwards = await sell(authority, 10 * 3600);
      const check = (ticket: string) =>
        verifyTicket(ticket, { keys: authority, nowSeconds: Math.floor(nowMs / 1000) });
      await expect(check(issued.ticket)).resolves.toMatchObject({ jti: issued.jti });
      await expect(check(afterwards.ticket)).resolves.toMatchObject({ jti: afterwards.jti });

      // A transaction that signed before the switch may still have committed until now.
      nowMs += 299 * SECOND;
      await authority.refresh();
      expect((await history()).map(({ retiredAt }) => retiredAt)).toEqual([null, null]);
      // This one was issued close to the switch, so that it may have been signed by either.
      nowMs += 1 * SECOND;
      await authority.refresh();
      const [, old] = await history();
      expect(old?.retiredAt?.getTime()).toBe(afterwards.expiresAt.getTime() + 60 * SECOND);
      // What signs no more need not be there to be stolen.
      expect(old?.privateJwk).toBeNull();

      nowMs = old!.retiredAt!.getTime() - 1;
      expect(authority.publicJwks.map(({ kid }) => kid)).toContain(first);
      nowMs += 1;
      expect(authority.publicJwks.map(({ kid }) => kid)).not.toContain(first);
      expect((await states())[first]).toBe('retired');
    });

    it('retires a key at once that no ticket needs', async () => {
      const authority = await start();
      const first = authority.signingKey.kid;
      await authority.rotate('Ed25519');
      nowMs += (ACTIVATION_SECONDS + 300) * SECOND;
      await sell(authority, 3600);
      await world()
        .db.update(tickets)
        .set({ issuedAt: new Date(nowMs + SECOND) });
      await authority.refresh();
      expect((await states())[first]).toBe('retired');
      expect(authority.publicJwks).toHaveLength(1);
    });

    it('lets one of 20 rotations at once make a key, of several processes', async () => {
      const processes = await Promise.all(Array.from({ length: 4 }, () => start()));
      const rotations = Array.from({ length: 20 }, (_, index) => processes[index % 4]!.rotate('Ed25519'));
      const results = await Promise.allSettled(rotations);
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      const codes = results.flatMap((result) =>
        result.status === 'rejected' ? [codeOf(result.reason)] : [],
      );
      expect(new Set(codes)).toEqual(new Set(['conflict']));
      expect(await history()).toHaveLength(2);
    });

    it('is seen by another process when it reads, and when a ticket names the new key', async () => {
      const [one, two, three] = [await start(), await start(), await start()];
      nowMs += SECOND;
      const { kid } = await one.rotate('Ed25519');
      expect(two.publicJwks).toHaveLength(1);
      await two.refresh();
      expect(two.publicJwks.map((jwk) => jwk.kid)).toContain(kid);
      expect((await three.findSigningKey(ISSUER, kid, 'Ed25519')).type).toBe('public');
      await expect(three.findSigningKey(ISSUER, kid, 'ES256')).rejects.toMatchObject({ detail: 'kid' });
      await expect(three.findSigningKey('https://other.example', kid, 'Ed25519')).rejects.toMatchObject({
        detail: 'iss',
      });
    });

    it('reads the table once a second at most, whatever the tickets name', async () => {
      let reads = 0;
      const db = new Proxy(world().db, {
        get(target, name) {
          if (name === 'select') reads += 1;
          const value: unknown = Reflect.get(target, name);
          return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        },
      });
      const authority = await testAuthority(db, { clock });
      reads = 0;
      nowMs += SECOND;
      const ask = (count: number) => authority.findSigningKey(ISSUER, `unknown-${String(count)}`, 'Ed25519');
      await Promise.allSettled(Array.from({ length: 100 }, (_, count) => ask(count)));
      await Promise.allSettled(Array.from({ length: 100 }, (_, count) => ask(count)));
      expect(reads).toBe(1);
    });

    it('withdraws what came before at once when that was compromised', async () => {
      const authority = await start();
      const { ticket } = await sell(authority, 3600);
      const waiting = await authority.rotate('Ed25519');
      const { kid } = await authority.rotate('Ed25519', true);
      expect(authority.signingKey.kid).toBe(kid);
      expect(authority.publicJwks.map((jwk) => jwk.kid)).toEqual([kid]);
      expect(authority.publicJwks[0]).not.toHaveProperty('endorsement');
      expect((await states())[waiting.kid]).toBe('retired');
      const checked = verifyTicket(ticket, { keys: authority, nowSeconds: nowMs / 1000 });
      await expect(checked).rejects.toMatchObject({ code: 'ticket_untrusted' });
    });

    it('is refused while 16 keys have not retired', async () => {
      const authority = await start();
      await sell(authority, 365 * 24 * 3600);
      for (let count = 1; count < 16; count++) {
        await authority.rotate('Ed25519');
        nowMs += ACTIVATION_SECONDS * SECOND + SECOND;
      }
      await expect(authority.rotate('Ed25519')).rejects.toMatchObject({ code: 'conflict' });
      expect(authority.publicJwks).toHaveLength(16);
    });

    it('goes on with what is known while the database is away', async () => {
      let isAway = false;
      const db = new Proxy(world().db, {
        get(target, name) {
          if (isAway && name === 'select') throw new Error('connection refused');
          const value: unknown = Reflect.get(target, name);
          return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        },
      });
      const authority = await testAuthority(db, { clock });
      isAway = true;
      nowMs += HOUR;
      await authority.refresh();
      expect(authority.publicJwks).toHaveLength(1);
      expect(authority.signingKey.kid).toBe(authority.publicJwks[0]?.kid);
    });
  });

  describe('keys at rest', () => {
    const [master, other] = [randomBytes(32), randomBytes(32)];

    it('are sealed at the first start with a master key, and are the same keys', async () => {
      const plain = await start();
      const secret = plain.signingKey.privateJwk.d ?? '';
      expect(await stored()).toContain(secret);
      const sealed = await start(sealing(master));
      expect(sealed.signingKey.kid).toBe(plain.signingKey.kid);
      expect(await stored()).not.toContain(secret);
      await sealed.rotate('ES256');
      expect(await stored()).not.toMatch(/"d":/);
    });

    it.each<[string, Partial<AuthorityOptions>, RegExp]>([
      ['without the master key', {}, /USHER_MASTER_KEY must be set/],
      ['with another master key', sealing(other), /another master key than USHER_MASTER_KEY/],
    ])('do not open %s, and no key is made in their place', async (_name, options, message) => {
      await start(sealing(master));
      const before = await stored();
      await expect(start(options)).rejects.toThrow(message);
      expect(await stored()).toBe(before);
    });

    it('change over to another master key', async () => {
      const { kid } = (await start(sealing(master))).signingKey;
      await start(sealing(other, master));
      expect((await start(sealing(other))).signingKey.kid).toBe(kid);
      await expect(start(sealing(master))).rejects.toThrow(/another master key/);
    });

    it('stay open in a process that runs while another one changes over', async () => {
      const running = await start(sealing(master));
      await start(sealing(other, master));
      nowMs += 2 * SECOND;
      await running.refresh();
      expect(running.signingKey.kid).toBe(running.publicJwks[0]?.kid);
    });

    it('that this process cannot open are published, complained of, and signed with by nobody here', async () => {
      const logged: string[] = [];
      const log = { warn: () => undefined, error: (_fields: object, line: string) => void logged.push(line) };
      const behind = await start({ ...sealing(master), log });
      const ahead = await start(sealing(other, master));
      const { kid } = await ahead.rotate('Ed25519');
      nowMs += 2 * SECOND;
      await behind.refresh();
      expect(behind.publicJwks.map((jwk) => jwk.kid)).toContain(kid);
      expect(logged).toEqual(['a signing key does not open']);
      nowMs += ACTIVATION_SECONDS * SECOND;
      expect(() => behind.signingKey).toThrow(expect.objectContaining({ code: 'overloaded' }));
      expect(ahead.signingKey.kid).toBe(kid);
    });

    it('cannot be exchanged for one another in the database', async () => {
      const authority = await start(sealing(master));
      await authority.rotate('Ed25519');
      const [next, current] = await history();
      await world().db.execute(
        sql`update signing_keys set private_jwk = ${JSON.stringify(next?.privateJwk)}::jsonb where kid = ${current?.kid}`,
      );
      await expect(start(sealing(master))).rejects.toThrow(/does not open/);
    });

    it('need a master key outside the demo', async () => {
      await expect(start({ demo: false })).rejects.toThrow(/USHER_MASTER_KEY is not set/);
      expect(await history()).toEqual([]);
    });

    it('lie there as they are in the demo without one, with a loud warning', async () => {
      const warnings: string[] = [];
      const log = {
        warn: (_fields: object, line: string) => void warnings.push(line),
        error: () => undefined,
      };
      await start({ log });
      expect(warnings).toEqual([expect.stringMatching(/^THE KEYS THAT SIGN TICKETS ARE NOT ENCRYPTED/)]);
      await start({ ...sealing(master), log });
      expect(warnings).toHaveLength(1);
    });
  });
}
