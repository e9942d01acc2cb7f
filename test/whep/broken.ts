/** Servers that are right in more than one way, and servers that are wrong in one place each. */
import { bearer, type Credentials } from '../../admin/cli/whep-check/credentials.ts';
import type { Hooks, Plan, ServerOptions } from './server.ts';

export interface Asked {
  readonly server?: ServerOptions;
  readonly credentials?: Credentials;
  readonly url?: string;
  readonly fetch?: (request: Request) => Promise<Response>;
}

/** Changes to one reply. */
const status =
  (value: number) =>
  (plan: Plan): Plan => ({ ...plan, status: value });
const header =
  (name: string, value: string) =>
  (plan: Plan): Plan => ({ ...plan, headers: { ...plan.headers, [name]: value } });
const without =
  (name: string) =>
  (plan: Plan): Plan => ({
    ...plan,
    headers: Object.fromEntries(Object.entries(plan.headers).filter(([key]) => key !== name)),
  });
const body =
  (change: (text: string) => string) =>
  (plan: Plan): Plan => ({ ...plan, body: change(plan.body) });
const replace = (from: string | RegExp, to: string): ((plan: Plan) => Plan) =>
  body((text) => text.replace(from, to));
const replaceAll = (from: string, to: string): ((plan: Plan) => Plan) =>
  body((text) => text.replaceAll(from, to));

/** The same change to both sessions' answers. */
const answers = (hook: (plan: Plan) => Plan): ServerOptions => ({
  hooks: { offer: hook, 'sendrecv offer': hook },
});
export const at = (hooks: Hooks, more: ServerOptions = {}): ServerOptions => ({ ...more, hooks });

export const TOKEN = 'token-1';
const EVENTS = '<events>; rel="urn:ietf:params:whep:ext:core:server-sent-events"; events="active"';
/** A server that names its event stream below the session's URL. */
const withEvents = (more: Hooks = {}): ServerOptions => {
  const id = '0123456789abcdef0123456789abcdef';
  const ids = [id, 'fedcba9876543210fedcba9876543210'];
  return at(
    { offer: header('link', EVENTS.replace('<events>', `</session/${id}/events>`)), ...more },
    { sessionId: () => ids.shift() ?? '' },
  );
};

export const COUNTERS: ServerOptions = { counters: true };
const valid = header('content-type', 'application/sdp; valid-until="Wed, 09 Oct 2024 10:00:00 GMT"');
const counter = (hook: (plan: Plan) => Plan): ServerOptions => at({ offer: hook }, COUNTERS);
const bearing = (server: ServerOptions): Asked => ({
  server: { ...server, token: TOKEN },
  credentials: bearer(TOKEN),
});

