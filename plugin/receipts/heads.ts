/**
 * Receipts for whom they are about: the last receipt of each session by its hash, signed by the streaming server. Since
 * every receipt names the hash of the one before, the signature is one of all of them.
 */
import type { JWK } from 'jose';
import { z } from 'zod';
import { receiptSchema, type Receipt } from '../contract.ts';
import type { Clock } from '../ports.ts';
import { signJws } from '../ticket/jws.ts';
import { toKeyObject, type SigningKeyPair } from '../ticket/keys.ts';
import { receiptHash } from './chain.ts';

/** `typ` of the JWS. */
export const RECEIPT_HEADS_TYP = 'receipt-heads+jwt';

const headSchema = z.strictObject({
  session: receiptSchema.shape.session,
  seq: receiptSchema.shape.seq,
  /** `receiptHash` of the receipt with this number. */
  hash: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
});
export type ReceiptHead = z.infer<typeof headSchema>;

export const receiptHeadsSchema = z.strictObject({
  /** Id of the streaming server. */
  iss: z.string().min(1).max(200),
  /** Unix seconds. */
  iat: z.number().int().nonnegative(),
  heads: z.array(headSchema).min(1).max(1000),
});

/** The last receipt of each session. */
export function receiptHeads(receipts: readonly Receipt[]): ReceiptHead[] {
  const last = new Map<string, Receipt>();
  for (const receipt of receipts) {
    if (receipt.seq >= (last.get(receipt.session)?.seq ?? 0)) last.set(receipt.session, receipt);
  }
  return [...last.values()].map((receipt) => ({
    session: receipt.session,
    seq: receipt.seq,
    hash: receiptHash(receipt),
  }));
}

export interface SignHeadsOptions {
  readonly serverId: string;
  readonly key: SigningKeyPair;
  readonly clock: Pick<Clock, 'nowMs'>;
}

/** What a viewer is told beside receipts. */
export interface SignedReceipts {
  /** A compact JWS. */
  readonly heads: string;
  /** The public key that it is signed with, for whoever knows its thumbprint. */
  readonly key: JWK;
}

/** Signs the heads of some receipts, which must not be none. */
export function signReceiptHeads(receipts: readonly Receipt[], options: SignHeadsOptions): SignedReceipts {
  const { serverId, key, clock } = options;
  const payload = {
    iss: serverId,
    iat: Math.floor(clock.nowMs() / 1000),
    heads: receiptHeads(receipts),
  };
  const header = { typ: RECEIPT_HEADS_TYP, alg: key.alg, kid: key.kid };
  return { heads: signJws(header, payload, toKeyObject(key.privateKey, 'sign')), key: key.publicJwk };
}
