/** Tickets that must be taken, and tickets that must be refused with a certain code. */
import type { JWK } from 'jose';
import type { Tools } from './tools.ts';

interface Opening {
  readonly serverId: string;
  readonly uri: string;
  /** Of the streaming server's sealing key. */
  readonly kid: string;
}

export interface GoodTicket {
  readonly name: string;
  readonly ticket: string;
  readonly claims: object;
  /** Every server that it can be opened at. */
  readonly openings: readonly Opening[];
  /** What is sealed to the servers: 32 bytes in base64url, and a watermark id. */
  readonly secret: { readonly k: string | null; readonly wm: string | null };
  readonly clientPart: string | null;
  /** Of the key that the client part is sealed to. */
  readonly clientKid: string | null;
}

export interface BadTicket {
  readonly name: string;
  readonly ticket: string;
  readonly opening: Opening;
  readonly code: string;
  readonly detail: string;
}

const URI = '/live/concert';
const ISSUER = 'https://orders.example.com';

function baseClaims({ nowSeconds, keys, thumbprint }: Tools) {
  return {
    iss: ISSUER,
    aud: ['edge-1'],
    sub: '5f0c3d9a-3f6e-4c07-9d43-8f8d7a1f1f10',
    jti: '019c1b2e-7c00-7000-8000-000000000001',
    iat: nowSeconds,
    nbf: nowSeconds,
    exp: nowSeconds + 7200,
    cnf: { jkt: thumbprint(keys.holder) },
    uri: URI,
    endpoints: ['https://edge-1.example.com/whep/live/concert'],
    rights: {
      action: 'play',
      accesses: 1,
      seconds: 7200,
      bytes: null,
      concurrent: 1,
      window: null,
      onExcess: 'reject-new',
      controls: ['pause'],
      tier: { maxHeight: 1080 },
    },
    charging: 'prepaid',
    suites: ['DTLS-SRTP', 'AEAD_AES_128_GCM'],
  };
}

interface Recipe {
  readonly name: string;
  readonly servers: readonly (JWK & { kid: string })[];
  readonly claims?: object;
  readonly without?: readonly string[];
  readonly secret?: { k?: string; wm?: string };
  readonly client?: (JWK & { kid: string }) | null;
  readonly signer?: 'orderServer' | 'orderServerEc';
}

function make(tools: Tools, index: number, recipe: Recipe): GoodTicket {
  const { keys, bytesFrom, sealFrom, clientPartFrom, signObjects, sha256 } = tools;
  const { name, servers, claims = {}, without = [], client = keys.client } = recipe;
  const secret = recipe.secret ?? { k: bytesFrom(`${name} k`, 32).toString('base64url') };
  const jti = `019c1b2e-7c00-7000-8000-${String(index + 1).padStart(12, '0')}`;
  const clientPart =
    client === null || secret.k === undefined
      ? null
      : clientPartFrom(`${name} client`, JSON.stringify({ k: secret.k, jti }), client);
  const all: Record<string, unknown> = {
    ...baseClaims(tools),
    jti,
    ...claims,
    ss: sealFrom(name, JSON.stringify(secret), servers),
    ...(clientPart === null ? {} : { cph: sha256(clientPart) }),
  };
  const payload = Object.fromEntries(Object.entries(all).filter(([claim]) => !without.includes(claim)));
  const signer = keys[recipe.signer ?? 'orderServer'];
  const ticket = signObjects({ alg: signer.alg, typ: 'ticket+jwt', kid: signer.kid }, payload, signer);
  const audience = payload['aud'] as string[];
  return {
    name,
    ticket,
    claims: payload,
    openings: servers.map(({ kid }, at) => ({
      serverId: audience[at % audience.length] ?? '',
      uri: String(payload['uri']),
      kid,
    })),
    secret: { k: secret.k ?? null, wm: secret.wm ?? null },
    clientPart,
    clientKid: clientPart === null ? null : (client?.kid ?? null),
  };
}

