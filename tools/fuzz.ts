/**
 * `npm run fuzz -- NAME [--seconds N] [--seed N]`: inputs made from a kept corpus, until the time is over or something is
 * found. A find is written into the corpus, where the suite takes it from then on. Exit status 1 for a find.
 */
import { createHash, randomInt } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fuzz } from './fuzz/engine.ts';
import { corpusOf } from './fuzz/inputs.ts';
import { FUZZ_NAMES, isFuzzName, moduleOf } from './fuzz/targets.ts';
import { ROOT } from './run.ts';

const USAGE = `usage: npm run fuzz -- ${FUZZ_NAMES.join('|')} [--seconds N] [--seed N]`;
const DEFAULT_SECONDS = 600;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string' }, seed: { type: 'string' } },
});
const [name] = positionals;
const seconds = Number(values.seconds ?? DEFAULT_SECONDS);
const seed = Number(values.seed ?? randomInt(2 ** 32));
if (!isFuzzName(name) || !(seconds > 0) || !Number.isInteger(seed)) {
  console.error(USAGE);
  process.exit(2);
}
const corpus = corpusOf(name);
console.log(`${name}: ${String(seconds)} s, --seed ${String(seed)}`);
const { inputs, refused, grownBytes, find } = await fuzz({
  module: moduleOf(name),
  corpus,
  seed,
  milliseconds: seconds * 1000,
});
if (find === undefined) {
  const counts = `${String(inputs)} inputs, ${String(refused)} of them refused`;
  console.log(`${name}: ${counts}; ${String(Math.round(grownBytes / 1024))} KiB grown; nothing found`);
} else {
  const { kind, number, detail, input } = find;
  const file = join(corpus, `found-${createHash('sha256').update(input).digest('hex').slice(0, 12)}`);
  mkdirSync(join(ROOT, corpus), { recursive: true });
  writeFileSync(join(ROOT, file), input);
  console.error(
    `${name}: ${kind} at input ${String(number)} of seed ${String(seed)}, kept as ${file}\n${detail}`,
  );
  process.exitCode = 1;
}
