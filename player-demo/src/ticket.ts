import { compactDecrypt, createLocalJWKSet, jwtVerify, type JSONWebKeySet, type JWTVerifyResult } from 'jose';
import { proofThumbprint, type OrderKeys } from './keys.ts';
import { sha256Text } from './proof.ts';

/** What was ordered, as far as the ticket must agree with it. */
export interface Ordered {
  readonly issuer: string;
  /** Stream path of the title. */
  readonly uri: string;
  /** The offer's rights, as the catalog showed them. */
  readonly rights: object;
  /** How long the offer says that the ticket is good for. */
  readonly validSeconds: number | null;
  /** Where that is null: until when, Unix seconds. */
  readonly validUntilSeconds?: number;
  readonly keys: OrderKeys;
}

/** What the order server answered. */
export interface Delivered {
  readonly ticket: string;
  readonly clientPart: string;
  /** WHEP endpoint, absolute. */
  readonly whep: string;
}

export interface CheckedTicket {
  readonly jti: string;
  readonly expiresAtSeconds: number;
  readonly countsAccesses: boolean;
  /** How much may be watched with it, `null` for any. */
  readonly allowedSeconds: number | null;
}

/** The delivered ticket is not what was ordered; `message` names the part that differs, in plain words. */
export class TicketMismatch extends Error {
  override readonly name = 'TicketMismatch';
  /** The claim or part that differs. */
  readonly part: string;

  constructor(part: string, text: string, cause?: unknown) {
    super(`The ticket that came is not the one you ordered: ${text}. It was not stored.`, { cause });
    this.part = part;
  }
}

/** RFC 9864 names and ES256; nothing else signs tickets. */
const TICKET_ALGS = ['Ed25519', 'ES256'];
const HEADER_MEMBERS = ['alg', 'kid', 'typ'];
/** A streaming server refuses a ticket that says anything else. */
const CLAIMS = new Set(
  'iss aud sub jti iat nbf exp cnf uri endpoints rights charging suites dev addr transport ss cph'.split(' '),
);
const MAX_TICKET_CHARS = 4096;
const MAX_CLIENT_PART_CHARS = 1024;
const MAX_SERVERS = 8;
/** What a viewer's clock may be behind the shop's. */
const SLOW_CLOCK_SECONDS = 60;
/** base64url of 32 bytes, in its one spelling. */
const BYTES_32 = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;

/**
 * Checks a delivered ticket against the order, before anything of it is kept.
 * @throws TicketMismatch
 */
export async function checkTicket(
  delivered: Delivered,
  ordered: Ordered,
  keySet: JSONWebKeySet,
  nowMs: number,
): Promise<CheckedTicket> {
  demand('size', delivered.ticket.length <= MAX_TICKET_CHARS, 'it is longer than a ticket can be');
  const { payload: claims, protectedHeader } = await verifySignature(
    delivered.ticket,
    ordered.issuer,
    keySet,
    nowMs,
  );
  const rights = asRecord(claims['rights']);
  const { jti, exp, iat, nbf } = claims;

  demand(
    'header',
    sameJson(Object.keys(protectedHeader).sort(), HEADER_MEMBERS),
    'its header is not a ticket’s',
  );
  demand(
    'claims',
    Object.keys(claims).every((name) => CLAIMS.has(name)),
    'it says more than a ticket may',
  );
  demand('uri', claims['uri'] === ordered.uri, 'it is for another title');
  const cnf = { jkt: await proofThumbprint(ordered.keys) };
  demand('cnf', sameJson(claims['cnf'], cnf), 'it is bound to a key that is not yours');
  demand('rights', rights['action'] === 'play', 'it does not allow playing');
  demand('rights', sameJson(rights, ordered.rights), 'its rights differ from the offer');
  const clientPartHash = await sha256Text(delivered.clientPart);
  demand('cph', claims['cph'] === clientPartHash, 'its sealed part does not belong to it');
  demand('jti', typeof jti === 'string', 'it has no number');
  demand('exp', typeof exp === 'number', 'it has no end');
  demand('exp', exp > nowMs / 1000, CLAIM_WORDS.exp);
  demand('iat', typeof iat === 'number' && typeof nbf === 'number', 'it has no beginning');
  const promised =
    ordered.validSeconds === null
      ? (ordered.validUntilSeconds ?? Infinity)
      : Math.max(iat, nbf) + ordered.validSeconds;
  demand('exp', exp >= promised, 'it ends sooner than the offer says');
  const servers = claims.aud;
  demand(
    'aud',
    Array.isArray(servers) && servers.length > 0 && servers.length <= MAX_SERVERS,
    'it is for no streaming server',
  );
  const opened = await openClientPart(delivered.clientPart, ordered.keys);
  demand('jti', opened['jti'] === jti, 'its sealed part is of another ticket');
  const { k } = opened;
  demand(
    'client part',
    typeof k === 'string' && BYTES_32.test(k) && Object.keys(opened).length === 2,
    'its sealed part is not as it must be',
  );
  const { endpoints } = claims;
  demand(
    'endpoints',
    Array.isArray(endpoints) && endpoints.includes(delivered.whep),
    'it names another streaming server than the shop does',
  );
  demand(
    'endpoints',
    isWhepUrl(delivered.whep, ordered),
    'its streaming server has an address that is not safe',
  );
  const { accesses, seconds } = rights;
  return {
    jti,
    expiresAtSeconds: exp,
    countsAccesses: accesses !== null,
    allowedSeconds: typeof seconds === 'number' ? seconds : null,
  };
}

