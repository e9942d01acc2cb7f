/**
 * Transactions whose connection is lost. postgres.js (3.4.9) tells their caller so, and then writes `rollback`, or whatever
 * statement comes next, to the socket that is not there any more, out of reach of any catch: that ends the process
 * (https://github.com/porsager/postgres/issues/1154).
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Sql, TransactionSql } from 'postgres';

interface Transaction {
  /** Why it is over for its caller, while its work may still run. */
  lost: Error | null;
}

type Scope = (...given: readonly unknown[]) => Promise<unknown>;
type Work = (client: TransactionSql) => unknown;

/** What the driver is told of work that it must do nothing about: nothing, so that it forgets it. */
const never = (): Promise<never> => new Promise(() => undefined);

/** The work's outcome, as long as there is a connection to write the end of the transaction to. */
async function outcomeOf(work: () => unknown, transaction: Transaction): Promise<unknown> {
  try {
    const value = await work();
    return transaction.lost === null ? value : await never();
  } catch (error) {
    // A statement fails with its connection, a little before the transaction does.
    await nextTurn();
    if (transaction.lost === null) throw error;
    return never();
  }
}

function scoped(inner: TransactionSql, transaction: Transaction): TransactionSql {
  return new Proxy(inner, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (name === 'unsafe') {
        const unsafe: Sql['unsafe'] = (...given) => {
          if (transaction.lost !== null) throw transaction.lost;
          return target.unsafe(...given);
        };
        return unsafe;
      }
      return name === 'savepoint' ? scopeOf(member as Scope, transaction) : member;
    },
  });
}

/** The work that is to be done in a transaction, or a part of one, is the last argument. */
function scopeOf(open: Scope, transaction: Transaction): Scope {
  return (...given) =>
    open(...given.slice(0, -1), (client: TransactionSql) =>
      outcomeOf(() => (given.at(-1) as Work)(scoped(client, transaction)), transaction),
    );
}

/** The same client; a transaction whose connection is lost rejects, and nothing more is written for it. */
export function survivingLosses(client: Sql): Sql {
  return new Proxy(client, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (name !== 'begin') return member;
      const begin: Scope = async (...given) => {
        const transaction: Transaction = { lost: null };
        try {
          return await scopeOf(member as Scope, transaction)(...given);
        } catch (error) {
          transaction.lost = error instanceof Error ? error : new Error(String(error));
          throw error;
        }
      };
      return begin;
    },
  });
}