/** [what is wrong, the server, the checks that must see it]; nothing else may fail. */
export const BROKEN: [string, Asked | ServerOptions, string[]][] = [
  ['is reached by plain HTTP', { url: 'http://whep.example/whep' }, ['https']],
  ['has no preflight', at({ 'endpoint options': status(405) }), ['preflight', 'accept-post']],
  [
    'wants a token for the preflight',
    at({ 'endpoint options': (plan) => ({ ...plan, status: 401 }) }),
    ['preflight', 'accept-post'],
  ],
  [
    'lets only other pages in',
    at({ 'endpoint options': header('access-control-allow-origin', 'https://other.example') }),
    ['preflight'],
  ],
  [
    'allows any header field, which leaves out Authorization',
    at({ 'endpoint options': header('access-control-allow-headers', '*') }),
    ['preflight'],
  ],
  ['does not say what to post', at({ 'endpoint options': without('accept-post') }), ['accept-post']],
  ['has no GET', at({ 'endpoint get': status(405) }), ['endpoint-get']],
  [
    'has something to read',
    at({ 'endpoint get': (p) => ({ ...p, status: 200, body: 'x' }) }),
    ['endpoint-get'],
  ],
  ['takes any content type', at({ 'wrong type': status(200) }), ['post-type']],
  ['fails at a malformed offer', at({ 'malformed offer': status(500) }), ['post-malformed']],
  ['refuses without a challenge', bearing(at({ 'no token': without('www-authenticate') })), ['challenge']],
  [
    'redirects with 301',
    at({ offer: (plan) => ({ ...plan, status: 301, headers: { location: '/elsewhere' } }) }),
    ['redirection', 'created'],
  ],
  ['answers 200', answers(status(200)), ['created']],
  ['fails at every offer', at({ offer: status(500) }), ['created']],
  ['is off air and does not say until when', at({ offer: status(409) }), ['off-air']],
  ['keeps the session to itself', answers(without('location')), ['location']],
  ['leads from HTTPS to HTTP', answers(header('location', 'http://whep.example/session/1')), ['location']],
  ['answers something else', answers(header('content-type', 'text/plain')), ['answer']],
  ['answers no description', answers(body(() => 'hello')), ['answer']],
  ['hides the session from pages', answers(header('access-control-expose-headers', 'ETag')), ['exposed']],
  ['is closed to pages', answers(without('access-control-allow-origin')), ['exposed']],
  [
    'hides its links',
    answers((p) =>
      header(
        'link',
        '<stun:s.example>; rel="ice-server"',
      )(header('access-control-expose-headers', 'Location, ETag')(p)),
    ),
    ['exposed'],
  ],
  [
    'names TURN without an account',
    answers(header('link', '<turn:t.example>; rel="ice-server"; username="u"')),
    ['ice-servers'],
  ],
  [
    'names a web page for TURN',
    answers(header('link', '<https://t.example>; rel="ice-server"')),
    ['ice-servers'],
  ],
  ['has a malformed Link', answers(header('link', 'turn:t.example')), ['ice-servers', 'extensions']],
  [
    'names an extension of WHIP',
    answers(header('link', '</x>; rel="urn:ietf:params:whip:ext:x"')),
    ['extensions'],
  ],
  ['counters without a description', counter(body(() => '')), ['counter-offer']],
  ['counters without a session', counter(without('location')), ['counter-offer']],
  [
    'counters until a number',
    counter(header('content-type', 'application/sdp; valid-until=30')),
    ['valid-until'],
  ],
  ['counters with recvonly', counter(replaceAll('a=sendonly', 'a=recvonly')), ['counter-offer-direction']],
  [
    'takes any answer',
    at({ 'malformed counter answer': status(204) }, COUNTERS),
    ['counter-answer-malformed'],
  ],
  ['takes answers with 200', at({ 'counter answer': status(200) }, COUNTERS), ['counter-answer']],
  [
    'leaves a section out',
    answers(body((text) => text.slice(0, text.indexOf('m=video')))),
    ['answer-sections'],
  ],
  ['renames a section', answers(replace('a=mid:1', 'a=mid:v')), ['answer-sections', 'bundle']],
  ['has a codec that nobody offered', answers(replace('SAVPF 96', 'SAVPF 120')), ['answer-formats']],
  ['has no fingerprint', answers(replaceAll('a=fingerprint', 'a=x-fingerprint')), ['answer-dtls']],
  ['leaves the DTLS role open', answers(replaceAll('a=setup:passive', 'a=setup:actpass')), ['answer-dtls']],
  [
    'has a short ICE password',
    answers(replaceAll('passwordpasswordpassword', 'password')),
    ['ice-credentials'],
  ],
  ['has no candidates', answers(replace('a=candidate', 'a=x-candidate')), ['candidates']],
  ['answers sendrecv', answers(replaceAll('a=sendonly', 'a=sendrecv')), ['answer-direction', 'sendrecv']],
  [
    'answers sendrecv with sendrecv',
    at({ 'sendrecv offer': replaceAll('a=sendonly', 'a=sendrecv') }),
    ['sendrecv'],
  ],
  ['bundles nothing', answers(replace('a=group:BUNDLE 0 1\r\n', '')), ['bundle']],
  ['bundles a part', answers(replace('BUNDLE 0 1', 'BUNDLE 0')), ['bundle']],
  ['does not multiplex RTCP', answers(replaceAll('a=rtcp-mux\r\n', '')), ['rtcp-mux']],
  ['may not multiplex RTCP', answers(replaceAll('a=rtcp-mux-only\r\n', '')), ['rtcp-mux-only']],
  ['has two streams', answers(replace('stream track1', 'other track1')), ['single-stream']],
  ['does not name its stream', answers(replace('a=msid:stream track1\r\n', '')), ['single-stream']],
  ['rejects everything', answers(replaceAll(' 9 UDP', ' 0 UDP')), ['tracks']],
  ['counters with two pictures', counter((p) => replace('m=audio', 'm=video')(valid(p))), ['tracks']],
  ['has no GET on the session', at({ 'session get': status(404) }), ['session-get']],
  [
    'lets no page end a session',
    at({ 'session options': header('access-control-allow-methods', 'PATCH') }),
    ['session-preflight'],
  ],
  [
    'lets no page trickle',
    at({ 'session options': header('access-control-allow-headers', 'Authorization') }),
    ['session-preflight'],
  ],
  ['takes fragments of any type', at({ 'patch wrong type': status(204) }), ['patch-type']],
  ['fails at a malformed fragment', at({ 'patch malformed': status(500) }), ['patch-malformed']],
  ['has neither Trickle ICE nor restarts', { trickle: false, restart: false }, ['ice-recommended']],
  [
    'refuses restarts with 405',
    at({ restart: status(405) }, { restart: false }),
    ['ice-recommended', 'patch-unsupported'],
  ],
  [
    'refuses Trickle ICE with 501',
    at({ trickle: status(501), 'odd candidates': status(501) }, { trickle: false }),
    ['ice-recommended', 'patch-unsupported'],
  ],
  ['has no ETag', answers(without('etag')), ['etag', 'trickle', 'trickle-odd']],
  ['has a weak ETag', answers(header('etag', 'W/"ice-0"')), ['etag', 'trickle', 'trickle-odd']],
  ['does not need If-Match', at({ untagged: status(204) }), ['if-match-missing']],
  ['does not read If-Match', at({ outdated: status(204) }), ['if-match-wrong', 'restart-outdated']],
  ['takes candidates with 200', at({ trickle: status(200) }), ['trickle']],
  ['has an ETag for candidates', at({ trickle: header('etag', '"ice-0"') }), ['trickle-etag']],
  ['refuses odd candidates', at({ 'odd candidates': status(400) }), ['trickle-odd']],
  [
    'restarts with 204',
    at({ restart: (p) => ({ ...p, status: 204, body: '' }) }),
    ['restart', 'restart-options'],
  ],
  ['fails at restarts', at({ restart: status(500) }, { restart: false }), ['restart']],
  ['restarts without credentials', at({ restart: replace(/a=ice-pwd.*\r\n/, '') }), ['restart']],
  ['restarts with the old credentials', at({ restart: replace('srv2', 'srv1') }), ['restart']],
  ['restarts as another type', at({ restart: header('content-type', 'application/sdp') }), ['restart']],
  ['restarts without an ETag', at({ restart: without('etag') }), ['restart-etag']],
  ['restarts with the old ETag', { keepsTag: true }, ['restart-etag', 'restart-outdated']],
  ['forgets ice-lite', at({ restart: replace('a=ice-lite\r\n', '') }), ['restart-options']],
  [
    'ends the session with the restart',
    { restart: false, dropsOnRestart: true },
    ['ice-recommended', 'restart-refused'],
  ],
  ['offers events that it does not have', withEvents({ events: status(404) }), ['events']],
  ['makes events without a place', withEvents({ events: without('location') }), ['events']],
  ['reads If-Match of DELETE', { deletesByTag: true }, ['delete-tag']],
  ['only says that it ended', { keepsSessions: true }, ['delete-removes']],
  ['cannot end a session', at({ delete: status(500) }), ['delete-removes', 'delete']],
  [
    'counts its sessions',
    (() => {
      let next = 1000;
      return { sessionId: () => String((next += 1)) };
    })(),
    ['random-urls'],
  ],
];

