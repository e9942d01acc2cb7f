import type { OrderKeys } from './keys.ts';
import { Problem, readProblem } from './problems.ts';
import { makeProof, type Binding } from './proof.ts';

export interface SignedRequest {
  readonly method: 'POST' | 'GET' | 'DELETE';
  readonly url: string;
  readonly sdp?: string;
  readonly binding?: Binding;
}

/** A request with its proof already made, for the moment in which nothing asynchronous runs any more. */
export interface PreparedRequest {
  readonly url: string;
  readonly init: RequestInit;
}

/** Requests to a streaming server in the name of one ticket. */
export interface SignedFetch {
  /** @throws Problem for every answer that is no success; `network` when there is no answer. */
  send(request: SignedRequest, signal?: AbortSignal): Promise<Response>;
  prepare(request: SignedRequest): Promise<PreparedRequest>;
  /** Gets a nonce while nothing else is to do, so that opening a session takes one round trip. Never throws. */
  warmUp(url: string): Promise<void>;
}

export interface SignedFetchOptions {
  readonly ticket: string;
  readonly keys: Pick<OrderKeys, 'proofAlg' | 'proofPrivateKey' | 'proofJwk'>;
  readonly fetch: typeof fetch;
  readonly nowMs: () => number;
}

export function createSignedFetch(options: SignedFetchOptions): SignedFetch {
  // One streaming server per ticket endpoint, so one current nonce (RFC 9449 section 8.2).
  let nonce: string | null = null;

  function keepNonce(response: Response): void {
    nonce = response.headers.get('dpop-nonce') ?? nonce;
  }

  async function prepare({ method, url, sdp, binding }: SignedRequest): Promise<PreparedRequest> {
    const proof = await makeProof(options.keys, {
      method,
      url,
      ticket: options.ticket,
      nonce,
      nowSeconds: Math.floor(options.nowMs() / 1000),
      ...(binding === undefined ? {} : { binding }),
    });
    const headers: Record<string, string> = { authorization: `DPoP ${options.ticket}`, dpop: proof };
    if (sdp !== undefined) headers['content-type'] = 'application/sdp';
    return {
      url,
      init: {
        method,
        headers,
        credentials: 'omit',
        cache: 'no-store',
        referrerPolicy: 'no-referrer',
        ...(sdp === undefined ? {} : { body: sdp }),
      },
    };
  }

  async function sendOnce(request: SignedRequest, signal: AbortSignal | undefined): Promise<Response> {
    const { url, init } = await prepare(request);
    let response: Response;
    try {
      response = await options.fetch(url, signal === undefined ? init : { ...init, signal });
    } catch (cause) {
      throw new Problem('network', { cause });
    }
    keepNonce(response);
    if (!response.ok) throw await readProblem(response);
    return response;
  }

  return {
    prepare,
    async send(request, signal) {
      try {
        return await sendOnce(request, signal);
      } catch (error) {
        // The answer carried the nonce that was missing or too old.
        if (error instanceof Problem && error.code === 'proof_nonce_required')
          return sendOnce(request, signal);
        throw error;
      }
    },
    async warmUp(url) {
      try {
        // HEAD needs no preflight.
        keepNonce(await options.fetch(url, { method: 'HEAD', credentials: 'omit', cache: 'no-store' }));
      } catch {
        // The opening request will ask for one.
      }
    },
  };
}
