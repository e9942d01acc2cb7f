/** The same suite on both databases: PGlite in `x.test.ts`, PostgreSQL in `x.real.test.ts`. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe } from 'vitest';
import { createAccount, type Account } from '../../admin/accounts/accounts.ts';
import { createOffer, type Offer } from '../../admin/catalog/offers.ts';
import { createTitle } from '../../admin/catalog/titles.ts';
import { openDatabase, type Database, type DatabaseHandle } from '../../admin/db/connect.ts';
import { creditCustomer } from '../../admin/ledger/ledger.ts';
import { money } from '../../admin/ledger/money.ts';
import { placeOrder, type PlacedOrder } from '../../admin/orders/place.ts';
import type { Buyer, OrderRequest } from '../../admin/orders/request.ts';
import type { IssuedTicket } from '../../admin/tickets/issue.ts';
import { registerServer, type StreamingServer } from '../../admin/trust/servers.ts';
import {
  loadAuthority,
  type AuthorityOptions,
  type TicketAuthority,
} from '../../admin/trust/signing-keys.ts';
import { asDenial } from '../../plugin/errors.ts';
import { createKeyVault } from '../../plugin/key-vault.ts';
import { UNLIMITED_PLAY, type Rights } from '../../plugin/rights/index.ts';
import {
  generateSealingKey,
  generateSigningKey,
  type SealingKeyPair,
  type SigningKeyPair,
} from '../../plugin/ticket/index.ts';
import { startPostgres } from './postgres.ts';

export const ISSUER = 'http://localhost:4000';
export const START_MS = Date.parse('2026-05-01T12:00:00Z');

export interface World {
  readonly db: Database;
  readonly authority: TicketAuthority;
  readonly server: StreamingServer;
  readonly serverKey: SigningKeyPair;
  readonly sealingKey: SealingKeyPair;
}

export type Kind = 'pglite' | 'postgres';

async function open(kind: Kind): Promise<DatabaseHandle> {
  if (kind === 'pglite') return openDatabase({ kind, dataDirectory: null });
  const cluster = await startPostgres();
  const database = await openDatabase({ kind, url: cluster.url });
  return {
    db: database.db,
    channel: database.channel,
    close: async () => {
      await database.close();
      await cluster.stop();
    },
  };
}

/** Describes a suite on one kind of database; `world()` is for use inside tests and hooks. */
export function describeDatabase(kind: Kind, suite: (world: () => World) => void): void {
  describe(`on ${kind === 'pglite' ? 'PGlite' : 'PostgreSQL'}`, () => {
    let handle: DatabaseHandle | undefined;
    let world: World | undefined;
    beforeAll(async () => {
      handle = await open(kind);
      world = await createWorld(handle.db);
    });
    afterAll(async () => {
      await handle?.close();
    });
    suite(() => {
      if (world === undefined) throw new Error('the world is made in beforeAll');
      return world;
    });
  });
}

/** The authority of a process with the demo's settings, at a moment that stands still unless `clock` says otherwise. */
export function testAuthority(
  db: Database,
  options: Partial<AuthorityOptions> = {},
): Promise<TicketAuthority> {
  return loadAuthority(db, {
    issuer: ISSUER,
    clock: { nowMs: () => START_MS, monotonicMs: () => performance.now() },
    vault: createKeyVault({ setting: 'USHER_MASTER_KEY' }),
    demo: true,
    log: { warn: () => undefined, error: () => undefined },
    ...options,
  });
}

export async function createWorld(db: Database): Promise<World> {
  const now = new Date(START_MS);
  const [serverKey, sealingKey] = await Promise.all([generateSigningKey(), generateSealingKey()]);
  const server = {
    id: 'ss-1',
    publicUrl: 'https://media.example',
    signingKey: serverKey.publicJwk,
    sealingKey: sealingKey.publicJwk,
  } as StreamingServer;
  await registerServer(db, server, now);
  return { db, server, serverKey, sealingKey, authority: await testAuthority(db) };
}

/** A customer with a balance in EUR cents. Its password is no hash: nobody signs in with it. */
export async function createCustomer({ db }: World, balanceMinor = 0): Promise<Account> {
  const now = new Date(START_MS);
  const email = `${randomUUID()}@example.com`;
  const account = await createAccount(
    db,
    { email, password: 'correct horse battery', name: 'Test' },
    'viewer',
    now,
  );
  if (balanceMinor > 0) {
    const request = {
      kind: 'credit' as const,
      requestedBy: account.id,
      accountId: account.id,
      amount: money(balanceMinor, 'EUR'),
      idempotencyKey: 'test-balance',
    };
    await db.transaction((tx) => creditCustomer(tx, request, now));
  }
  return account;
}

export async function createTestOffer(
  { db }: World,
  {
    priceMinor = 0,
    rights = {},
    validSeconds = 3600,
    allowClearTransport = false,
  }: {
    priceMinor?: number;
    rights?: Partial<Rights>;
    validSeconds?: number;
    allowClearTransport?: boolean;
  } = {},
): Promise<Offer & { titleId: string; validSeconds: number; path: string }> {
  const now = new Date(START_MS);
  const path = `/live/t-${randomUUID()}`;
  return db.transaction(async (tx) => {
    const titleId = await createTitle(
      tx,
      { path, name: 'Test', description: '', published: true, serverIds: [] },
      now,
    );
    const offer = await createOffer(
      tx,
      {
        titleId,
        name: 'Test',
        priceMinor,
        currency: 'EUR',
        timeOption: { kind: 'rights', rights: { ...UNLIMITED_PLAY, ...rights }, validSeconds },
        allowClearTransport,
        active: true,
      },
      now,
    );
    return { ...offer, titleId, validSeconds, path };
  });
}

const publicMembers = ({ kty, crv, x, y }: Record<string, unknown>) =>
  y === undefined ? { kty, crv, x } : { kty, crv, x, y };

export async function createOrderRequest(offerId: string): Promise<OrderRequest> {
  const [proof, seal] = await Promise.all([generateSigningKey(), generateSealingKey()]);
  return {
    offerId,
    proofKey: publicMembers({ ...proof.publicJwk }),
    sealKey: publicMembers({ ...seal.publicJwk }),
    idempotencyKey: randomUUID(),
  } as OrderRequest;
}

/** Whoever orders with this account, or without one. */
export function buyerOf(accountId: string | null): Buyer {
  return { accountId, country: null, address: '192.0.2.1' };
}

/** Places an order in a transaction of its own. */
export function place(
  { db, authority }: World,
  request: OrderRequest,
  accountId: string | null = null,
  nowMs = START_MS,
): Promise<PlacedOrder> {
  return db.transaction((tx) => placeOrder(tx, authority, request, buyerOf(accountId), nowMs));
}

/** An order that has its ticket. */
export type TicketedOrder = PlacedOrder & { readonly issued: IssuedTicket };

export function ticketed(placed: PlacedOrder): TicketedOrder {
  if (placed.issued === null) throw new Error('the order has no ticket');
  return { ...placed, issued: placed.issued };
}

/** Orders an offer with new keys. */
export async function orderOffer(
  world: World,
  offerId: string,
  accountId: string | null = null,
): Promise<TicketedOrder> {
  return ticketed(await place(world, await createOrderRequest(offerId), accountId));
}

/** What many tries at once came to: the codes of those that were refused, null for those that got through. */
export async function codesOf(tries: readonly Promise<unknown>[]): Promise<(string | null)[]> {
  const results = await Promise.allSettled(tries);
  return results.map((result) => (result.status === 'fulfilled' ? null : asDenial(result.reason).code));
}