/** [what else is right, the server, the checks that thereby pass]. */
export const RIGHT: [string, Asked | ServerOptions, string[]][] = [
  ['wants a token', bearing({}), ['challenge']],
  [
    'makes counter-offers',
    counter(valid),
    ['counter-offer', 'valid-until', 'counter-offer-direction', 'counter-answer-malformed', 'counter-answer'],
  ],
  ['says when to come again', at({ offer: (p) => header('retry-after', '3')(status(409)(p)) }), ['off-air']],
  [
    'names STUN and TURN',
    answers(
      header(
        'link',
        '<stun:[2001:db8::1]:3478>; rel=ice-server, <turns:t.example?transport=tcp>; rel="ice-server"; username="a,b"; credential="c\\"d;"',
      ),
    ),
    ['ice-servers'],
  ],
  ['has events', withEvents(), ['events', 'extensions']],
  ['restarts only', { trickle: false }, ['patch-unsupported', 'restart']],
  ['trickles only', { restart: false }, ['patch-unsupported', 'restart-refused', 'trickle']],
  ['is on this machine', { url: 'http://localhost/whep' }, ['created']],
];

/** The server alone, or with the way in which it is asked. */
export const asAsked = (given: Asked | ServerOptions): Asked =>
  'server' in given || 'url' in given ? given : { server: given as ServerOptions };
