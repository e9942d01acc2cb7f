/**
 * Makes the committed vectors: `node test/vectors/generate.ts`. Everything comes from seeds but the signatures by ES256,
 * which have a random part: those that are committed are kept as long as what they sign stays the same.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { format } from 'prettier';
import { badProofs, goodProofs, type ProofVector } from './proofs.ts';
import { badTickets, goodTickets, type BadTicket, type GoodTicket } from './tickets.ts';
import { createTools, type VectorKeys } from './tools.ts';

export const VECTORS_FILE = join(import.meta.dirname, 'vectors.json');

export interface Vectors {
  readonly about: string;
  /** Unix seconds at which they are read. */
  readonly nowSeconds: number;
  readonly keys: VectorKeys;
  readonly tickets: { readonly good: readonly GoodTicket[]; readonly bad: readonly BadTicket[] };
  readonly proofs: { readonly good: readonly ProofVector[]; readonly bad: readonly ProofVector[] };
}

/** The vectors; `committed` is the text of the file as it was. */
export function buildVectors(committed: string): Vectors {
  const tools = createTools(committed);
  const good = goodTickets(tools);
  return {
    about: 'Made by test/vectors/generate.ts. The keys are known to everybody: never use them.',
    nowSeconds: tools.nowSeconds,
    keys: tools.keys,
    tickets: { good, bad: badTickets(tools, good) },
    proofs: { good: goodProofs(tools, good), bad: badProofs(tools, good) },
  };
}

if (import.meta.main) {
  const committed = await readFile(VECTORS_FILE, 'utf8').catch(() => '');
  const text = JSON.stringify(buildVectors(committed));
  await writeFile(VECTORS_FILE, await format(text, { parser: 'json', printWidth: 110 }));
}
