/**
 * WHEP (draft-ietf-wish-whep) for ticket holders, as a web handler: Request in, Response out, so that it mounts in any
 * server. It decides nothing: the gate admits, the stage plays.
 */
import { createHash } from 'node:crypto';
import type { EndReason, Receipt } from '../contract.ts';
import { Denial } from '../errors.ts';
import type { Gate } from '../gate.ts';
import { readText, requireContentType } from '../http/body.ts';
import type { CorsOrigins } from '../http/cors.ts';
import { readCredentials } from '../http/credentials.ts';
import { answer, methodNotAllowed, optionsReply } from '../http/endpoint.ts';
import type { IceServerLinks } from '../http/ice-servers.ts';
import { MAX_OFFER_BYTES, parseOffer, type Offer } from '../media/offer.ts';
import type { Clock, Log, Viewing } from '../ports.ts';
import type { SignedReceipts } from '../receipts/heads.ts';
import { isStreamPath, tierOf, type Tier } from '../rights/index.ts';
import type { Session } from '../session.ts';
import { createEndedSessions } from './whep/ended.ts';
import { MAX_FRAGMENT_BYTES, parseFragment, writeFragment } from './whep/fragment.ts';

/** A viewer's media, as WHEP needs it. */
export interface WhepViewing extends Viewing {
  /** SDP. */
  readonly answer: string;
  restartIce(): Promise<{ ufrag: string; pwd: string }>;
  /** From now on these are the limits on what is sent; media goes on. */
  limit(tier: Tier): Promise<void>;
}

/** What WHEP asks of the stage. */
export interface WhepStage<V extends WhepViewing> {
  isLive(path: string): boolean;
  /** @throws Denial */
  view(path: string, offer: Offer, tier: Tier): Promise<V>;
}

/** What WHEP asks of the gate. */
export type WhepGate = Pick<Gate, 'admit' | 'prove' | 'readReceipts' | 'renew' | 'nonce'>;

export interface WhepOptions<V extends WhepViewing> {
  readonly gate: WhepGate;
  readonly stage: WhepStage<V>;
  /** Base of the streaming server as viewers see it; may have a path. Proofs are checked against it, never against Host. */
  readonly publicUrl: URL;
  readonly log: Log;
  readonly clock: Clock;
  /** STUN and TURN servers that admitted viewers are told of; default none. */
  readonly iceServers?: IceServerLinks;
  /** What goes with receipts, so that a viewer can prove them; default nothing. */
  readonly signReceipts?: (receipts: readonly Receipt[]) => SignedReceipts;
  /** Pages that may call; default `*`. */
  readonly corsOrigins?: CorsOrigins;
  /** Milliseconds for a request's body; default 10,000. */
  readonly bodyDeadlineMs?: number;
}

export interface Whep {
  /** Answers every request; never rejects. `peer` is the client's address. */
  fetch(request: Request, info: { readonly peer: string }): Promise<Response>;
}

interface Running<V extends WhepViewing> {
  readonly session: Session<V>;
  /** The client's current ICE user fragment: another one in a PATCH is a restart. */
  ufrag: string;
  restarts: number;
}

const SDP = 'application/sdp';
const FRAGMENT = 'application/trickle-ice-sdpfrag';
const SESSION_PATH = /^\/session\/([A-Za-z0-9_-]{16,128})(\/receipts|\/ticket)?$/;
/** By what follows the session's URL. */
const SESSION_METHODS: Readonly<Record<string, string>> = {
  '': 'GET, HEAD, PATCH, DELETE, OPTIONS',
  '/receipts': 'GET, OPTIONS',
  '/ticket': 'POST, OPTIONS',
};

/** About 150 bytes each. */
const REASONS_KEPT = { rememberMs: 600_000, max: 10_000 };
/** With up to 100 receipts each. */
const RECEIPTS_KEPT = { rememberMs: 60_000, max: 1000 };

const etagOf = ({ restarts }: Running<WhepViewing>): string => `"ice-${restarts}"`;

const isRead = ({ method }: Request): boolean => method === 'GET' || method === 'HEAD';

