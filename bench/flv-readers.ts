/** Viewers of the fan-out bench, in a process of their own: they count what comes and look at none of it. */
import { connect, type Socket } from 'node:net';
import type { JWK } from 'jose';
import { createProof, importSigningKey } from '../plugin/ticket/index.ts';

/** A viewer's ticket and the key that it is bound to. */
export interface Holder {
  readonly ticket: string;
  readonly privateJwk: JWK;
  /** Tickets to renew with, in turn. */
  readonly further?: readonly string[];
}

export type ReadersQuestion =
  | {
      readonly ask: 'connect';
      readonly port: number;
      readonly path: string;
      /** One viewer each; `null`: no ticket is asked for. */
      readonly holders: readonly (Holder | null)[];
    }
  | { readonly ask: 'bytes' }
  /** Those that have been there longest. */
  | { readonly ask: 'leave'; readonly count: number }
  | { readonly ask: 'close' };

let bytes = 0;
let sockets: Socket[] = [];
let nonce: string | undefined;
const buffer = Buffer.alloc(256 * 1024);

/** Ticket and proof for a pass, as a player does; the first request learns the nonce. */
async function mintPass(port: number, path: string, { ticket, privateJwk }: Holder): Promise<string> {
  const { privateKey, publicJwk, alg } = await importSigningKey(privateJwk);
  const url = `http://localhost:${String(port)}/pass`;
  for (let attempt = 0; attempt < 2; attempt++) {
    const dpop = await createProof({ privateKey, publicJwk, alg, method: 'POST', url, ticket, nonce });
    const response = await fetch(url, {
      method: 'POST',
      headers: { authorization: `DPoP ${ticket}`, dpop, 'content-type': 'application/json' },
      body: JSON.stringify({ uri: path }),
    });
    const { pass } = (await response.json()) as { pass?: string };
    nonce = response.headers.get('dpop-nonce') ?? undefined;
    if (pass !== undefined) return pass;
  }
  throw new Error('no pass');
}

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
    const { port, path, holders } = question;
    for (const holder of holders) {
      const query = holder === null ? '' : `?pass=${await mintPass(port, path, holder)}`;
      await open(port, `${path}.flv${query}`);
    }
  } else if (question.ask === 'leave') {
    for (const socket of sockets.splice(0, question.count)) socket.destroy();
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
