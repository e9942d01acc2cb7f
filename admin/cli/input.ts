/** What commands read: a file that is named, or standard input; never more than is good for them. */
import { open } from 'node:fs/promises';
import { UsageError } from './command.ts';

/** Far more than a ticket or a JWK set needs. */
const MAX_INPUT_BYTES = 64 * 1024;

export type Input = AsyncIterable<Uint8Array> & { readonly isTTY?: boolean };

/**
 * The file that a command's arguments name; `null` for standard input, which is meant without one and by `-`.
 * @param what one of those that the command takes, for people
 * @throws UsageError when there are more
 */
export function fileArgument([file = '-', ...more]: readonly string[], what: string): string | null {
  if (more.length > 0) throw new UsageError(`one ${what} at a time`);
  return file === '-' ? null : file;
}

/** All of a stream. @throws UsageError when it is larger than `maxBytes` */
async function readBounded(
  stream: AsyncIterable<Uint8Array>,
  what: string,
  maxBytes: number,
): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw new UsageError(`${what} is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/**
 * A small file of a command's arguments.
 * @throws UsageError that does not repeat the name: who gives a ticket for a file shall not find it in a log
 */
export async function readFile(file: string, what: string, maxBytes = MAX_INPUT_BYTES): Promise<string> {
  try {
    const handle = await open(file);
    try {
      return await readBounded(handle.createReadStream({ autoClose: false }), what, maxBytes);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    throw new UsageError(`${what} cannot be read (${code})`);
  }
}

/**
 * What a command was given: the file, or for `null` standard input.
 * @throws UsageError also where somebody would have to type it
 */
export async function readInput(
  file: string | null,
  stdin: Input,
  what: string,
  maxBytes = MAX_INPUT_BYTES,
): Promise<string> {
  if (file !== null) return readFile(file, what, maxBytes);
  if (stdin.isTTY === true) throw new UsageError('no FILE, and nothing on standard input');
  return readBounded(stdin, what, maxBytes);
}
