/**
 * A small WHEP server that does everything that the draft asks, without media. It has a hook behind every reply, so that
 * it can be broken in one place at a time.
 */
import { randomBytes } from 'node:crypto';

/** What is answered, before it becomes a Response. */
export interface Plan {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** Every kind of reply that the server gives. */
export type Moment =
  | 'endpoint options'
  | 'endpoint get'
  | 'wrong type'
  | 'malformed offer'
  | 'no token'
  | 'offer'
  | 'sendrecv offer'
  | 'session options'
  | 'session get'
  | 'patch wrong type'
  | 'patch malformed'
  | 'untagged'
  | 'outdated'
  | 'trickle'
  | 'odd candidates'
  | 'restart'
  | 'counter answer'
  | 'malformed counter answer'
  | 'events'
  | 'delete'
  | 'gone';

export type Hooks = Partial<Record<Moment, (plan: Plan) => Plan>>;

export interface ServerOptions {
  readonly hooks?: Hooks;
  /** Asks for this bearer token. */
  readonly token?: string;
  readonly trickle?: boolean;
  readonly restart?: boolean;
  /** Answers no offer, but makes one of its own. */
  readonly counters?: boolean;
  /** `If-Match` of DELETE counts, as it must not. */
  readonly deletesByTag?: boolean;
  /** A restart that fails takes the session with it, as it must not. */
  readonly dropsOnRestart?: boolean;
  /** DELETE says yes and does nothing. */
  readonly keepsSessions?: boolean;
  /** A restart leaves the entity-tag as it is. */
  readonly keepsTag?: boolean;
  readonly sessionId?: () => string;
}

export interface TestServer {
  fetch(request: Request): Promise<Response>;
  /** Sessions that nobody ended. */
  open(): number;
  /** How many sessions there ever were. */
  opened(): number;
}

const FRAGMENT = 'application/trickle-ice-sdpfrag';
export const CORS = {
  'access-control-allow-origin': '*',
  'access-control-expose-headers': 'Location, ETag, Link',
};
const PREFLIGHT = {
  'access-control-allow-methods': 'POST, PATCH, DELETE',
  'access-control-allow-headers': 'Authorization, Content-Type, If-Match',
};

const FINGERPRINT = `a=fingerprint:sha-256 ${Array.from({ length: 32 }, () => 'AB').join(':')}`;

const section = (kind: string, mid: number, format: string, codec: string, own: string[]): string[] => [
  `m=${kind} 9 UDP/TLS/RTP/SAVPF ${format}`,
  'c=IN IP4 0.0.0.0',
  `a=mid:${mid}`,
  'a=sendonly',
  'a=ice-ufrag:srv1',
  'a=ice-pwd:passwordpasswordpassword',
  FINGERPRINT,
  ...own,
  'a=rtcp-mux',
  'a=rtcp-mux-only',
  `a=rtpmap:${format} ${codec}`,
  `a=msid:stream track${mid}`,
];

function description(setup: string): string {
  const candidate = 'a=candidate:1 1 udp 2130706431 192.0.2.2 4002 typ host';
  return [
    ...['v=0', 'o=- 1 1 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=group:BUNDLE 0 1', 'a=ice-lite'],
    'a=ice-options:ice2',
    ...section('audio', 0, '111', 'opus/48000/2', [candidate, `a=setup:${setup}`]),
    ...section('video', 1, '96', 'VP8/90000', [`a=setup:${setup}`]),
    '',
  ].join('\r\n');
}

const restarted = (ufrag: string): string =>
  [
    'a=ice-lite',
    'a=ice-options:ice2',
    `a=ice-ufrag:${ufrag}`,
    'a=ice-pwd:newpasswordnewpasswordnew',
    '',
  ].join('\r\n');

interface Session {
  ufrag: string;
  tag: number;
  restarts: number;
}

/** Makes the server; its endpoint is `/whep`. */
export function createTestServer(options: ServerOptions = {}): TestServer {
  const { hooks = {}, token, trickle = true, restart = true, counters = false } = options;
  const { sessionId = () => randomBytes(16).toString('hex') } = options;
  const sessions = new Map<string, Session>();
  let opened = 0;

  const plan = (status: number, headers: Record<string, string> = {}, body = ''): Plan => ({
    status,
    headers: { ...CORS, ...headers },
    body,
  });

  function offer(request: Request, body: string): [Moment, Plan] {
    const type = request.headers.get('content-type');
    if (type !== 'application/sdp') return ['wrong type', plan(415)];
    if (!body.includes('\nm=')) return ['malformed offer', plan(400)];
    const id = sessionId();
    const ufrag = /a=ice-ufrag:(.*)\r\n/.exec(body)?.[1] ?? '';
    const moment = body.includes('a=sendrecv') ? 'sendrecv offer' : 'offer';
    const headers = { 'content-type': 'application/sdp', location: `/session/${id}` };
    const answer = counters
      ? plan(406, headers, description('actpass'))
      : plan(201, { ...headers, etag: '"ice-0"' }, description('passive'));
    const made = hooks[moment]?.(answer) ?? answer;
    if (made.status < 300 || made.status === 406) {
      sessions.set(id, { ufrag, tag: 0, restarts: 0 });
      opened += 1;
    }
    return [moment, made];
  }

  function patch(request: Request, body: string, id: string, session: Session): [Moment, Plan] {
    const type = request.headers.get('content-type');
    if (counters && type === 'application/sdp') {
      return body.includes('\nm=') ? ['counter answer', plan(204)] : ['malformed counter answer', plan(400)];
    }
    if (type !== FRAGMENT) return ['patch wrong type', plan(415)];
    if (!body.startsWith('a=')) return ['patch malformed', plan(400)];
    const ufrag = /a=ice-ufrag:(.*)\r\n/.exec(body)?.[1] ?? '';
    const isRestart = ufrag !== session.ufrag;
    const match = request.headers.get('if-match');
    if (match === null && !counters) return ['untagged', plan(428)];
    if (match !== '*' && match !== `"ice-${session.tag}"` && !counters) return ['outdated', plan(412)];
    if (!(isRestart ? restart : trickle)) {
      if (options.dropsOnRestart === true) sessions.delete(id);
      return [isRestart ? 'restart' : 'trickle', plan(trickle || restart ? 422 : 405)];
    }
    if (!isRestart) return [body.includes('.invalid') ? 'odd candidates' : 'trickle', plan(204)];
    session.ufrag = ufrag;
    session.restarts += 1;
    if (options.keepsTag !== true) session.tag += 1;
    const headers = { 'content-type': FRAGMENT, etag: `"ice-${session.tag}"` };
    return ['restart', plan(200, headers, restarted(`srv${session.restarts + 1}`))];
  }

  function route(request: Request, body: string): [Moment, Plan] {
    const { pathname } = new URL(request.url);
    const isEndpoint = pathname === '/whep';
    if (request.method === 'OPTIONS') {
      const accept = isEndpoint ? { 'accept-post': 'application/sdp' } : {};
      return [isEndpoint ? 'endpoint options' : 'session options', plan(200, { ...PREFLIGHT, ...accept })];
    }
    if (request.method === 'GET') return [isEndpoint ? 'endpoint get' : 'session get', plan(204)];
    if (token !== undefined && request.headers.get('authorization') !== `Bearer ${token}`) {
      return ['no token', plan(401, { 'www-authenticate': 'Bearer' })];
    }
    if (isEndpoint) return offer(request, body);
    const [, , id = '', part] = pathname.split('/');
    const session = sessions.get(id);
    if (session === undefined) return ['gone', plan(404)];
    if (part === 'events') return ['events', plan(201, { location: `${pathname}/1` })];
    if (request.method === 'PATCH') return patch(request, body, id, session);
    const tag = request.headers.get('if-match');
    if (options.deletesByTag === true && tag !== null) return ['delete', plan(412)];
    const made = hooks.delete?.(plan(200)) ?? plan(200);
    if (made.status === 200 && options.keepsSessions !== true) sessions.delete(id);
    return ['delete', plan(200)];
  }

  return {
    async fetch(request) {
      const [moment, made] = route(request, await request.text());
      const isHooked = !['offer', 'sendrecv offer'].includes(moment);
      const { status, headers, body } = (isHooked ? hooks[moment]?.(made) : undefined) ?? made;
      return new Response(body === '' ? null : body, { status, headers });
    },
    open: () => sessions.size,
    opened: () => opened,
  };
}
