/** Asking whoever sits at the terminal. */
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';

/**
 * Asks for a line without showing what is typed. The terminal echoes nothing in raw mode, and what readline would
 * echo in its place goes nowhere.
 */
export async function askHidden(
  question: string,
  input: NodeJS.ReadableStream = process.stdin,
  output: NodeJS.WritableStream = process.stderr,
): Promise<string> {
  const nowhere = new Writable({
    write: (_chunk, _encoding, done) => {
      done();
    },
  });
  const lines = createInterface({ input, output: nowhere, terminal: true });
  const gone = new Promise<never>((_resolve, reject) => {
    lines.once('close', () => {
      reject(new Error('no answer'));
    });
    lines.once('SIGINT', () => {
      lines.close();
    });
  });
  output.write(question);
  try {
    return await Promise.race([lines.question(''), gone]);
  } finally {
    gone.catch(() => undefined);
    lines.close();
    output.write('\n');
  }
}
