/** Viewers of the fan-out bench, in a process of their own: they count what comes and look at none of it. */
import { connect, type Socket } from 'node:net';

export type ReadersQuestion =
  | { readonly ask: 'connect'; readonly port: number; readonly path: string; readonly queries: string[] }
  | { readonly ask: 'bytes' }
  | { readonly ask: 'close' };

let bytes = 0;
let sockets: Socket[] = [];
const buffer = Buffer.alloc(256 * 1024);

/** Resolves with the first bytes of the answer's head. */
function open(port: number, url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let isFirst = true;
    const socket = connect({
      port,
      host: '127.0.0.1',
      onread: {
        buffer,
        callback(count, data) {
          bytes += count;
          if (isFirst) {
            isFirst = false;
            const status = Buffer.from(data.buffer, data.byteOffset, 12).toString('latin1');
            if (status === 'HTTP/1.1 200') resolve();
            else reject(new Error(status));
          }
          return true;
        },
      },
    });
    socket.on('error', reject);
    socket.write(`GET ${url} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
    sockets.push(socket);
  });
}

async function answer(question: ReadersQuestion): Promise<number> {
  if (question.ask === 'connect') {
    for (const query of question.queries) await open(question.port, `${question.path}.flv${query}`);
  } else if (question.ask === 'close') {
    for (const socket of sockets) socket.destroy();
    sockets = [];
  }
  return bytes;
}

process.on('message', (question: ReadersQuestion) => {
  answer(question).then(
    (count) => process.send?.(count),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.on('disconnect', () => process.exit(0));