const EIGHT = ['edge-1', 'edge-2', 'edge-3', 'edge-4', 'edge-5', 'edge-6', 'edge-7', 'edge-8'];

export function goodTickets(tools: Tools): GoodTicket[] {
  const { keys, thumbprint, bytesFrom } = tools;
  const k = bytesFrom('all k', 32).toString('base64url');
  const recipes: Recipe[] = [
    { name: 'one server', servers: keys.servers.slice(0, 1) },
    {
      name: 'eight servers of one curve',
      servers: keys.servers,
      claims: {
        aud: EIGHT,
        endpoints: EIGHT.map((server) => `https://${server}.example.com/whep/live/concert`),
      },
    },
    {
      name: 'eight servers of two curves',
      servers: [...keys.servers.slice(0, 4), ...keys.serversEc.slice(0, 4)],
      claims: { aud: EIGHT },
    },
    {
      name: 'P-256 everywhere',
      servers: keys.serversEc.slice(0, 2),
      claims: { aud: ['edge-1', 'edge-2'], cnf: { jkt: thumbprint(keys.holderEc) } },
      client: keys.clientEc,
      signer: 'orderServerEc',
    },
    {
      name: 'a bearer ticket that leaves the keys to the server',
      servers: keys.servers.slice(0, 1),
      without: ['cnf'],
      secret: { wm: 'wm-0001' },
    },
    {
      name: 'every claim',
      servers: keys.servers.slice(0, 1),
      secret: { k, wm: 'wm-0002' },
      claims: { dev: 'device-1', addr: '2001:db8::1', transport: 'clear' },
    },
  ];
  return recipes.map((recipe, index) => make(tools, index, recipe));
}

/** The text with another last character of a part, which the same bytes would be decoded from. */
function otherSpelling(part: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return part.slice(0, -1) + (alphabet[alphabet.indexOf(part.at(-1) ?? '') + 1] ?? '');
}