async function verifySignature(
  ticket: string,
  issuer: string,
  keySet: JSONWebKeySet,
  nowMs: number,
): Promise<JWTVerifyResult> {
  try {
    return await jwtVerify(ticket, createLocalJWKSet(keySet), {
      algorithms: TICKET_ALGS,
      typ: 'ticket+jwt',
      issuer,
      requiredClaims: ['jti', 'exp', 'uri', 'cnf', 'rights', 'cph', 'endpoints'],
      currentDate: new Date(nowMs),
      // For `nbf`; the end is looked at again, without it.
      clockTolerance: SLOW_CLOCK_SECONDS,
    });
  } catch (cause) {
    const claim =
      cause instanceof Error && 'claim' in cause && typeof cause.claim === 'string' ? cause.claim : null;
    if (claim === null) throw new TicketMismatch('signature', 'its signature is not the shop’s', cause);
    throw new TicketMismatch(claim, CLAIM_WORDS[claim] ?? `its “${claim}” is not as it must be`, cause);
  }
}

const CLAIM_WORDS: Readonly<Record<string, string>> & { readonly exp: string } = {
  iss: 'it comes from another shop than this page (open the shop under its public address)',
  exp: 'it is over already',
  typ: 'it is no ticket',
};

async function openClientPart(
  clientPart: string,
  keys: OrderKeys,
): Promise<Readonly<Record<string, unknown>>> {
  demand('client part', clientPart.length <= MAX_CLIENT_PART_CHARS, 'its sealed part is too long');
  try {
    const { plaintext, protectedHeader } = await compactDecrypt(clientPart, keys.sealPrivateKey, {
      keyManagementAlgorithms: ['ECDH-ES+A256KW'],
      contentEncryptionAlgorithms: ['A256GCM'],
    });
    if (protectedHeader.typ !== 'client-part+jwe') throw new TypeError('not a client part');
    return asRecord(JSON.parse(new TextDecoder().decode(plaintext)));
  } catch (cause) {
    throw new TicketMismatch('client part', 'its sealed part does not open with your key', cause);
  }
}

/**
 * True for the URL of the ordered stream, without anything in it that could be read in two ways; in the clear only where
 * the shop is, too (a demo on this machine).
 */
function isWhepUrl(text: string, { uri, issuer }: Ordered): boolean {
  const url = URL.parse(text);
  if (url === null || !text.endsWith(`/whep${uri}`)) return false;
  // Whatever the parser had to mend (dot segments, backslashes, escapes) is not taken.
  if (url.pathname !== text.slice(text.indexOf('/', 'https://'.length))) return false;
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') return false;
  return url.protocol === 'https:' || (url.protocol === 'http:' && issuer.startsWith('http:'));
}

function demand(part: string, condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new TicketMismatch(part, otherwise);
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}

/** Equal as JSON, whatever the order of members; a member that is absent equals one that is undefined. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, index) => sameJson(item, b[index]));
  }
  if (typeof a === 'object' && typeof b === 'object' && a !== null && b !== null) {
    if (Array.isArray(a) || Array.isArray(b)) return false;
    const [left, right] = [asRecord(a), asRecord(b)];
    return [...new Set([...Object.keys(left), ...Object.keys(right)])].every((key) =>
      sameJson(left[key], right[key]),
    );
  }
  return a === b;
}
