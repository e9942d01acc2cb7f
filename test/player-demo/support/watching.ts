/** A watch in a world that the test makes: its server, its connections, its clock. */
import type { Opening } from '../../../player-demo/src/opening.ts';
import { Problem } from '../../../player-demo/src/problems.ts';
import type { ReadyProof, SignedRequest } from '../../../player-demo/src/signed-fetch.ts';
import {
  createWatch,
  type TicketTerms,
  type WatchOptions,
  type WatchState,
} from '../../../player-demo/src/watch.ts';
import { ANSWER_SDP, FakePeerConnection } from './fake-webrtc.ts';
import { NOW_MS, WHEP } from './shop.ts';

type Answer = string | Problem | Response | object;

export const created = (headers: Record<string, string> = {}): Response =>
  new Response(ANSWER_SDP, { status: 201, headers: { location: '/whep/live/demo/session-1', ...headers } });
export const running = [{ session: 'session-id-1', seq: 0, mediaMs: 1000, bytes: 5000, reason: null }];
export const ended = (reason: string): object[] => [
  ...running,
  { session: 'session-id-1', seq: 1, mediaMs: 2000, bytes: 9000, reason },
];

/** An opening with a certificate of that fingerprint and a proof; with `null` the browser makes the certificate. */
export function openingOf(fingerprint: string | null): Opening {
  const attempt = crypto.randomUUID();
  if (fingerprint === null) return { attempt, own: Promise.resolve(null), proof: Promise.resolve(null) };
  const certificate: RTCCertificate = { expires: 0, getFingerprints: () => [] };
  return {
    attempt,
    own: Promise.resolve({ certificate, fingerprint }),
    proof: Promise.resolve({
      text: 'ready',
      binding: { attempt, fingerprint },
      ticket: 'ticket',
      nonceAtMs: NOW_MS,
    }),
  };
}

export const TERMS: TicketTerms = {
  expiresAtSeconds: NOW_MS / 1000 + 3600,
  allowedSeconds: null,
  mayReconnect: true,
};

/** A watch whose server answers POSTs and GETs from two lists: a code refuses, an object is the JSON body. */
export function setUp(
  posts: Answer[],
  gets: Answer[] = [],
  { terms = {}, ...overrides }: Partial<Omit<WatchOptions, 'terms'>> & { terms?: Partial<TicketTerms> } = {},
) {
  const used: string[] = [];
  const sent: SignedRequest[] = [];
  const proofs: (ReadyProof | null | undefined)[] = [];
  const states: WatchState[] = [];
  const waits: number[] = [];
  const certificates: (RTCCertificate | null)[] = [];
  const connections: FakePeerConnection[] = [];
  const beacons: { url: string; init: RequestInit }[] = [];
  const listeners = new Set<() => void>();

  const watch = createWatch({
    endpoint: WHEP,
    terms: { ...TERMS, ...terms },
    openings: { take: () => openingOf(null) },
    nowMs: () => NOW_MS,
    explainEnd: async () => null,
    onStream: () => undefined,
    onState(state) {
      states.push(state);
      for (const listener of listeners) listener();
    },
    waitMs: async (ms) => void waits.push(ms),
    createStream: () => ({ addTrack: () => undefined }) as unknown as MediaStream,
    createPeerConnection(certificate) {
      const connection = new FakePeerConnection();
      certificates.push(certificate);
      connections.push(connection);
      return connection as unknown as RTCPeerConnection;
    },
    fetch: async (url, init) => {
      beacons.push({ url: new Request(url).url, init: init ?? {} });
      return new Response(null, { status: 200 });
    },
    signed: {
      use: (ticket) => void used.push(ticket),
      prepare: async ({ method, url }) => ({ url, init: { method, headers: { dpop: 'proof' } } }),
      async send(request, _signal, ready) {
        sent.push(request);
        if (request.method === 'POST') proofs.push(ready);
        if (request.method === 'DELETE') return new Response(null, { status: 200 });
        const answer = (request.method === 'POST' ? posts : gets).shift();
        if (answer === undefined) throw new Error(`one ${request.method} too many`);
        if (typeof answer === 'string') throw new Problem(answer);
        if (answer instanceof Problem) throw answer;
        return answer instanceof Response ? answer : Response.json(answer);
      },
    },
    ...overrides,
  });

  /** Resolves when the newest state is this one. */
  function reach(phase: WatchState['phase'], code?: string): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        const state = states.at(-1);
        if (state?.phase !== phase || (code !== undefined && (!('code' in state) || state.code !== code)))
          return;
        listeners.delete(look);
        resolve();
      };
      listeners.add(look);
      look();
    });
  }

  const drop = (): void => connections.at(-1)?.become('failed');
  return { watch, sent, used, proofs, states, waits, certificates, connections, beacons, reach, drop };
}

export const methods = (sent: readonly SignedRequest[]): string[] => sent.map(({ method }) => method);
