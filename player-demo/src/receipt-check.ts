/** Whether the receipts of a viewing hold together: one chain each, nothing taken back, signed with one key. */
import { calculateJwkThumbprint, compactVerify, importJWK, type JWK } from 'jose';
import { sha256Text } from './proof.ts';

/** `null`: everything holds. Else what does not, in plain words. */
export type Verdict = string | null;

export interface ReceiptCheck {
  /** Checks what `GET {session}/receipts` answered, by itself and against what it answered before. Never throws. */
  look(body: unknown): Promise<Verdict>;
}

/** In the order in which they are hashed (docs/protocol.md, Receipts). */
const MEMBERS = [
  ...['session', 'ticket', 'uri', 'seq', 'prev', 'startedAt', 'at', 'mediaMs', 'bytes', 'state', 'reason'],
] as const;
const TYP = 'receipt-heads+jwt';

type Entry = Readonly<Record<string, unknown>>;

interface Head {
  readonly seq: number;
  readonly hash: string;
}

const asRecord = (value: unknown): Entry => (typeof value === 'object' && value !== null ? { ...value } : {});
const number = (entry: Entry, name: string): number => Number(entry[name] ?? Number.NaN);
const hashOf = (entry: Entry): Promise<string> =>
  sha256Text(JSON.stringify(MEMBERS.map((name) => entry[name])));

export function createReceiptCheck(): ReceiptCheck {
  /** The last receipt of each session that was seen. */
  const known = new Map<string, Head>();
  let keyThumbprint: string | null = null;

  async function checkChains(entries: readonly Entry[]): Promise<Verdict> {
    const before = new Map<string, Entry & { readonly hash: string }>();
    for (const entry of entries) {
      const session = String(entry['session']);
      const hash = await hashOf(entry);
      const last = before.get(session);
      const remembered = known.get(session);
      if (last !== undefined) {
        if (number(entry, 'seq') !== number(last, 'seq') + 1) return 'a receipt is missing';
        if (entry['prev'] !== last.hash) return 'a receipt does not follow the one before it';
        if (
          number(entry, 'mediaMs') < number(last, 'mediaMs') ||
          number(entry, 'bytes') < number(last, 'bytes')
        )
          return 'a receipt says less than the one before it';
        if (last['reason'] !== null) return 'a receipt follows the last one';
      }
      if (remembered !== undefined && remembered.seq === entry['seq'] && remembered.hash !== hash)
        return 'a receipt has been changed';
      before.set(session, { ...entry, hash });
    }
    for (const [session, { hash, ...entry }] of before) {
      const seq = number(entry, 'seq');
      if (seq < (known.get(session)?.seq ?? 0)) return 'a receipt has been taken back';
      known.set(session, { seq, hash });
    }
    return null;
  }

  async function checkSignature(body: Entry): Promise<Verdict> {
    const { heads, key } = body;
    if (typeof heads !== 'string') return 'the receipts are not signed';
    const jwk = asRecord(key) as JWK;
    const thumbprint = await calculateJwkThumbprint(jwk, 'sha256');
    keyThumbprint ??= thumbprint;
    if (thumbprint !== keyThumbprint) return 'they are signed with another key than before';
    const { payload, protectedHeader } = await compactVerify(heads, await importJWK(jwk, String(jwk.alg)));
    if (protectedHeader.typ !== TYP) return 'the signature is of something else';
    const list = asRecord(JSON.parse(new TextDecoder().decode(payload)))['heads'];
    const signed = Array.isArray(list) ? list.map(asRecord) : [];
    const isCovered = [...known].every(([session, { seq, hash }]) => {
      const head = signed.find((one) => one['session'] === session);
      // A session of long ago may have left the list.
      return head === undefined ? signed.length > 0 : head['seq'] === seq && head['hash'] === hash;
    });
    return isCovered ? null : 'the signature is of other receipts';
  }

  return {
    async look(body) {
      const { receipts, ...rest } = asRecord(body);
      const entries = Array.isArray(receipts) ? receipts.map(asRecord) : [];
      if (entries.length === 0) return null;
      try {
        return (await checkChains(entries)) ?? (await checkSignature(rest));
      } catch {
        return 'the signature is not good';
      }
    },
  };
}
