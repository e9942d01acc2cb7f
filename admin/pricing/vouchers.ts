/** Bearer codes: whoever has one takes what it is good for, once. Only hashes of them are kept. */
import { and, asc, count, eq, gt, inArray, isNull, sql } from 'drizzle-orm';
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { Denial } from '../../plugin/errors.ts';
import type { Page } from '../catalog/titles.ts';
import { isSqlState, type Executor } from '../db/connect.ts';
import { inPage, newestFirst } from '../db/keyset.ts';
import { voucherBatches, vouchers } from '../db/schema.ts';
import { newId, sha256 } from '../ids.ts';
import { creditCustomer } from '../ledger/ledger.ts';
import { currencySchema, MAX_AMOUNT_MINOR, money, type Money } from '../ledger/money.ts';
import { lineSchema } from '../text.ts';

/** Crockford's base 32: no I, L, O, U, which people read as something else. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const CODE_CHARS = 16;
const MAX_BATCH = 1000;
/** Rows of one insert: PostgreSQL takes 65,535 parameters. */
const CHUNK = 500;

/** What people type: capitals or not, with or without hyphens, O for 0, I or L for 1. */
export const voucherCodeSchema = z
  .string()
  .max(60)
  .toUpperCase()
  .transform((text) => text.replace(/[\s-]/g, '').replaceAll('O', '0').replace(/[IL]/g, '1'))
  .pipe(z.string().regex(/^[0-9A-HJKMNP-TV-Z]{16}$/, 'not a voucher code'));

export const voucherBatchSchema = z
  .strictObject({
    name: lineSchema(1, 100),
    count: z.int().min(1).max(MAX_BATCH),
    /** What each is good for: an offer, or an amount for the balance. */
    offerId: z.uuid().exactOptional(),
    amountMinor: z.int().min(1).max(MAX_AMOUNT_MINOR).exactOptional(),
    currency: currencySchema.exactOptional(),
    expiresAt: z.date(),
  })
  .refine(({ offerId, amountMinor }) => (offerId === undefined) !== (amountMinor === undefined), {
    message: 'either offerId or amountMinor',
    path: ['offerId'],
  })
  .refine(({ amountMinor, currency }) => (amountMinor === undefined) === (currency === undefined), {
    message: 'belongs to amountMinor',
    path: ['currency'],
  });
export type VoucherBatchInput = z.infer<typeof voucherBatchSchema>;

export interface VoucherBatch {
  readonly id: string;
  readonly name: string;
  readonly offerId: string | null;
  readonly amount: Money | null;
  readonly count: number;
  readonly expiresAt: Date;
  readonly cancelledAt: Date | null;
  readonly createdAt: Date;
}

const COLUMNS = {
  id: voucherBatches.id,
  name: voucherBatches.name,
  offerId: voucherBatches.offerId,
  amountMinor: voucherBatches.amountMinor,
  currency: voucherBatches.currency,
  count: voucherBatches.count,
  expiresAt: voucherBatches.expiresAt,
  cancelledAt: voucherBatches.cancelledAt,
  createdAt: voucherBatches.createdAt,
};

type Row = Omit<VoucherBatch, 'amount'> & { amountMinor: number | null; currency: string | null };

function fromRow({ amountMinor, currency, ...row }: Row): VoucherBatch {
  return {
    ...row,
    amount: amountMinor === null || currency === null ? null : money(amountMinor, currency),
  };
}

/** 80 random bits: nobody guesses one, and a plain hash does not tell them. */
function newCode(): string {
  return Array.from(randomBytes(CODE_CHARS), (byte) => ALPHABET.charAt(byte % ALPHABET.length)).join('');
}

/** As it is printed: "7K3M-…-…-…". */
const printed = (code: string): string => code.match(/.{4}/g)?.join('-') ?? code;

/**
 * Makes vouchers. Their codes are in the answer only.
 * @throws Denial `input_invalid` when they would have expired already; `not_found` for an unknown offer.
 */