/** Makes the handler. */
export function createWhep<V extends WhepViewing>(options: WhepOptions<V>): Whep {
  const { gate, stage, publicUrl, log, clock, corsOrigins = '*', bodyDeadlineMs = 10_000 } = options;
  const { iceServers = () => [], signReceipts } = options;
  const base = publicUrl.pathname.replace(/\/$/, '');
  const running = new Map<string, Running<V>>();
  const reasons = createEndedSessions<EndReason>({ clock, ...REASONS_KEPT });
  const ended = createEndedSessions<Session>({ clock, ...RECEIPTS_KEPT });
  const endpoint = { nonce: () => gate.nonce(), corsOrigins, log };
  const absolute = (path: string): string => `${publicUrl.origin}${base}${path}`;

  /** Remembers a session until it ends; the repeated request of a lost reply finds it again. */
  async function remember(session: Session<V>, ufrag: string): Promise<Running<V>> {
    const known = running.get(session.token);
    if (known !== undefined) {
      if (known.ufrag === ufrag) return known;
      // Other media in the same session: another ICE session.
      known.ufrag = ufrag;
      known.restarts += 1;
      // They were opened for the ticket of then: it may have been renewed meanwhile.
      await session.viewing.limit(tierOf(session.grant));
      return known;
    }
    const entry: Running<V> = { session, ufrag, restarts: 0 };
    running.set(session.token, entry);
    void session.ended.then((reason) => {
      running.delete(session.token);
      reasons.note(session.token, reason);
      ended.note(session.token, session);
    });
    return entry;
  }

  async function play(request: Request, uri: string, peer: string): Promise<Response> {
    requireContentType(request, SDP);
    const { authorization, proof } = readCredentials(request);
    // Without a ticket nothing will come of it: spare the reading.
    if (authorization === undefined) throw new Denial('ticket_missing');
    const body = await readText(request, MAX_OFFER_BYTES, bodyDeadlineMs);
    const offer = parseOffer(body);
    const session = await gate.admit(
      {
        protocol: 'whep',
        uri,
        authorization,
        proof,
        method: request.method,
        url: absolute(`/whep${uri}`),
        fingerprint: offer.fingerprintText,
        bodyHash: createHash('sha256').update(body).digest('base64url'),
        peer,
        confidential: true, // DTLS-SRTP
      },
      { isLive: () => stage.isLive(uri), open: (grant) => stage.view(uri, offer, tierOf(grant)) },
    );
    const entry = await remember(session, offer.iceUfrag);
    const { expiresAtSeconds } = session.grant;
    const links = iceServers({ sessionId: session.id, expiresAtSeconds });
    return new Response(session.viewing.answer, {
      status: 201,
      headers: [
        ['content-type', SDP],
        ['location', absolute(`/session/${session.token}`)],
        ['etag', etagOf(entry)],
        ['accept-patch', FRAGMENT],
        ...links.map((link): [string, string] => ['link', link]),
      ],
    });
  }

  /** Trickled candidates and ICE restarts (draft-ietf-wish-whep section 4.4, RFC 9725 section 4.3). */
  async function patch(request: Request, entry: Running<V>): Promise<Response> {
    const ifMatch = request.headers.get('if-match')?.trim();
    if (ifMatch === undefined) throw new Denial('precondition_required');
    const fragment = parseFragment(await readText(request, MAX_FRAGMENT_BYTES, bodyDeadlineMs));
    // The drafts' own example writes the star in quotes.
    const matches = ['*', '"*"'].includes(ifMatch) || ifMatch.split(/\s*,\s*/).includes(etagOf(entry));
    if (!matches) throw new Denial('precondition_failed');
    if (fragment === undefined || fragment.ufrag === entry.ufrag) return new Response(null, { status: 204 });
    // A restart that fails leaves the ICE session as it was.
    const credentials = await entry.session.viewing.restartIce();
    entry.ufrag = fragment.ufrag;
    entry.restarts += 1;
    return new Response(writeFragment(entry.session.viewing.answer, credentials), {
      status: 200,
      headers: { 'content-type': FRAGMENT, etag: etagOf(entry) },
    });
  }

  /** Another ticket for the session: it goes on, and so does its media. There is no body. */
  async function renew(
    request: Request,
    { session }: Running<V>,
    path: string,
    peer: string,
  ): Promise<Response> {
    await readText(request, 0, bodyDeadlineMs);
    await gate.renew(session, {
      protocol: 'whep',
      ...readCredentials(request),
      method: request.method,
      url: absolute(path),
      peer,
      confidential: true,
    });
    const { grant, viewing } = session;
    await viewing.limit(tierOf(grant));
    return Response.json({ session: session.id, expiresAt: grant.expiresAtSeconds });
  }

  /** The last receipt is there when it has reached the disk. */
  async function readReceipts(request: Request, session: Session, path: string): Promise<Response> {
    const receipts = await gate.readReceipts(session, {
      ...readCredentials(request),
      method: request.method,
      url: absolute(path),
    });
    return Response.json({ receipts, ...(receipts.length === 0 ? {} : signReceipts?.(receipts)) });
  }

  async function control(
    request: Request,
    { path, token, part }: { readonly path: string; readonly token: string; readonly part: string },
    peer: string,
  ): Promise<Response> {
    const methods = SESSION_METHODS[part] ?? '';
    const accept = part === '' ? { 'accept-patch': FRAGMENT } : {};
    if (request.method === 'OPTIONS') return optionsReply(methods, accept);
    if (!methods.split(', ').includes(request.method)) return methodNotAllowed(methods);
    const entry = running.get(token);
    const known = entry?.session ?? ended.find(token);
    if (part === '/receipts' && known !== undefined) return readReceipts(request, known, path);
    if (entry === undefined) {
      const reason = reasons.find(token);
      throw new Denial('session_ended', reason === undefined ? {} : { reason });
    }
    if (part === '/ticket') return renew(request, entry, path, peer);
    if (part === '' && isRead(request)) {
      if (entry.session.isMediaLost()) throw new Denial('media_lost');
      return empty(methods);
    }
    if (request.method === 'PATCH') requireContentType(request, FRAGMENT);
    const { session } = entry;
    await gate.prove(session, { ...readCredentials(request), method: request.method, url: absolute(path) });
    if (request.method === 'PATCH') {
      if (session.isMediaLost()) throw new Denial('media_lost');
      return patch(request, entry);
    }
    await session.end('viewer_left');
    return new Response(null, { status: 200 });
  }

  /** There is no representation to read: success without content (draft-ietf-wish-whep section 4.1). */
  function empty(methods: string): Response {
    return new Response(null, { status: 204, headers: { allow: methods } });
  }

  async function route(request: Request, peer: string): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    if (base !== '' && !pathname.startsWith(`${base}/`)) throw new Denial('not_found');
    const path = pathname.slice(base.length);
    const uri = path.startsWith('/whep/') ? path.slice('/whep'.length) : undefined;
    const [, token, part = ''] = SESSION_PATH.exec(path) ?? [];
    if (uri === undefined && token === undefined) throw new Denial('not_found');
    if (search !== '')
      throw new Denial('request_malformed', { detail: 'there are no query parameters here' });
    if (token !== undefined) return control(request, { path, token, part }, peer);
    if (uri === undefined || !isStreamPath(uri)) throw new Denial('not_found');
    const methods = 'GET, HEAD, POST, OPTIONS';
    if (request.method === 'OPTIONS') return optionsReply(methods, { 'accept-post': SDP });
    if (isRead(request)) return empty(methods);
    if (request.method !== 'POST') return methodNotAllowed(methods);
    return play(request, uri, peer);
  }

  return {
    async fetch(request, { peer }) {
      const startedMs = clock.monotonicMs();
      const response = await answer(endpoint, request, () => route(request, peer));
      const tookMs = clock.monotonicMs() - startedMs;
      log.debug({ method: request.method, status: response.status, tookMs }, 'WHEP request');
      return response;
    },
  };
}
