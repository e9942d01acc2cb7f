/** Where what is played goes: a file, standard output, or a player's standard input. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import type { Writable } from 'node:stream';
import { PlayError } from './error.ts';

export interface Output {
  write(bytes: Buffer): void;
  /** Nothing more can be written: the player was closed, the disk is full; why, or `null` for a player's end. */
  readonly ended: Promise<PlayError | null>;
  /** Writes what waits. */
  close(): Promise<void>;
}

/** What waits for a slow disk or player; then there is no point in going on. */
const MAX_WAITING_BYTES = 64 * 1024 * 1024;
const CLOSE_WITHIN_MS = 3000;

function outputTo(stream: Writable, what: string): Output & { end(reason: PlayError | null): void } {
  const { promise: ended, resolve: end } = Promise.withResolvers<PlayError | null>();
  // Standard output is never destroyed, whatever has become of it.
  let isBroken = false;
  stream.on('error', (error: Error & { code?: string }) => {
    isBroken = true;
    // A player that was closed reads no more.
    end(
      error.code === 'EPIPE' ? null : new PlayError(`${what} cannot be written (${error.code ?? 'unknown'})`),
    );
  });
  return {
    ended,
    end,
    write(bytes) {
      if (isBroken || stream.destroyed || stream.writableEnded) return;
      stream.write(bytes);
      if (stream.writableLength > MAX_WAITING_BYTES) end(new PlayError(`${what} is too slow`));
    },
    async close() {
      if (isBroken || stream.destroyed) return;
      stream.end();
      await within(CLOSE_WITHIN_MS, once(stream, 'finish'));
    },
  };
}

/** Waits, and keeps the process alive meanwhile; false when it has not come to an end. */
async function within(ms: number, work: Promise<unknown>): Promise<boolean> {
  const late = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => late.resolve(false), ms);
  const done = work.then(
    () => true,
    () => true,
  );
  try {
    return await Promise.race([done, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Writes to a file, or standard output for `-`. */
export function outputToFile(file: string): Output {
  const stream = file === '-' ? process.stdout : createWriteStream(file, { mode: 0o600 });
  return outputTo(stream, 'the output');
}

/** Starts a player that reads its standard input when its argument is `-`: ffplay, mpv, vlc. */
export function outputToPlayer(program: string): Output {
  const child = spawn(program, ['-'], { stdio: ['pipe', 'ignore', 'inherit'] });
  const output = outputTo(child.stdin, 'the player’s input');
  child.on('error', () => output.end(new PlayError('the player cannot be started')));
  const exited = exitOf(child);
  void exited.then(() => output.end(null));
  return {
    ...output,
    async close() {
      await output.close();
      // Some wait to be closed when their input has ended.
      if (!(await within(CLOSE_WITHIN_MS, exited))) child.kill();
    },
  };
}

/** Also when it could not be started. */
const exitOf = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => void child.once('exit', () => resolve()).once('error', () => resolve()));
