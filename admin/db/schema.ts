/**
 * The tables. SQL floor: PostgreSQL 15; ids are UUIDv7 made by us, since `uuidv7()` is newer than that. What the
 * database itself must hold (an append-only ledger, counted rights, numbered revocations) is in migrations of their own.
 */
export * from './schema/accounts.ts';
export * from './schema/catalog.ts';
export * from './schema/trust.ts';
export * from './schema/money.ts';
export * from './schema/orders.ts';
export * from './schema/receipts.ts';
export * from './schema/revocations.ts';
export * from './schema/sales.ts';
