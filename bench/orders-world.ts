/** Customers with money and an offer to spend it on; and what one order says to the database. */
import { randomUUID } from 'node:crypto';
import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/postgres-js';
import postgres from 'postgres';
import { systemClock } from '../plugin/clock.ts';
import { createKeyVault } from '../plugin/key-vault.ts';
import { generateSealingKey, generateSigningKey } from '../plugin/ticket/index.ts';
import { createOffer } from '../admin/catalog/offers.ts';
import { createTitle } from '../admin/catalog/titles.ts';
import type { Database, Executor } from '../admin/db/connect.ts';
import * as schema from '../admin/db/schema.ts';
import { newId } from '../admin/ids.ts';
import { creditCustomer } from '../admin/ledger/ledger.ts';
import { MAX_AMOUNT_MINOR, money } from '../admin/ledger/money.ts';
import { placeOrder } from '../admin/orders/place.ts';
import type { OrderRequest } from '../admin/orders/request.ts';
import { registerServer, type StreamingServer } from '../admin/trust/servers.ts';
import { loadAuthority, type TicketAuthority } from '../admin/trust/signing-keys.ts';

/** As many customers as do not wait for each other's balance. */
const CUSTOMERS = 200;
const KEYS = 50;
const ISSUER = 'https://orders.example';

type ClientKeys = Pick<OrderRequest, 'proofKey' | 'sealKey'>;

export interface OrdersWorld {
  readonly offerId: string;
  readonly customers: readonly string[];
  /** Of clients: each order takes one of them. */
  readonly keys: readonly ClientKeys[];
  /** Ids that are the same in every order. */
  readonly constants: readonly string[];
}

export interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}

async function createClientKeys(): Promise<ClientKeys> {
  const [proof, seal] = await Promise.all([generateSigningKey(), generateSealingKey()]);
  const members = ({ kty, crv, x }: { kty?: string; crv?: string; x?: string }) => ({ kty, crv, x });
  return { proofKey: members(proof.publicJwk), sealKey: members(seal.publicJwk) } as ClientKeys;
}

async function createCustomers(db: Database, now: Date): Promise<string[]> {
  const ids = Array.from({ length: CUSTOMERS }, newId);
  await db.insert(schema.accounts).values(
    ids.map((id) => ({
      id,
      email: `${id}@example.com`,
      name: 'Bench',
      role: 'viewer' as const,
      passwordHash: 'nobody signs in',
      createdAt: now,
    })),
  );
  for (const id of ids) {
    const amount = money(MAX_AMOUNT_MINOR, 'EUR');
    const credit = {
      kind: 'credit' as const,
      requestedBy: id,
      accountId: id,
      amount,
      idempotencyKey: 'bench-credit',
    };
    await db.transaction((tx) => creditCustomer(tx, credit, now));
  }
  await db.execute(sql`create table bench_customers (nth integer primary key, id uuid not null)`);
  for (const [at, id] of ids.entries())
    await db.execute(sql`insert into bench_customers values (${at + 1}, ${id}::uuid)`);
  return ids;
}

/** The authority of a process with the demo's settings. */
export function benchAuthority(db: Database): Promise<TicketAuthority> {
  return loadAuthority(db, {
    issuer: ISSUER,
    clock: systemClock,
    vault: createKeyVault({ setting: 'USHER_MASTER_KEY' }),
    demo: true,
    log: { warn: () => undefined, error: () => undefined },
  });
}

export async function createOrdersWorld(db: Database): Promise<OrdersWorld> {
  const now = new Date();
  const [signing, sealing] = await Promise.all([generateSigningKey(), generateSealingKey()]);
  const server = {
    id: 'ss-1',
    publicUrl: 'https://media.example',
    signingKey: signing.publicJwk,
    sealingKey: sealing.publicJwk,
  } as StreamingServer;
  await registerServer(db, server, now);
  const { titleId, offerId } = await db.transaction(async (tx: Executor) => {
    const title = { path: '/live/bench', name: 'Bench', description: '', published: true, serverIds: [] };
    const id = await createTitle(tx, title, now);
    const offer = await createOffer(
      tx,
      {
        titleId: id,
        name: 'Bench',
        priceMinor: 1,
        currency: 'EUR',
        timeOption: { kind: 'views', views: 3, validSeconds: 3600 },
        active: true,
      },
      now,
    );
    return { titleId: id, offerId: offer.id };
  });
  const customers = await createCustomers(db, now);
  const keys = await Promise.all(Array.from({ length: KEYS }, createClientKeys));
  return { offerId, customers, keys, constants: [titleId, offerId] };
}

/** One order of one of the customers, with keys of one of the clients. */
export async function placeOne(
  db: Database,
  authority: TicketAuthority,
  world: Pick<OrdersWorld, 'offerId' | 'keys'>,
  customerId: string,
  nth: number,
): Promise<void> {
  const keys = world.keys[nth % world.keys.length];
  if (keys === undefined) throw new Error('there are no keys');
  const request = { offerId: world.offerId, ...keys, idempotencyKey: randomUUID() };
  const buyer = { accountId: customerId, country: null, address: '192.0.2.1' };
  await db.transaction((tx) => placeOrder(tx, authority, request, buyer, Date.now()));
}

/** What one order says to the database, in a customer's second order: ledger accounts are open by then. */
export async function recordOrder(
  url: string,
  world: OrdersWorld,
): Promise<{ statements: Statement[]; customerId: string }> {
  const client = postgres(url, { max: 1, onnotice: () => undefined });
  const statements: Statement[] = [];
  let isRecording = false;
  const logger = {
    logQuery: (text: string, values: unknown[]) => {
      if (isRecording) statements.push({ text, values });
    },
  };
  try {
    const db = drizzle(client, { schema, logger });
    const authority = await benchAuthority(db);
    // Every customer has ordered once.
    for (const [at, customer] of world.customers.entries())
      await placeOne(db, authority, world, customer, at);
    const [customerId = ''] = world.customers;
    isRecording = true;
    await placeOne(db, authority, world, customerId, 0);
    return { statements, customerId };
  } finally {
    await client.end({ timeout: 2 });
  }
}
