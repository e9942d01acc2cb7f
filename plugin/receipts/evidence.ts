/** Reading what somebody has collected of receipts: what viewers are answered, and batches as they were signed. */
import { z } from 'zod';
import { receiptBatchSchema, receiptSchema, type Receipt } from '../contract.ts';
import { parseCompact, type CompactParts } from '../ticket/compact.ts';
import { receiptHash } from './chain.ts';
import { RECEIPT_HEADS_TYP, receiptHeadsSchema, type ReceiptHead } from './heads.ts';

/** Statements under one signature. */
export interface SignedHeads {
  readonly alg: string;
  readonly kid: string;
  /** Id of the streaming server. */
  readonly iss: string;
  readonly heads: readonly ReceiptHead[];
  /** What the signature is of. */
  readonly parts: CompactParts;
}

export interface Evidence {
  readonly receipts: readonly Receipt[];
  readonly signed: readonly SignedHeads[];
  /** Public keys that came along: worth nothing by themselves. */
  readonly keys: readonly unknown[];
}

const MAX_JWS_CHARS = 512 * 1024;

const answerSchema = z.strictObject({
  receipts: z.array(receiptSchema),
  heads: z.string().max(MAX_JWS_CHARS).optional(),
  key: z.record(z.string(), z.unknown()).optional(),
});
const headerSchema = z.object({ typ: z.string(), alg: z.string(), kid: z.string() });

function refuse(where: string, error: z.ZodError): never {
  const path = error.issues[0]?.path.join('.') ?? '';
  throw new TypeError(`${where}: not what a streaming server says${path === '' ? '' : ` (${path})`}`);
}

function readJws(jws: string, where: string): { signed: SignedHeads; receipts: readonly Receipt[] } {
  const parts = parseCompact(jws, MAX_JWS_CHARS);
  const header = headerSchema.safeParse(parts?.header);
  if (parts === null || !header.success) throw new TypeError(`${where}: not a signed message`);
  const { typ, alg, kid } = header.data;
  if (typ === RECEIPT_HEADS_TYP) {
    const read = receiptHeadsSchema.safeParse(parts.payload);
    if (!read.success) return refuse(where, read.error);
    const { iss, heads } = read.data;
    return { signed: { alg, kid, iss, heads, parts }, receipts: [] };
  }
  if (typ !== 'receipts+jwt') throw new TypeError(`${where}: a signed message, but not one of receipts`);
  const read = receiptBatchSchema.safeParse(parts.payload);
  if (!read.success) return refuse(where, read.error);
  const { iss, receipts } = read.data;
  const heads = receipts.map((receipt) => ({
    session: receipt.session,
    seq: receipt.seq,
    hash: receiptHash(receipt),
  }));
  return { signed: { alg, kid, iss, heads, parts }, receipts };
}

function readJson(value: unknown, where: string): Evidence {
  if (typeof value === 'object' && value !== null && 'receipts' in value) {
    const answer = answerSchema.safeParse(value);
    if (!answer.success) return refuse(where, answer.error);
    const { receipts, heads, key } = answer.data;
    return {
      receipts,
      signed: heads === undefined ? [] : [readJws(heads, where).signed],
      keys: key === undefined ? [] : [key],
    };
  }
  const list = z.array(receiptSchema).safeParse(Array.isArray(value) ? value : [value]);
  return list.success ? { receipts: list.data, signed: [], keys: [] } : refuse(where, list.error);
}

function readPart(text: string, where: string): Evidence {
  if (!/^[[{]/.test(text)) {
    const { signed, receipts } = readJws(text, where);
    return { receipts, signed: [signed], keys: [] };
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new TypeError(`${where}: not JSON`);
  }
  return readJson(value, where);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * Reads answers of `GET {session}/receipts`, receipts, lists of receipts, and signed batches: one, or one a line.
 * @throws TypeError that names the line, and no value of it
 */
export function readEvidence(text: string): Evidence {
  const whole = text.trim();
  const parts = isJson(whole) ? [whole] : whole.split('\n').map((line) => line.trim());
  const read = parts.flatMap((part, index) =>
    part === '' ? [] : [readPart(part, parts.length === 1 ? 'the input' : `line ${String(index + 1)}`)],
  );
  return {
    receipts: read.flatMap(({ receipts }) => receipts),
    signed: read.flatMap(({ signed }) => signed),
    keys: read.flatMap(({ keys }) => keys),
  };
}