export async function createVouchers(
  tx: Executor,
  input: VoucherBatchInput,
  now: Date,
): Promise<{ batch: VoucherBatch; codes: string[] }> {
  if (input.expiresAt <= now) throw new Denial('input_invalid', { detail: 'expiresAt: is over' });
  const codes = Array.from({ length: input.count }, newCode);
  const batch = { id: newId(), ...input, createdAt: now };
  try {
    const [row] = await tx.insert(voucherBatches).values(batch).returning(COLUMNS);
    if (row === undefined) throw new Error('an insert returned no row');
    for (let from = 0; from < codes.length; from += CHUNK) {
      await tx
        .insert(vouchers)
        .values(
          codes
            .slice(from, from + CHUNK)
            .map((code) => ({ id: newId(), batchId: batch.id, codeHash: sha256(code) })),
        );
    }
    return { batch: fromRow(row), codes: codes.map(printed) };
  } catch (error) {
    if (isSqlState(error, '23503')) throw new Denial('not_found', { detail: 'offer', cause: error });
    throw error;
  }
}

/** Newest first. */
export async function listVoucherBatches(db: Executor, page: Page): Promise<VoucherBatch[]> {
  const rows = await db
    .select(COLUMNS)
    .from(voucherBatches)
    .where(inPage(voucherBatches.id, page))
    .orderBy(newestFirst(voucherBatches.id, page))
    .limit(page.limit);
  return rows.map(fromRow);
}

/** How many of each batch are redeemed. */
export async function countRedeemed(db: Executor, batchIds: readonly string[]): Promise<Map<string, number>> {
  const rows = await db
    .select({ batchId: vouchers.batchId, redeemed: count(vouchers.redeemedAt) })
    .from(vouchers)
    .where(inArray(vouchers.batchId, [...batchIds]))
    .groupBy(vouchers.batchId);
  return new Map(rows.map(({ batchId, redeemed }) => [batchId, redeemed]));
}

/** A voucher as staff sees it: never its code. */
export interface Voucher {
  readonly id: string;
  readonly redeemedAt: Date | null;
  readonly orderId: string | null;
  readonly accountId: string | null;
}

/** The vouchers of a batch, in the order in which they were made. */
export function listVouchers(db: Executor, batchId: string, page: Page): Promise<Voucher[]> {
  return db
    .select({
      id: vouchers.id,
      redeemedAt: vouchers.redeemedAt,
      orderId: vouchers.orderId,
      accountId: vouchers.accountId,
    })
    .from(vouchers)
    .where(
      and(
        eq(vouchers.batchId, batchId),
        page.after === undefined ? undefined : gt(vouchers.id, page.after),
        page.before === undefined ? undefined : sql`${vouchers.id} < ${page.before}::uuid`,
      ),
    )
    .orderBy(page.inverted ? sql`${vouchers.id} desc` : asc(vouchers.id))
    .limit(page.limit);
}

/** Ends a batch: what of it is not redeemed can't be any more. Idempotent. @throws Denial `not_found`. */
export async function cancelVouchers(tx: Executor, batchId: string, now: Date): Promise<VoucherBatch> {
  const [row] = await tx
    .update(voucherBatches)
    .set({ cancelledAt: sql`coalesce(${voucherBatches.cancelledAt}, ${now.toISOString()}::timestamptz)` })
    .where(eq(voucherBatches.id, batchId))
    .returning(COLUMNS);
  if (row === undefined) throw new Denial('not_found', { detail: 'voucher batch' });
  return fromRow(row);
}

/** A voucher that can be redeemed. */
export interface OpenVoucher {
  readonly id: string;
  readonly offerId: string | null;
  readonly amount: Money | null;
}

