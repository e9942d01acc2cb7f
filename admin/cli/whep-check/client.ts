/** The suite's HTTP: bounded bodies, time-outs, an even pace, no redirections by itself. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Credentials } from './credentials.ts';
import type { Ask, Reply, Send } from './http.ts';

export interface ClientOptions {
  readonly fetch: (request: Request) => Promise<Response>;
  readonly credentials: Credentials;
  /** The page that asks: `Origin` of every request. */
  readonly origin: string;
  /** Milliseconds for a request and its reply. */
  readonly timeoutMs: number;
  /** Milliseconds from one request to the next, at least. */
  readonly paceMs: number;
}

const MAX_BODY_BYTES = 64 * 1024;

async function readBody(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > MAX_BODY_BYTES) throw new RangeError(`a body of more than ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function problemOf(error: unknown, timeoutMs: number): string {
  if (!(error instanceof Error)) return 'no reply';
  if (error.name === 'TimeoutError') return `no reply within ${timeoutMs / 1000} s`;
  if (error instanceof RangeError) return error.message;
  const { cause } = error;
  return cause instanceof Error && 'code' in cause ? `no reply (${String(cause.code)})` : 'no reply';
}

/** Makes the sender. A request whose proof lacked a current nonce is repeated once (RFC 9449 section 8). */
export function createClient({ fetch, credentials, origin, timeoutMs, paceMs }: ClientOptions): Send {
  let nextAtMs = 0;

  async function exchange(ask: Ask, authorization: Record<string, string>): Promise<Reply> {
    const waitMs = nextAtMs - performance.now();
    if (waitMs > 0) await sleep(Math.ceil(waitMs));
    nextAtMs = performance.now() + paceMs;
    try {
      const request = new Request(ask.url, {
        method: ask.method,
        headers: { origin, 'user-agent': 'media-usher whep-check', ...ask.headers, ...authorization },
        redirect: 'manual',
        signal: AbortSignal.timeout(timeoutMs),
        ...(ask.body === undefined ? {} : { body: ask.body }),
      });
      const response = await fetch(request);
      const { status, headers } = response;
      return { status, headers, body: await readBody(response), problem: '' };
    } catch (error) {
      return { status: 0, headers: new Headers(), body: '', problem: problemOf(error, timeoutMs) };
    }
  }

  return async (ask) => {
    const named = ask.anonymous !== true && ask.method !== 'OPTIONS';
    const authorize = async (): Promise<Record<string, string>> => (named ? credentials.headersFor(ask) : {});
    const reply = await exchange(ask, await authorize());
    const again = credentials.learn(reply) && named;
    return again ? exchange(ask, await authorize()) : reply;
  };
}
