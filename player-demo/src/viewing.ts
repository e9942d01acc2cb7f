import { createSignedFetch, type SignedFetch } from './signed-fetch.ts';
import type { StoredTicket } from './store.ts';
import { createWatch, type Watch, type WatchOptions } from './watch.ts';

export interface Viewing {
  readonly watch: Watch;
  readonly warmUp: () => Promise<void>;
}

/** A watch of a stored ticket, with the browser's own fetch, clock and WebRTC. */
export function createViewing(
  ticket: StoredTicket,
  listeners: Pick<WatchOptions, 'onState' | 'onStream' | 'explainEnd'>,
): Viewing {
  const common = { fetch: fetch.bind(globalThis), nowMs: () => Date.now() };
  const signed: SignedFetch = createSignedFetch({ ...common, ticket: ticket.ticket, keys: ticket.keys });
  const watch = createWatch({
    ...common,
    ...listeners,
    signed,
    endpoint: ticket.endpoint,
    expiresAtSeconds: ticket.expiresAtSeconds,
    mayReconnect: !ticket.countsAccesses,
    createPeerConnection: () => new RTCPeerConnection({ bundlePolicy: 'max-bundle' }),
    createStream: () => new MediaStream(),
    waitMs,
  });
  return { watch, warmUp: () => signed.warmUp(ticket.endpoint) };
}

/** Resolves after `ms`, or at once when `signal` aborts. */
export function waitMs(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const finish = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    signal.addEventListener('abort', finish);
    if (signal.aborted) finish();
  });
}
