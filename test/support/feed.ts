/** Reads the revocation feed of an order server as it is on the wire. */
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import type { Revocation } from '../../plugin/contract.ts';
import { signServerMessage, type SigningKeyPair } from '../../plugin/ticket/index.ts';
import { PUBLIC_URL, SERVER_ID } from './order-server.ts';

export interface FeedEvent {
  readonly event: string;
  readonly id: number;
  readonly data: { readonly seq: number; readonly revocations?: readonly Revocation[] } & Partial<Revocation>;
  /** When it was read, `performance.now()`. */
  readonly atMs: number;
}

export interface FeedReader {
  readonly events: readonly FeedEvent[];
  /** The first event, from now or before, that fits. @throws Error when the feed ends without it. */
  find(fits: (event: FeedEvent) => boolean): Promise<FeedEvent>;
  /** Resolves when the order server has ended the answer, or cut it. */
  readonly ended: Promise<void>;
  /** Reads no more, and keeps the connection. */
  stall(): void;
  close(): void;
}

/** The signed request for the feed. */
export function feedToken(
  key: SigningKeyPair,
  after: number,
  changes: Partial<Parameters<typeof signServerMessage>[0]> = {},
): Promise<string> {
  return signServerMessage({
    typ: 'revocations+jwt',
    payload: { after },
    iss: SERVER_ID,
    aud: PUBLIC_URL,
    key,
    clock: { nowMs: () => Date.now() },
    ...changes,
  });
}

function parseEvent(text: string): FeedEvent {
  const fields = new Map(
    text.split('\n').map((line) => {
      const colon = line.indexOf(': ');
      return [line.slice(0, colon), line.slice(colon + 2)] as const;
    }),
  );
  return {
    event: fields.get('event') ?? '',
    id: Number(fields.get('id')),
    data: JSON.parse(fields.get('data') ?? '') as FeedEvent['data'],
    atMs: performance.now(),
  };
}

/** Opens the feed. @throws Error when the answer is not 200. */
export async function openFeed(
  url: string,
  token: string,
  after: number | null,
  onEvent: (event: FeedEvent) => void = () => undefined,
): Promise<FeedReader> {
  const query = after === null ? '' : `?after=${String(after)}`;
  const outgoing = request(`${url}/v1/revocations${query}`, {
    headers: { authorization: `Bearer ${token}` },
    agent: false,
  });
  outgoing.end();
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
  if (response.statusCode !== 200 || response.headers['content-type'] !== 'text/event-stream') {
    response.resume();
    throw new Error(`the feed answers ${String(response.statusCode)}`);
  }
  const events: FeedEvent[] = [];
  const waiting = new Set<() => void>();
  let isOver = false;
  let rest = '';
  response.setEncoding('utf8');
  response.on('data', (chunk: string) => {
    const parts = (rest + chunk).split('\n\n');
    rest = parts.pop() ?? '';
    for (const part of parts) {
      const event = parseEvent(part);
      events.push(event);
      onEvent(event);
    }
    for (const look of waiting) look();
  });
  response.on('error', () => undefined);
  const ended = new Promise<void>((resolve) => {
    response.on('close', () => {
      isOver = true;
      for (const look of waiting) look();
      resolve();
    });
  });
  return {
    events,
    ended,
    find: (fits) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = events.find(fits);
          if (found === undefined && !isOver) return;
          waiting.delete(look);
          if (found === undefined) reject(new Error('the feed ended without it'));
          else resolve(found);
        };
        waiting.add(look);
        look();
      }),
    stall: () => void response.pause(),
    close: () => void outgoing.destroy(),
  };
}
