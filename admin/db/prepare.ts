/** What is done once for a statement instead of each time: building it here, parsing and planning it in the database. */
import { getTableColumns, sql, type SQL } from 'drizzle-orm';
import { PgDialect, type PgPreparedQuery, type PgTable, type PreparedQueryConfig } from 'drizzle-orm/pg-core';
import { drizzle } from 'drizzle-orm/postgres-js';
import type { Sql, TransactionSql } from 'postgres';
import type { Executor } from './executor.ts';
import * as schema from './schema.ts';

/**
 * A connection keeps what it has prepared, some 20 kB each in the database: this many different statements, those that
 * come first.
 */
const MAX_STATEMENTS = 250;
/**
 * Lists of ids and rows to insert are written out, and each number of them is a statement of its own: long lists, and
 * many rows, are not kept.
 */
const LONG_LIST = / in \((\$\d+, ){8}/;
const NEXT_ROW = /\), \((?=\$|default\b)/g;
const MAX_ROWS = 8;

const isLong = (text: string): boolean =>
  LONG_LIST.test(text) || (text.match(NEXT_ROW)?.length ?? 0) >= MAX_ROWS;

type Scope = (...given: readonly unknown[]) => Promise<unknown>;
type Work = (client: TransactionSql) => unknown;

/**
 * The same client, for Drizzle, which runs everything by `unsafe` and does not ask for preparation. `?prepare=false` in
 * the database's URL turns it off, for poolers that give each transaction another connection.
 */
export function preparing(client: Sql): Sql {
  const kept = new Set<string>();
  const isKept = (text: string): boolean => {
    if (kept.has(text)) return true;
    if (kept.size >= MAX_STATEMENTS || isLong(text)) return false;
    kept.add(text);
    return true;
  };
  const wrap = <C extends Sql | TransactionSql>(inner: C): C =>
    new Proxy(inner, {
      get(target, name) {
        if (name === 'unsafe') {
          const unsafe: Sql['unsafe'] = (text, values, options) =>
            target.unsafe(text, values, { ...options, prepare: isKept(text) });
          return unsafe;
        }
        const member: unknown = Reflect.get(target, name);
        if (name !== 'begin' && name !== 'savepoint') return member;
        // The work that is to be done in a transaction, or a part of one, is the last argument.
        const scope: Scope = (...given) =>
          (member as Scope)(...given.slice(0, -1), (scoped: TransactionSql) =>
            (given.at(-1) as Work)(wrap(scoped)),
          );
        return scope;
      },
    });
  return wrap(client);
}

const NOWHERE: Executor = drizzle.mock({ schema });

/**
 * A query that is built once, with placeholders, for all databases and transactions: Drizzle takes longer to build one
 * than the driver to send it. For what runs with every order. A placeholder of a column must not be null, unless it is of
 * `placeholdersOf`: Drizzle writes it as JSON.
 */
export function builtOnce<Q extends PgPreparedQuery<PreparedQueryConfig>>(
  build: (db: Executor) => Q,
): (db: Executor) => Q {
  const built = build(NOWHERE);
  return (db) => {
    // All that it takes from the session that it is built in.
    const { client, logger } = db._.session as unknown as {
      readonly client: unknown;
      readonly logger: unknown;
    };
    return Object.create(built, { client: { value: client }, logger: { value: logger } }) as Q;
  };
}

/** The same, of a statement for each of a few keys: texts that differ by what is set, or by how many rows there are. */
export function builtForEach<K, Q extends PgPreparedQuery<PreparedQueryConfig>>(
  build: (db: Executor, key: K) => Q,
): (db: Executor, key: K) => Q {
  const built = new Map<K, (db: Executor) => Q>();
  return (db, key) => {
    const known = built.get(key) ?? builtOnce((nowhere) => build(nowhere, key));
    built.set(key, known);
    return known(db);
  };
}

type Raw<Row> = PreparedQueryConfig & { readonly execute: readonly Row[] };

/** The same, of SQL that is written by hand: its rows come as the driver reads them. */
export function writtenOnce<Row>(text: SQL): (db: Executor) => PgPreparedQuery<Raw<Row>> {
  const query = new PgDialect().sqlToQuery(text);
  return builtOnce((db) => db._.session.prepareQuery<Raw<Row>>(query, undefined, 'written', false));
}

/**
 * Placeholders for columns of a table, as `values` and `set` take them; each may be null.
 * @param suffix tells the rows of one statement apart: the placeholder of a column is its name and this
 */
export function placeholdersOf<T extends PgTable, N extends keyof T['_']['columns'] & string>(
  table: T,
  names: readonly N[],
  suffix: string | number = '',
): Record<N, SQL> {
  const columns = getTableColumns(table);
  const placeholder = (name: N): SQL => {
    const column = columns[name];
    if (column === undefined) throw new TypeError(`there is no column ${name}`);
    const encoder = {
      mapToDriverValue: (value: unknown): unknown => (value === null ? null : column.mapToDriverValue(value)),
    };
    return sql`${sql.param(sql.placeholder(`${name}${suffix}`), encoder)}`;
  };
  return Object.fromEntries(names.map((name) => [name, placeholder(name)])) as Record<N, SQL>;
}
