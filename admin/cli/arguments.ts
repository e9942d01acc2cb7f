/** The options and words that a command is given. */
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';
import { UsageError } from './command.ts';

/**
 * Values by option, and the words that belong to none.
 * @throws UsageError without Node's own message: that repeats the word that it does not know, which may be a secret
 */
export function readOptions<Options extends ParseArgsOptionsConfig>(
  args: readonly string[],
  options: Options,
) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch {
    throw new UsageError('an option is not known, or lacks its value');
  }
}

/** The value of an option that is a number of seconds. @throws UsageError when it is none from `low` to `high` */
export function readSeconds(text: string, name: string, low: number, high: number): number {
  const value = Number(text);
  if (text === '' || !(value >= low && value <= high))
    throw new UsageError(`--${name} is ${String(low)} to ${String(high)} seconds`);
  return value;
}

/** What a server has for its answer unless `--timeout` says otherwise. */
export const DEFAULT_TIMEOUT_SECONDS = 10;
const MAX_TIMEOUT_SECONDS = 120;

/** Milliseconds of `--timeout`. @throws UsageError */
export const readTimeoutMs = (text = String(DEFAULT_TIMEOUT_SECONDS)): number =>
  1000 * readSeconds(text, 'timeout', 1, MAX_TIMEOUT_SECONDS);
