import { createNonces, type Nonces } from './nonces.ts';
import { createOpenings, makeCertificate, type OwnCertificate } from './opening.ts';
import { mintPass, type Pass } from './pass.ts';
import { createSignedFetch } from './signed-fetch.ts';
import type { StoredTicket } from './store.ts';
import { createWatch, type TicketTerms, type Watch, type WatchOptions } from './watch.ts';

export interface Viewing {
  readonly watch: Watch;
  readonly warmUp: () => Promise<void>;
  /** Addresses for other players. @throws Problem */
  readonly mintPass: () => Promise<Pass>;
}

/** What the player must know of a stored ticket. */
export function termsOf({ expiresAtSeconds, allowedSeconds, countsAccesses }: StoredTicket): TicketTerms {
  return { expiresAtSeconds, allowedSeconds: allowedSeconds ?? null, mayReconnect: !countsAccesses };
}

/** What a first viewing needs and what can be got while its ticket is still being bought. */
export interface HeadStart {
  readonly certificate: Promise<OwnCertificate | null>;
  readonly nonces: Nonces;
}

const common = { fetch: fetch.bind(globalThis), nowMs: () => Date.now() };

/** Begins with the certificate; the nonce can be asked for once the endpoint is known. */
export function beginHeadStart(): HeadStart {
  return { certificate: makeCertificate(), nonces: createNonces(common) };
}

/** A watch of a stored ticket, with the browser's own fetch, clock and WebRTC. */
export function createViewing(
  ticket: StoredTicket,
  listeners: Pick<WatchOptions, 'onState' | 'onStream' | 'explainEnd'>,
  headStart?: HeadStart,
): Viewing {
  const { endpoint, keys } = ticket;
  const nonces = headStart?.nonces ?? createNonces(common);
  const signed = createSignedFetch({ ...common, nonces, keys, ticket: ticket.ticket });
  const firstCertificate = headStart?.certificate;
  const openings = createOpenings({ ...common, endpoint, signed, makeCertificate, firstCertificate });
  const watch = createWatch({
    ...common,
    ...listeners,
    signed,
    openings,
    endpoint,
    terms: termsOf(ticket),
    createPeerConnection: (certificate) =>
      new RTCPeerConnection({
        bundlePolicy: 'max-bundle',
        ...(certificate === null ? {} : { certificates: [certificate] }),
      }),
    createStream: () => new MediaStream(),
    waitMs,
  });
  return {
    watch,
    warmUp: openings.warmUp,
    mintPass: () => mintPass(signed.send, endpoint, ticket.uri),
  };
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
