import type { OrderKeys } from './keys.ts';
import { isFresh, type Nonces } from './nonces.ts';
import { Problem, readProblem } from './problems.ts';
import { makeProof, type Binding } from './proof.ts';

export interface SignedRequest {
  readonly method: 'POST' | 'GET' | 'DELETE';
  readonly url: string;
  /** The body: a session description, or JSON. */
  readonly sdp?: string;
  readonly json?: object;
  readonly binding?: Binding;
  /** In the name of another ticket of the same key. */
  readonly ticket?: string;
}

/** A proof made before its request, with a nonce. Good for one request with the same method, URL and binding. */
export interface ReadyProof {
  readonly text: string;
  readonly binding: Binding;
  /** What it was made for. */
  readonly ticket: string;
  /** When its nonce came. */
  readonly nonceAtMs: number;
}

/** A request with its proof already made, for the moment in which nothing asynchronous runs any more. */
export interface PreparedRequest {
  readonly url: string;
  readonly init: RequestInit;
}

/** Requests to a streaming server in the name of one ticket. */
export interface SignedFetch {
  /**
   * Uses `ready` for the proof if it is fresh still; a proof whose nonce is refused is made anew, once.
   * @throws Problem for every answer that is no success; `network` when there is no answer.
   */
  send(request: SignedRequest, signal?: AbortSignal, ready?: ReadyProof | null): Promise<Response>;
  prepare(request: SignedRequest): Promise<PreparedRequest>;
  /** Makes the proof of an opening request in advance; `null` without a fresh nonce. */
  prove(request: SignedRequest & { readonly binding: Binding }): Promise<ReadyProof | null>;
  /** Gets a nonce unless there is one younger than `maxAgeMs`. Never throws. */
  refreshNonce(url: string, maxAgeMs: number): Promise<void>;
  /** From now on requests are in the name of this ticket, which is of the same key. */
  use(ticket: string): void;
}

export interface SignedFetchOptions {
  readonly ticket: string;
  readonly keys: Pick<OrderKeys, 'proofAlg' | 'proofPrivateKey' | 'proofJwk'>;
  /** One streaming server per ticket endpoint, so one current nonce (RFC 9449 section 8.2). */
  readonly nonces: Nonces;
  readonly fetch: typeof fetch;
  readonly nowMs: () => number;
}

export function createSignedFetch(options: SignedFetchOptions): SignedFetch {
  const { nonces, nowMs } = options;
  let current = options.ticket;

  function sign({ method, url, binding, ticket = current }: SignedRequest): Promise<string> {
    return makeProof(options.keys, {
      method,
      url,
      ticket,
      nonce: nonces.latest?.text ?? null,
      nowSeconds: Math.floor(nowMs() / 1000),
      ...(binding === undefined ? {} : { binding }),
    });
  }

  function withProof(
    { method, url, sdp, json, ticket = current }: SignedRequest,
    proof: string,
  ): PreparedRequest {
    const headers: Record<string, string> = { authorization: `DPoP ${ticket}`, dpop: proof };
    const body = sdp ?? (json === undefined ? undefined : JSON.stringify(json));
    if (body !== undefined)
      headers['content-type'] = sdp === undefined ? 'application/json' : 'application/sdp';
    return {
      url,
      init: {
        method,
        headers,
        credentials: 'omit',
        referrerPolicy: 'no-referrer',
        ...(body === undefined ? {} : { body }),
      },
    };
  }

  async function sendOnce(
    request: SignedRequest,
    signal: AbortSignal | undefined,
    ready?: ReadyProof | null,
  ): Promise<Response> {
    // It may go over to another ticket while it signs.
    const asked = { ticket: current, ...request };
    const isUsable =
      ready !== undefined &&
      ready !== null &&
      ready.ticket === asked.ticket &&
      isFresh(ready.nonceAtMs, nowMs());
    const { url, init } = withProof(asked, isUsable ? ready.text : await sign(asked));
    let response: Response;
    try {
      response = await options.fetch(url, signal === undefined ? init : { ...init, signal });
    } catch (cause) {
      throw new Problem('network', { cause });
    }
    nonces.keep(response);
    if (!response.ok) throw await readProblem(response);
    return response;
  }

  return {
    async prepare(request) {
      const asked = { ticket: current, ...request };
      return withProof(asked, await sign(asked));
    },
    async prove(request) {
      const nonce = nonces.latest;
      if (nonce === null || !isFresh(nonce.atMs, nowMs())) return null;
      const asked = { ticket: current, ...request };
      const { ticket, binding } = asked;
      return { text: await sign(asked), binding, ticket, nonceAtMs: nonce.atMs };
    },
    refreshNonce: nonces.refresh,
    use(ticket) {
      current = ticket;
    },
    async send(request, signal, ready) {
      try {
        return await sendOnce(request, signal, ready);
      } catch (error) {
        // The answer carried the nonce that was missing or too old.
        if (error instanceof Problem && error.code === 'proof_nonce_required')
          return sendOnce(request, signal);
        throw error;
      }
    },
  };
}
