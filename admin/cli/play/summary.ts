/** What a viewing was, for people and for programs. */
import { readEvidence, type Evidence } from '../../../plugin/receipts/evidence.ts';
import { verifyReceipts, type ReceiptReport } from '../../../plugin/receipts/verify.ts';
import { readKeySet } from '../../../plugin/ticket/key-sets.ts';
import { thumbprint } from '../../../plugin/ticket/index.ts';
import type { LineReceiver } from './receiver.ts';

export interface Summary {
  /** Why it is over. */
  readonly end: string;
  /** Seconds from PLAY on. */
  readonly seconds: number;
  readonly lines: readonly {
    readonly kind: string;
    readonly codec: string;
    readonly packets: number;
    readonly bytes: number;
    readonly lost: number;
    readonly refused: Readonly<Partial<Record<string, number>>>;
  }[];
  /** `null`: the server has told of none. */
  readonly receipts:
    (Omit<ReceiptReport, 'isValid'> & { readonly valid: boolean; readonly key: string | null }) | null;
}

/** The thumbprint; of what is no key the fact: no signature is of it. */
function nameOf(key: unknown): string {
  try {
    return thumbprint(key as Parameters<typeof thumbprint>[0]);
  } catch {
    return 'unreadable';
  }
}

/**
 * Receipts of several answers: what is told twice counts once.
 * @param documents what the server has answered, oldest first; what cannot be read is left out
 */
async function checkReceipts(documents: readonly string[]): Promise<Summary['receipts']> {
  const evidences = documents.flatMap((document): Evidence[] => {
    try {
      return [readEvidence(document)];
    } catch {
      return [];
    }
  });
  const receipts = evidences.flatMap((evidence) => evidence.receipts);
  if (receipts.length === 0) return null;
  // The last answer may be missing.
  const [stated] = evidences.findLast((evidence) => evidence.keys.length > 0)?.keys ?? [];
  const key = stated === undefined ? null : nameOf(stated);
  const keys = stated === undefined ? undefined : await readKeySet({ keys: [stated] });
  const signed = evidences.flatMap((evidence) => evidence.signed);
  const report = verifyReceipts({ receipts, signed, keys: [] }, keys === undefined ? {} : { keys });
  const { isValid: valid, ...rest } = report;
  return {
    valid,
    ...rest,
    key,
  };
}

export async function summarize(
  end: string,
  seconds: number,
  receivers: readonly LineReceiver[],
  documents: readonly string[],
): Promise<Summary> {
  return {
    end,
    seconds: Math.round(seconds * 1000) / 1000,
    lines: receivers.map(({ line: { kind, codec }, counts }) => ({ kind, codec, ...counts })),
    receipts: await checkReceipts(documents),
  };
}

const count = new Intl.NumberFormat('en');

function receiptsText(receipts: NonNullable<Summary['receipts']>): string[] {
  const { chains, problems, key } = receipts;
  const signature = key === null ? 'not signed' : `signed by the key ${key}`;
  return [
    ...chains.map(({ mediaMs, bytes, lastSeq, endReason }) => {
      const end = endReason === null ? 'not the last' : endReason;
      return `receipt ${String(lastSeq)}: ${count.format(mediaMs / 1000)} s, ${count.format(bytes)} bytes (${end})`;
    }),
    problems.length === 0
      ? `receipts: one chain, ${signature}`
      : `receipts: NOT RIGHT (${problems.map(({ code }) => code).join(', ')})`,
  ];
}

export function summaryText({ end, seconds, lines, receipts }: Summary): string {
  return [
    `${end}, after ${count.format(seconds)} s`,
    ...lines.map(({ kind, codec, packets, bytes, lost, refused }) => {
      const others = Object.entries(refused).map(([why, number]) => `, ${count.format(number ?? 0)} ${why}`);
      const text = `${count.format(packets)} packets, ${count.format(bytes)} bytes, ${count.format(lost)} lost`;
      return `${kind} (${codec}): ${text}${others.join('')}`;
    }),
    ...(receipts === null ? ['receipts: none'] : receiptsText(receipts)),
  ].join('\n');
}
