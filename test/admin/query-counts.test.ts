import { drizzle } from 'drizzle-orm/postgres-js';
import type * as Graphql from 'graphql';
import { createRequire } from 'node:module';
import { expect, it } from 'vitest';
import type { Account } from '../../admin/accounts/accounts.ts';
import type { RequestContext } from '../../admin/context.ts';
import * as tables from '../../admin/db/schema.ts';
import { schema } from '../../admin/graphql/schema.ts';
import {
  createCustomer,
  createTestOffer,
  describeDatabase,
  orderOffer,
  START_MS,
} from '../support/databases.ts';

// As Node resolves it, for Pothos too; Vite would take graphql's other copy, which knows no type of this one.
const { graphql } = createRequire(import.meta.url)('graphql') as typeof Graphql;

const ORDER = `id state price { amountMinor } expiresAt offer { name price { amountMinor } } title { name onAir }
  tickets { id flags { id } } sessions { id } history { at to } payment { state }`;
const TITLE = 'id name onAir offers { id name summary }';

describeDatabase('pglite', (world) => {
  /** How many statements an operation takes, as somebody with all permissions. */
  async function statementsOf(source: string, account: Account): Promise<number> {
    let statements = 0;
    const db = drizzle(world().db.$client, {
      schema: tables,
      logger: {
        logQuery: () => {
          statements++;
        },
      },
    });
    const clock = { nowMs: () => START_MS, monotonicMs: () => 0 };
    const admin = { ...account, role: 'admin' as const };
    const context = {
      services: { db, clock },
      principal: { kind: 'account', account: admin },
      account: admin,
      isSubscription: false,
      country: null,
    } as unknown as RequestContext;
    const { errors } = await graphql({ schema, source, contextValue: context });
    expect(errors).toBeUndefined();
    return statements;
  }

  it.each([
    ['the own orders', (n: number) => `{ me { orders(first: ${n}) { edges { node { ${ORDER} } } } } }`],
    ['all orders', (n: number) => `{ orders(first: ${n}) { edges { node { ${ORDER} } } } }`],
    ['the catalog', (n: number) => `{ catalog(first: ${n}) { edges { node { ${TITLE} } } } }`],
  ])('%s take as many statements for ten as for one', async (_what, query) => {
    const account = await createCustomer(world());
    for (let count = 0; count < 10; count++) {
      const offer = await createTestOffer(world());
      await orderOffer(world(), offer.id, account.id);
    }
    const one = await statementsOf(query(1), account);
    expect(one).toBeGreaterThan(0);
    expect(await statementsOf(query(10), account)).toBe(one);
  });
});
