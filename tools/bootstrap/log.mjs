// @ts-check
/** Everything the bootstrap says goes to stderr: stdout belongs to the program it starts. */

/** A failure that is explained by its message alone: printed as one line, exit status 1. */
export class SetUpError extends Error {}

/** @param {string} line */
export function say(line) {
  process.stderr.write(`${line}\n`);
}

const LINE_INTERVAL_MS = 10_000;

/**
 * Shows that something long is going on: a line that counts seconds on a terminal, otherwise a line
 * every ten seconds.
 *
 * @template T
 * @param {string} what for example `[2/5] installing packages`
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withProgress(what, work) {
  const startMs = performance.now();
  const seconds = () => Math.round((performance.now() - startMs) / 1000);
  const terminal = process.stderr.isTTY;
  const show = () =>
    process.stderr.write(`${terminal ? '\r' : ''}${what} … ${seconds()} s${terminal ? '' : '\n'}`);
  if (!terminal) say(`${what} …`);
  const timer = setInterval(show, terminal ? 1000 : LINE_INTERVAL_MS);
  try {
    const result = await work();
    say(`${terminal ? '\r' : ''}${what}: done in ${seconds()} s`);
    return result;
  } catch (error) {
    if (terminal) say('');
    throw error;
  } finally {
    clearInterval(timer);
  }
}