/** The voucher of a code (as `voucherCodeSchema` has it), null when nobody can redeem it now, whatever the reason. */
export async function findOpenVoucher(
  db: Executor,
  code: string,
  nowMs: number,
): Promise<OpenVoucher | null> {
  const [row] = await db
    .select({ ...COLUMNS, id: vouchers.id })
    .from(vouchers)
    .innerJoin(voucherBatches, eq(voucherBatches.id, vouchers.batchId))
    .where(
      and(
        eq(vouchers.codeHash, sha256(code)),
        isNull(vouchers.redeemedAt),
        isNull(voucherBatches.cancelledAt),
        gt(voucherBatches.expiresAt, new Date(nowMs)),
      ),
    );
  if (row === undefined) return null;
  const { id, offerId, amount } = fromRow(row);
  return { id, offerId, amount };
}

/**
 * Takes a voucher, for an order or an account's balance, in the transaction that gives what it is good for.
 * @returns false when it is redeemed, cancelled or over by now.
 */
async function takeVoucher(
  tx: Executor,
  voucherId: string,
  by: { orderId: string } | { accountId: string },
  nowMs: number,
): Promise<boolean> {
  const now = new Date(nowMs);
  // The batch's row too, so that no voucher is redeemed beside its batch's end.
  const open = tx
    .select({ id: voucherBatches.id })
    .from(voucherBatches)
    .where(
      and(
        eq(voucherBatches.id, vouchers.batchId),
        isNull(voucherBatches.cancelledAt),
        gt(voucherBatches.expiresAt, now),
      ),
    )
    .for('share');
  const [row] = await tx
    .update(vouchers)
    .set({ redeemedAt: now, ...by })
    .where(and(eq(vouchers.id, voucherId), isNull(vouchers.redeemedAt), sql`exists ${open}`))
    .returning({ id: vouchers.id });
  return row !== undefined;
}

/**
 * Redeems a voucher by an order, in the order's transaction: of many at once one gets it.
 * @throws Denial `code_invalid` when it is redeemed, cancelled or over by now.
 */
export async function redeemVoucher(
  tx: Executor,
  voucherId: string,
  by: { orderId: string },
  nowMs: number,
): Promise<void> {
  if (!(await takeVoucher(tx, voucherId, by, nowMs)))
    throw new Denial('code_invalid', { detail: 'voucherCode' });
}

/** Makes the voucher that paid for an order good again: the order came to nothing. Idempotent. */
export async function returnVoucher(tx: Executor, orderId: string): Promise<void> {
  await tx.update(vouchers).set({ redeemedAt: null, orderId: null }).where(eq(vouchers.orderId, orderId));
}

/**
 * Puts a voucher's amount on an account's balance. Whoever has done that already gets the same answer again.
 * @throws Denial `code_invalid` when the code is not valid, or is for an offer.
 */
export async function creditVoucher(
  tx: Executor,
  code: string,
  accountId: string,
  nowMs: number,
): Promise<{ amount: Money; replayed: boolean }> {
  const open = await findOpenVoucher(tx, code, nowMs);
  if (open !== null && open.amount === null)
    throw new Denial('code_invalid', { detail: 'code: it is for an offer: order that' });
  // Taken meanwhile, it may be by the same account: by another of its requests.
  if (open?.amount && (await takeVoucher(tx, open.id, { accountId }, nowMs))) {
    const { amount } = open;
    // The voucher is redeemed once: no key of the client's could say that better.
    const request = { requestedBy: accountId, accountId, amount, idempotencyKey: `voucher ${open.id}` };
    await creditCustomer(tx, { kind: 'voucher', ...request }, new Date(nowMs));
    return { amount, replayed: false };
  }
  const [row] = await tx
    .select({ amountMinor: voucherBatches.amountMinor, currency: voucherBatches.currency })
    .from(vouchers)
    .innerJoin(voucherBatches, eq(voucherBatches.id, vouchers.batchId))
    .where(and(eq(vouchers.codeHash, sha256(code)), eq(vouchers.accountId, accountId)));
  if (row === undefined || row.amountMinor === null || row.currency === null)
    throw new Denial('code_invalid', { detail: 'code: not valid' });
  return { amount: money(row.amountMinor, row.currency), replayed: true };
}
