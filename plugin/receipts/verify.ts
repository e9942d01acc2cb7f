/** Checks receipts without asking anybody: that they are one chain, say nothing impossible, and are signed. */
import type { Receipt } from '../contract.ts';
import type { KeySet } from '../ticket/key-sets.ts';
import { verifyJws } from '../ticket/jws.ts';
import { SIGNING_ALG_NAMES, toKeyObject, type SigningAlg } from '../ticket/keys.ts';
import { receiptHash } from './chain.ts';
import type { Evidence, SignedHeads } from './evidence.ts';
import type { ReceiptHead } from './heads.ts';

export type ProblemCode =
  /** Two receipts of one number. */
  | 'fork'
  | 'gap'
  /** `prev` is not the hash of the receipt before. */
  | 'chain_broken'
  /** Session, ticket, path or start are not those of the receipt before. */
  | 'mixed'
  /** Less than was stated before. */
  | 'falling'
  /** Something follows the final receipt. */
  | 'after_final'
  /** More media than time has passed. */
  | 'implausible_media'
  /** A signature of another receipt than the one with that number. */
  | 'head_mismatch'
  | 'signature_invalid'
  | 'key_unknown'
  /** Signed as another streaming server than the one that was asked for. */
  | 'wrong_server'
  /** The keys are known, and no signature reaches the end of the chain. */
  | 'unsigned';

export interface ReceiptProblem {
  readonly code: ProblemCode;
  readonly session: string | null;
  readonly seq: number | null;
}

export interface VerifiedChain {
  readonly session: string;
  readonly ticket: string;
  readonly uri: string;
  /** Numbers of the first and the last receipt: 0, unless the beginning is not there. */
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Unix seconds. */
  readonly startedAt: number;
  readonly at: number;
  readonly mediaMs: number;
  readonly bytes: number;
  /** `null` while it goes on, as far as this shows. */
  readonly endReason: string | null;
  /** The last number that a valid signature covers; `null`: none does. */
  readonly signedSeq: number | null;
}

export interface ReceiptReport {
  readonly isValid: boolean;
  readonly signatures: 'checked' | 'not checked';
  readonly chains: readonly VerifiedChain[];
  readonly problems: readonly ReceiptProblem[];
}

export interface VerifyReceiptsOptions {
  /** Keys of the streaming server; without them signatures are not checked. */
  readonly keys?: KeySet;
  /** Id of the streaming server that must have signed. */
  readonly serverId?: string;
}

/** Media is sent ahead of its time, and seconds are whole: what the order server allows for as well. */
const TOLERANCE_MS = 5000;

const isSigningAlg = (alg: string): alg is SigningAlg =>
  (SIGNING_ALG_NAMES as readonly string[]).includes(alg);

function whyUntrusted(signed: SignedHeads, { keys, serverId }: VerifyReceiptsOptions): ProblemCode | null {
  if (serverId !== undefined && signed.iss !== serverId) return 'wrong_server';
  if (keys === undefined) return null;
  const { alg, kid, parts } = signed;
  const key = isSigningAlg(alg) ? keys.find(kid, alg) : null;
  if (key === null || !isSigningAlg(alg)) return 'key_unknown';
  try {
    verifyJws(parts, alg, toKeyObject(key, 'verify'));
    return null;
  } catch {
    return 'signature_invalid';
  }
}

/** What is wrong with a receipt after the one before it. */
function problemsBetween(before: Receipt, receipt: Receipt): ProblemCode[] {
  const problems: ProblemCode[] = [];
  if (receipt.seq !== before.seq + 1) problems.push('gap');
  else if (receipt.prev !== receiptHash(before)) problems.push('chain_broken');
  if (before.state === 'final') problems.push('after_final');
  const isOther = (['ticket', 'uri', 'startedAt'] as const).some(
    (member) => receipt[member] !== before[member],
  );
  if (isOther) problems.push('mixed');
  if (receipt.mediaMs < before.mediaMs || receipt.bytes < before.bytes || receipt.at < before.at)
    problems.push('falling');
  return problems;
}

/** Receipts by session, each in the order of its numbers and each number once. */
function sortChains(receipts: readonly Receipt[], problems: ReceiptProblem[]): Map<string, Receipt[]> {
  const chains = new Map<string, Map<number, Receipt>>();
  for (const receipt of receipts) {
    const { session, seq } = receipt;
    const chain = chains.get(session) ?? new Map<number, Receipt>();
    chains.set(session, chain);
    const known = chain.get(seq);
    if (known === undefined) chain.set(seq, receipt);
    else if (receiptHash(known) !== receiptHash(receipt)) problems.push({ code: 'fork', session, seq });
  }
  return new Map(
    [...chains].map(([session, chain]) => [session, [...chain.values()].sort((a, b) => a.seq - b.seq)]),
  );
}

/** The last number of each session that a signature is of. */
function signedSeqs(
  chains: ReadonlyMap<string, readonly Receipt[]>,
  heads: readonly ReceiptHead[],
  problems: ReceiptProblem[],
): Map<string, number> {
  const hashes = new Map(
    [...chains.values()].flatMap((chain) =>
      chain.map((receipt) => [`${receipt.session} ${String(receipt.seq)}`, receiptHash(receipt)]),
    ),
  );
  const signed = new Map<string, number>();
  for (const { session, seq, hash } of heads) {
    const known = hashes.get(`${session} ${String(seq)}`);
    if (known === hash) signed.set(session, Math.max(signed.get(session) ?? 0, seq));
    else if (known !== undefined) problems.push({ code: 'head_mismatch', session, seq });
  }
  return signed;
}

/**
 * Checks what somebody has collected of receipts: chains by session, and the signatures of their heads. A chain may
 * begin in the middle; what is there must be whole.
 */
export function verifyReceipts(evidence: Evidence, options: VerifyReceiptsOptions = {}): ReceiptReport {
  const problems: ReceiptProblem[] = [];
  const heads = evidence.signed.flatMap((signed) => {
    const code = whyUntrusted(signed, options);
    if (code === null) return signed.heads;
    problems.push({ code, session: null, seq: null });
    return [];
  });
  const areChecked = options.keys !== undefined;
  const chains: VerifiedChain[] = [];
  const sorted = sortChains(evidence.receipts, problems);
  const signed = signedSeqs(sorted, heads, problems);
  for (const [session, chain] of sorted) {
    const [first, last] = [chain[0], chain.at(-1)];
    if (first === undefined || last === undefined) continue;
    for (const [index, receipt] of chain.entries()) {
      const before = chain[index - 1];
      const codes = before === undefined ? [] : problemsBetween(before, receipt);
      if (receipt.mediaMs > (receipt.at - receipt.startedAt) * 1000 + TOLERANCE_MS)
        codes.push('implausible_media');
      for (const code of codes) problems.push({ code, session, seq: receipt.seq });
    }
    const signedSeq = signed.get(session) ?? null;
    if (areChecked && signedSeq !== last.seq) problems.push({ code: 'unsigned', session, seq: last.seq });
    const { ticket, uri, startedAt, at, mediaMs, bytes, reason } = last;
    chains.push({
      ...{ session, ticket, uri, firstSeq: first.seq, lastSeq: last.seq, startedAt, at, mediaMs, bytes },
      endReason: reason,
      signedSeq: areChecked ? signedSeq : null,
    });
  }
  return {
    isValid: problems.length === 0,
    signatures: areChecked ? 'checked' : 'not checked',
    chains,
    problems,
  };
}
