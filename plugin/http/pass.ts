/**
 * `POST /pass`: ticket and proof in header fields against a pass, for players that take only a URL. A web handler, so
 * that it mounts beside WHEP as well as in front of a host's own listener. It decides nothing: the gate does.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { streamPathSchema } from '../contract.ts';
import { Denial } from '../errors.ts';
import type { Gate } from '../gate.ts';
import type { Log } from '../ports.ts';
import type { PlayEndpoints } from '../public-urls.ts';
import { readText, requireContentType } from './body.ts';
import type { CorsOrigins } from './cors.ts';
import { readCredentials } from './credentials.ts';
import { answer, methodNotAllowed, optionsReply } from './endpoint.ts';

export interface PassDeskOptions {
  readonly gate: Pick<Gate, 'mintPass' | 'nonce'>;
  /** Base as viewers see it; may have a path. Proofs are checked against it and `/pass`, never against Host. */
  readonly publicUrl: URL;
  /** Where a stream can be played with a pass. */
  readonly endpoints: (uri: string) => PlayEndpoints;
  readonly log: Log;
  /** Pages that may call; default `*`. */
  readonly corsOrigins?: CorsOrigins;
  /** Milliseconds for a request's body; default 10,000. */
  readonly bodyDeadlineMs?: number;
}

/** Who asks, as the listener sees it. */
export interface PassClient {
  /** Address of the client. */
  readonly peer: string;
  /** True when what is answered is encrypted on its way, or never leaves this machine (`clientOf` in peer.ts). */
  readonly confidential: boolean;
}

export interface PassDesk {
  /** Answers every request; never rejects. */
  fetch(request: Request, client: PassClient): Promise<Response>;
}

const MAX_BODY_BYTES = 1024;
const JSON_TYPE = 'application/json';
const METHODS = 'POST, OPTIONS';
const bodySchema = z.strictObject({ uri: streamPathSchema });

function parseUri(text: string): string {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new Denial('request_malformed', { detail: 'the body is no JSON', cause });
  }
  const body = bodySchema.safeParse(json);
  if (!body.success) throw new Denial('request_malformed', { detail: 'expected {"uri": <stream path>}' });
  return body.data.uri;
}

/** Makes the handler. */
export function createPassDesk(options: PassDeskOptions): PassDesk {
  const { gate, publicUrl, endpoints, log, corsOrigins = '*', bodyDeadlineMs = 10_000 } = options;
  const path = `${publicUrl.pathname.replace(/\/$/, '')}/pass`;
  const endpoint = { nonce: () => gate.nonce(), corsOrigins, log };

  /** Every pass is 25 characters of base64url: it needs no escaping. */
  function urlsOf(uri: string, pass: string): Record<string, string> {
    const known = Object.entries(endpoints(uri)).filter((entry) => entry[1] !== undefined);
    return Object.fromEntries(known.map(([name, url]) => [name, `${String(url)}?pass=${pass}`]));
  }

  async function mint(request: Request, { peer, confidential }: PassClient): Promise<Response> {
    requireContentType(request, JSON_TYPE);
    const { authorization, proof } = readCredentials(request);
    // Without a ticket nothing will come of it: spare the reading.
    if (authorization === undefined) throw new Denial('ticket_missing');
    const body = await readText(request, MAX_BODY_BYTES, bodyDeadlineMs);
    const uri = parseUri(body);
    const { pass, expiresInSeconds } = await gate.mintPass({
      protocol: 'pass',
      uri,
      authorization,
      proof,
      method: request.method,
      url: publicUrl.origin + path,
      bodyHash: createHash('sha256').update(body).digest('base64url'),
      peer,
      confidential,
    });
    return Response.json({ pass, expiresIn: expiresInSeconds, urls: urlsOf(uri, pass) }, { status: 201 });
  }

  async function route(request: Request, client: PassClient): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    if (pathname !== path) throw new Denial('not_found');
    if (search !== '')
      throw new Denial('request_malformed', { detail: 'there are no query parameters here' });
    if (request.method === 'OPTIONS') return optionsReply(METHODS, { 'accept-post': JSON_TYPE });
    if (request.method !== 'POST') return methodNotAllowed(METHODS);
    return mint(request, client);
  }

  return { fetch: (request, client) => answer(endpoint, request, () => route(request, client)) };
}