export function badTickets(tools: Tools, good: readonly GoodTicket[]): BadTicket[] {
  const { keys, nowSeconds, signObjects, signTexts, signHmac, sealFrom } = tools;
  const [base] = good;
  const opening = base?.openings[0];
  if (base === undefined || opening === undefined) throw new Error('no ticket to begin with');
  const claims = base.claims as Record<string, unknown> & { ss: Record<string, unknown> };
  const { orderServer, orderServerEc } = keys;
  const header = { alg: 'Ed25519', typ: 'ticket+jwt', kid: orderServer.kid };
  const withClaims = (change: object) => signObjects(header, { ...claims, ...change }, orderServer);
  const withHeader = (change: object) => signObjects({ ...header, ...change }, claims, orderServer);
  const [head = '', body = '', signature = ''] = base.ticket.split('.');
  const json = JSON.stringify(claims);
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const unsigned = encode({ ...header, alg: 'none' });
  const rows: [name: string, code: string, detail: string, ticket: string, at?: Partial<Opening>][] = [
    [
      'another path after signing',
      'ticket_untrusted',
      'signature',
      `${head}.${encode({ ...claims, uri: '/live/other' })}.${signature}`,
    ],
    ['alg none', 'ticket_malformed', 'not a compact JWS', `${unsigned}.${body}.`],
    ['alg none with a signature', 'ticket_malformed', 'alg', `${unsigned}.${body}.${signature}`],
    [
      'the public key as the secret of an HMAC',
      'ticket_malformed',
      'alg',
      signHmac({ ...header, alg: 'HS256' }, claims, orderServer.x),
    ],
    [
      'an Ed25519 key under ES256',
      'ticket_untrusted',
      'kid',
      signObjects({ ...header, alg: 'ES256' }, claims, orderServerEc),
    ],
    ['the key of another', 'ticket_untrusted', 'signature', signObjects(header, claims, keys.stranger)],
    ['an unknown key', 'ticket_untrusted', 'kid', withHeader({ kid: 'insecure-test-unknown' })],
    [
      'a key of its own in the header',
      'ticket_malformed',
      'header',
      withHeader({ jwk: { kty: 'OKP', crv: 'Ed25519', x: keys.stranger.x } }),
    ],
    ['crit', 'ticket_malformed', 'header', withHeader({ crit: ['exp'] })],
    ['another typ', 'ticket_malformed', 'typ', withHeader({ typ: 'JWT' })],
    ['another issuer', 'ticket_untrusted', 'iss', withClaims({ iss: 'https://orders.example.org' })],
    ['an unknown claim', 'ticket_malformed', 'unknown claim', withClaims({ scope: 'all' })],
    [
      'a claim twice',
      'ticket_malformed',
      'not a compact JWS',
      signTexts(JSON.stringify(header), json.replace('{', '{"uri":"/live/other",'), orderServer),
    ],
    [
      'another spelling of the signature',
      'ticket_malformed',
      'not a compact JWS',
      `${head}.${body}.${otherSpelling(signature)}`,
    ],
    ['padding', 'ticket_malformed', 'not a compact JWS', `${base.ticket}==`],
    ['no signature', 'ticket_malformed', 'not a compact JWS', `${head}.${body}.`],
    ['rights that grant nothing', 'ticket_malformed', 'rights.action', withClaims({ rights: {} })],
    [
      'no accesses',
      'ticket_malformed',
      'rights.accesses',
      withClaims({ rights: { ...(claims['rights'] as object), accesses: 0 } }),
    ],
    [
      'its end',
      'ticket_expired',
      'exp',
      withClaims({ iat: nowSeconds - 9, nbf: nowSeconds - 9, exp: nowSeconds }),
    ],
    ['a beginning in 6 s', 'ticket_not_yet_valid', 'nbf', withClaims({ nbf: nowSeconds + 6 })],
    ['issue in 6 s', 'ticket_not_yet_valid', 'iat', withClaims({ iat: nowSeconds + 6 })],
    ['another server', 'ticket_wrong_audience', 'aud', base.ticket, { serverId: 'edge-11' }],
    ['a longer path', 'ticket_wrong_uri', 'uri', base.ticket, { uri: '/live/concert2' }],
    ['a deeper path', 'ticket_wrong_uri', 'uri', base.ticket, { uri: '/live/concert/hd' }],
    ['another case', 'ticket_wrong_uri', 'uri', base.ticket, { uri: '/live/Concert' }],
    [
      'sealed to another',
      'ticket_malformed',
      'ss',
      withClaims({ ss: sealFrom('other', '{}', keys.servers.slice(1, 2)) }),
    ],
    [
      'a changed tag',
      'ticket_malformed',
      'ss',
      withClaims({ ss: { ...claims.ss, tag: 'AAAAAAAAAAAAAAAAAAAAAA' } }),
    ],
    [
      'two ephemeral keys',
      'ticket_malformed',
      'ss',
      withClaims({
        ss: { ...claims.ss, unprotected: { epk: { kty: 'OKP', crv: 'X25519', x: keys.client.x } } },
      }),
    ],
    ['an ephemeral key of low order', 'ticket_malformed', 'ss', withClaims({ ss: lowOrder(claims.ss) })],
    [
      'a secret that says more',
      'ticket_malformed',
      'ss',
      withClaims({ ss: sealFrom('more', '{"admin":true}', keys.servers.slice(0, 1)) }),
    ],
    ['4097 characters', 'ticket_malformed', 'not a compact JWS', ''.padEnd(4097, 'A')],
  ];
  return rows.map(([name, code, detail, ticket, at = {}]) => ({
    name,
    ticket,
    opening: { ...opening, ...at },
    code,
    detail,
  }));
}

/** RFC 7748 section 6.1: with it everybody would agree on zeros. */
function lowOrder(sealed: Record<string, unknown>): object {
  const epk = { kty: 'OKP', crv: 'X25519', x: 'A'.repeat(43) };
  const head = { alg: 'ECDH-ES+A256KW', enc: 'A256GCM', epk };
  return { ...sealed, protected: Buffer.from(JSON.stringify(head)).toString('base64url') };
}
