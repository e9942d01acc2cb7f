/** What the suite asks of a server, and what it heard. The checks judge it afterwards. */
import { isSuccess, locationOf, mediaType, type Reply, type Send } from './http.ts';
import { parseLinks, relationsOf } from './links.ts';
import {
  newFingerprint,
  newIce,
  readDescription,
  writeAnswer,
  writeFragment,
  writeOffer,
  type Description,
  type Ice,
} from './sdp.ts';

export const SDP = 'application/sdp';
export const FRAGMENT = 'application/trickle-ice-sdpfrag';
/** An entity-tag that no server gives. */
export const STALE_TAG = '"whep-check-stale"';
const EXTENSIONS = 'urn:ietf:params:whep:ext:';
const MAX_REDIRECTIONS = 3;

/** TEST-NET-1 (RFC 5737): whoever checks it finds nobody. */
const CANDIDATE = '1 1 udp 2122260223 192.0.2.1 61764 typ host';
/** A transport that nobody has, and a name that never resolves (RFC 6761 section 6.4). */
const ODD_CANDIDATES = [
  '2 1 sctp 2122260222 192.0.2.1 61765 typ host',
  '3 1 udp 2122260221 whep-check.invalid 61766 typ host',
];

export interface Offered {
  readonly sdp: string;
  readonly description: Description;
  readonly fingerprint: string;
  readonly ice: Ice;
}

export interface EndpointEvidence {
  readonly url: URL;
  readonly origin: string;
  readonly preflight: Reply;
  readonly options: Reply;
  readonly get: Reply;
  readonly wrongType: Reply;
  readonly malformed: Reply;
  /** A good offer without credentials; `null` when there are none to leave out. */
  readonly anonymous: Reply | null;
}

export interface Opening {
  readonly origin: string;
  readonly offered: Offered;
  /** Statuses of redirections on the way. */
  readonly redirections: readonly number[];
  /** The last reply to the offer. */
  readonly reply: Reply;
  readonly kind: 'answer' | 'counter-offer' | 'refusal';
  readonly session: URL | null;
  /** The server's answer or counter-offer. */
  readonly description: Description | null;
  /** How the answers to a counter-offer were taken. */
  readonly countered: { readonly malformed: Reply; readonly answer: Reply } | null;
  /** One's own last description: offer or answer. */
  readonly own: Description;
}

export interface SessionEvidence {
  readonly opening: Opening;
  readonly origin: string;
  /** The entity-tag that the opening gave. */
  readonly tag: string | null;
  readonly preflights: { readonly patch: Reply; readonly delete: Reply };
  readonly get: Reply;
  readonly wrongType: Reply;
  readonly malformed: Reply;
  readonly trickle: Reply;
  readonly odd: Reply;
  /** Without, and with an outdated, entity-tag; `null` when the server gave none. */
  readonly untagged: Reply | null;
  readonly stale: Reply | null;
  readonly restart: Reply;
  /** After the restart: with the tag of before; `null` when there was none, or no restart. */
  readonly outdated: Reply | null;
  /** After a restart that was refused: candidates for the ICE session of before. */
  readonly kept: Reply | null;
  /** The server-sent events extension, when offered. */
  readonly events: Reply | null;
}

export interface EndEvidence {
  readonly origin: string;
  readonly first: { readonly opening: Opening; readonly staleDelete: Reply; readonly afterwards: Reply };
  /** A second session, offered with sendrecv. */
  readonly second: { readonly opening: Opening; readonly deleted: Reply | null };
}

const ifMatch = (tag: string | null): Record<string, string> => (tag === null ? {} : { 'if-match': tag });

/** Everything that is asked, in order. Sessions opened on the way are remembered until they are ended. */
export class Prober {
  readonly #send: Send;
  readonly #url: URL;
  readonly #origin: string;
  /** Open sessions. */
  readonly #open = new Map<string, URL>();

