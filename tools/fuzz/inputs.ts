/** The inputs of a run: each is known by its number alone, so that a find can be had again. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../run.ts';
import { createDice, mutate } from './mutate.ts';
import type { FuzzTarget } from './target.ts';

export interface Inputs {
  /** 32 bits. */
  readonly seed: number;
  readonly seeds: readonly Uint8Array[];
  readonly words: readonly string[];
}

export const corpusOf = (name: string): string => join('test', 'fuzz', 'corpus', name);

function filesOf(folder: string): Buffer[] {
  const path = join(ROOT, folder);
  if (!existsSync(path)) return [];
  const files = readdirSync(path)
    .filter((file) => !/\.(?:md|ts)$/.test(file))
    .sort();
  return files.map((file) => readFileSync(join(path, file)));
}

/** @param corpus folder, relative to the clone */
export function collectInputs(target: FuzzTarget, seed: number, corpus: string): Inputs {
  const files = [corpus, ...target.folders].flatMap(filesOf);
  return { seed, seeds: [...files, ...target.seeds], words: target.words };
}

/** The first inputs are the seeds as they are, among them what was found before. */
export function inputOf({ seed, seeds, words }: Inputs, number: number): Buffer {
  const buffers = seeds.map((each) => Buffer.from(each.buffer, each.byteOffset, each.length));
  const whole = buffers[number];
  if (whole !== undefined) return Buffer.from(whole);
  // Numbers that are near each other are to give inputs that are not.
  const dice = createDice(Math.imul(seed ^ Math.imul(number, 0x85eb_ca6b), 0xc2b2_ae35));
  return mutate({ dice, seeds: buffers, words });
}
