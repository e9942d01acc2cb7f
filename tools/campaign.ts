/** `npm run campaign -- NAME [--count N] [--seed S]`. Exit status 1 when something was found, 2 for wrong use. */
import { parseArgs } from 'node:util';
import { faultsOf, runForge } from './campaign/forge.ts';

const USAGE = `usage: npm run campaign -- forge [--count N] [--seed S]

  forge   forged tickets and proofs through the gate (1,000,000); none may be admitted`;
const DEFAULT_COUNT = 1_000_000;
const DEFAULT_SEED = 35_571;

function whole(text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!/^\d{1,9}$/.test(text) || value < 1)
    throw new TypeError('--count and --seed are whole numbers from 1');
  return value;
}

function readArguments(): { count: number; seed: number } {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { count: { type: 'string' }, seed: { type: 'string' } },
  });
  if (positionals.length !== 1 || positionals[0] !== 'forge') throw new TypeError('no such campaign');
  return { count: whole(values.count, DEFAULT_COUNT), seed: whole(values.seed, DEFAULT_SEED) };
}

async function forge({ count, seed }: { count: number; seed: number }): Promise<number> {
  const number = new Intl.NumberFormat('en');
  const startMs = performance.now();
  console.log(`forge: ${number.format(count)} forgeries, seed ${seed}`);
  const result = await runForge({
    count,
    seed,
    progress: (tried) => {
      if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${number.format(tried)}`);
    },
  });
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  for (const [kind, tried] of result.kinds) console.log(`${number.format(tried).padStart(9)}  ${kind}`);
  console.log('refused with');
  for (const [code, times] of [...result.codes].toSorted(([, a], [, b]) => b - a))
    console.log(`${number.format(times).padStart(9)}  ${code}`);
  const faults = faultsOf(result);
  for (const fault of faults) console.error(fault);
  const { honest, admitted, tried, kinds } = result;
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  console.log(
    `${number.format(tried)} forgeries of ${kinds.size} kinds: ${admitted.length} admitted. ` +
      `${number.format(honest.tried)} honest requests: ${number.format(honest.admitted)} admitted. ${seconds} s`,
  );
  return faults.length === 0 ? 0 : 1;
}

try {
  process.exitCode = await forge(readArguments());
} catch (error) {
  if (!(error instanceof TypeError)) throw error;
  console.error(`${error.message}\n\n${USAGE}`);
  process.exitCode = 2;
}