  constructor(send: Send, url: URL, origin: string) {
    this.#send = send;
    this.#url = url;
    this.#origin = origin;
  }

  #preflight(url: URL, method: string, headers: string): Promise<Reply> {
    const asked = { 'access-control-request-method': method, 'access-control-request-headers': headers };
    return this.#send({ method: 'OPTIONS', url, headers: asked });
  }

  async #offer(direction: 'recvonly' | 'sendrecv'): Promise<Offered> {
    const ice = newIce();
    const fingerprint = await newFingerprint();
    const sdp = writeOffer(ice, fingerprint, direction);
    const description = readDescription(sdp);
    if (description === null) throw new TypeError('the offer is none');
    return { sdp, description, fingerprint, ice };
  }

  async #post(
    body: string,
    type: string,
    more: { url?: URL; fingerprint?: string; anonymous?: boolean } = {},
  ): Promise<Reply> {
    const { url = this.#url, ...rest } = more;
    const reply = await this.#send({ method: 'POST', url, headers: { 'content-type': type }, body, ...rest });
    const session = locationOf(reply, url);
    if (session !== null && (isSuccess(reply) || reply.status === 406)) this.#open.set(session.href, session);
    return reply;
  }

  /** The endpoint, without opening a session if all is well. */
  async askEndpoint(hasCredentials: boolean): Promise<EndpointEvidence> {
    const url = this.#url;
    const preflight = await this.#preflight(url, 'POST', 'authorization,content-type');
    const options = await this.#send({ method: 'OPTIONS', url });
    const get = await this.#send({ method: 'GET', url });
    const { sdp, fingerprint } = await this.#offer('recvonly');
    const wrongType = await this.#post(sdp, 'text/plain', { fingerprint });
    const malformed = await this.#post('v=0\r\nthis is no description\r\n', SDP);
    const anonymous = hasCredentials ? await this.#post(sdp, SDP, { anonymous: true }) : null;
    await this.endAll();
    return { url, origin: this.#origin, preflight, options, get, wrongType, malformed, anonymous };
  }

  /** Opens a session: redirections are followed, a counter-offer is answered. */
  async openSession(direction: 'recvonly' | 'sendrecv'): Promise<Opening> {
    const offered = await this.#offer(direction);
    const { sdp, fingerprint } = offered;
    const redirections: number[] = [];
    let url = this.#url;
    let reply = await this.#post(sdp, SDP, { fingerprint });
    // Section 4.6: with 307 and 308 the method stays; others would turn POST into GET.
    while (reply.status === 307 || reply.status === 308) {
      redirections.push(reply.status);
      const target = locationOf(reply, url);
      if (target === null || redirections.length > MAX_REDIRECTIONS) break;
      url = target;
      reply = await this.#post(sdp, SDP, { url, fingerprint });
    }
    const counters = reply.status === 406 && mediaType(reply) === SDP;
    const kind = counters ? 'counter-offer' : isSuccess(reply) ? 'answer' : 'refusal';
    const session = kind === 'refusal' ? null : locationOf(reply, url);
    const description = kind === 'refusal' ? null : readDescription(reply.body);
    const opening: Opening = {
      origin: this.#origin,
      offered,
      redirections,
      reply,
      kind,
      session,
      description,
      countered: null,
      own: offered.description,
    };
    const answers = kind === 'counter-offer' && session !== null && description !== null;
    return answers ? this.#answer(opening, session, description) : opening;
  }

  async #answer(opening: Opening, url: URL, offer: Description): Promise<Opening> {
    const headers = { 'content-type': SDP, ...ifMatch(opening.reply.headers.get('etag')) };
    const patch = (body: string): Promise<Reply> => this.#send({ method: 'PATCH', url, headers, body });
    const malformed = await patch('v=0\r\nthis is no description\r\n');
    const { ice, fingerprint } = opening.offered;
    const sdp = writeAnswer(offer, ice, fingerprint);
    const answer = await patch(sdp);
    return { ...opening, countered: { malformed, answer }, own: readDescription(sdp) ?? opening.own };
  }

  /** The session's URL: what is there, trickled candidates, an ICE restart. */
  async askSession(opening: Opening, url: URL): Promise<SessionEvidence> {
    const tag = opening.countered?.answer.headers.get('etag') ?? opening.reply.headers.get('etag');
    const patch = (body: string, headers: Record<string, string>): Promise<Reply> =>
      this.#send({ method: 'PATCH', url, headers: { 'content-type': FRAGMENT, ...headers }, body });
    const { ice } = opening.offered;
    const fragment = writeFragment(opening.own, ice, [CANDIDATE]);

    const preflights = {
      patch: await this.#preflight(url, 'PATCH', 'authorization,content-type,if-match'),
      delete: await this.#preflight(url, 'DELETE', 'authorization'),
    };
    const get = await this.#send({ method: 'GET', url });
    const wrongType = await patch(fragment, { ...ifMatch(tag), 'content-type': 'text/plain' });
    const malformed = await patch('this is no fragment\r\n', ifMatch(tag));
    const untagged = tag === null ? null : await patch(fragment, {});
    const stale = tag === null ? null : await patch(fragment, ifMatch(STALE_TAG));
    const trickle = await patch(fragment, ifMatch(tag));
    const odd = await patch(writeFragment(opening.own, ice, ODD_CANDIDATES), ifMatch(tag));
    const renewed = newIce();
    const restart = await patch(writeFragment(opening.own, renewed, [CANDIDATE]), ifMatch('*'));
    const restarted = isSuccess(restart);
    const late = writeFragment(opening.own, renewed, ODD_CANDIDATES);
    return {
      opening,
      origin: this.#origin,
      tag,
      preflights,
      get,
      wrongType,
      malformed,
      trickle,
      odd,
      untagged,
      stale,
      restart,
      outdated: restarted && tag !== null ? await patch(late, ifMatch(tag)) : null,
      kept: restarted ? null : await patch(fragment, ifMatch(tag)),
      events: await this.#askForEvents(opening, url),
    };
  }

  async #askForEvents({ reply }: Opening, session: URL): Promise<Reply | null> {
    const links = parseLinks(reply.headers.get('link') ?? '') ?? [];
    const offered = links.find((link) =>
      relationsOf(link).some((type) => type.startsWith(EXTENSIONS) && type.endsWith(':server-sent-events')),
    );
    if (offered === undefined || !URL.canParse(offered.target, session)) return null;
    const url = new URL(offered.target, session);
    if (url.origin !== session.origin) return null;
    const headers = { 'content-type': 'application/json' };
    return this.#send({ method: 'POST', url, headers, body: '["active","inactive"]' });
  }

  /** Ends the first session, and opens and ends a second one. */
  async askEnd(opening: Opening, url: URL): Promise<EndEvidence> {
    const staleDelete = await this.#end(url, { 'if-match': STALE_TAG });
    if (!isSuccess(staleDelete)) await this.#end(url);
    const afterwards = await this.#send({
      method: 'PATCH',
      url,
      headers: { 'content-type': FRAGMENT, 'if-match': '*' },
      body: writeFragment(opening.own, newIce(), [CANDIDATE]),
    });
    const second = await this.openSession('sendrecv');
    const deleted = second.session === null ? null : await this.#end(second.session);
    return {
      origin: this.#origin,
      first: { opening, staleDelete, afterwards },
      second: { opening: second, deleted },
    };
  }

  async #end(url: URL, headers: Record<string, string> = {}): Promise<Reply> {
    const reply = await this.#send({ method: 'DELETE', url, headers });
    if (isSuccess(reply)) this.#open.delete(url.href);
    return reply;
  }

  /** Ends what is still open; to be called last, whatever happened. */
  async endAll(): Promise<void> {
    for (const url of [...this.#open.values()]) await this.#end(url);
    this.#open.clear();
  }
}
