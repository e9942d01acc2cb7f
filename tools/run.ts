import { spawnSync } from 'node:child_process';
import { delimiter, dirname, join } from 'node:path';

/** The clone. */
export const ROOT = dirname(import.meta.dirname);

interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly timeoutMs?: number;
}

/**
 * Runs a command with the clone's programs first in PATH, and gives its stdout.
 *
 * @throws {Error} with its output, when it fails
 */
export function run(command: string, args: readonly string[], options: RunOptions = {}): string {
  const path = [join(ROOT, 'node_modules', '.bin'), process.env['PATH'] ?? ''].join(delimiter);
  const { status, signal, stdout, stderr, error } = spawnSync(command, args, {
    cwd: options.cwd ?? ROOT,
    env: { ...process.env, PATH: path, ...options.env },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: options.timeoutMs ?? 300_000,
    maxBuffer: 64 * 2 ** 20,
  });
  if (error !== undefined) throw new Error(`${command}: ${error.message}`);
  if (status !== 0) {
    throw new Error(`${[command, ...args].join(' ')}: ${status ?? signal}\n${stdout}${stderr}`);
  }
  return stdout;
}
