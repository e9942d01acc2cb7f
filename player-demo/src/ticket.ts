import { compactDecrypt, createLocalJWKSet, jwtVerify, type JSONWebKeySet, type JWTPayload } from 'jose';
import { proofThumbprint, type OrderKeys } from './keys.ts';
import { sha256Text } from './proof.ts';

/** What was ordered, as far as the ticket must agree with it. */
export interface Ordered {
  readonly issuer: string;
  /** Stream path of the title. */
  readonly uri: string;
  /** The offer's rights, as the catalog showed them. */
  readonly rights: object;
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
  const claims = await verifySignature(delivered.ticket, ordered.issuer, keySet, nowMs);
  const rights = asRecord(claims['rights']);
  const { jti, exp } = claims;

  demand('uri', claims['uri'] === ordered.uri, 'it is for another title');
  const jkt = asRecord(claims['cnf'])['jkt'];
  demand('cnf', jkt === (await proofThumbprint(ordered.keys)), 'it is bound to a key that is not yours');
  demand('rights', rights['action'] === 'play', 'it does not allow playing');
  demand('rights', sameJson(rights, ordered.rights), 'its rights differ from the offer');
  const clientPartHash = await sha256Text(delivered.clientPart);
  demand('cph', claims['cph'] === clientPartHash, 'its sealed part does not belong to it');
  demand('jti', typeof jti === 'string', 'it has no number');
  demand('exp', typeof exp === 'number', 'it has no end');
  const opened = await openClientPart(delivered.clientPart, ordered.keys);
  demand('jti', opened['jti'] === jti, 'its sealed part is of another ticket');
  const { endpoints } = claims;
  demand(
    'endpoints',
    Array.isArray(endpoints) && endpoints.includes(delivered.whep),
    'it names another streaming server than the shop does',
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
): Promise<JWTPayload> {
  try {
    const { payload } = await jwtVerify(ticket, createLocalJWKSet(keySet), {
      algorithms: TICKET_ALGS,
      typ: 'ticket+jwt',
      issuer,
      requiredClaims: ['jti', 'exp', 'uri', 'cnf', 'rights', 'cph', 'endpoints'],
      currentDate: new Date(nowMs),
    });
    return payload;
  } catch (cause) {
    const claim =
      cause instanceof Error && 'claim' in cause && typeof cause.claim === 'string' ? cause.claim : null;
    if (claim === null) throw new TicketMismatch('signature', 'its signature is not the shop’s', cause);
    throw new TicketMismatch(claim, CLAIM_WORDS[claim] ?? `its “${claim}” is not as it must be`, cause);
  }
}

const CLAIM_WORDS: Readonly<Record<string, string>> = {
  iss: 'it comes from another shop than this page (open the shop under its public address)',
  exp: 'it is over already',
  typ: 'it is no ticket',
};

async function openClientPart(
  clientPart: string,
  keys: OrderKeys,
): Promise<Readonly<Record<string, unknown>>> {
  try {
    const { plaintext } = await compactDecrypt(clientPart, keys.sealPrivateKey, {
      keyManagementAlgorithms: ['ECDH-ES+A256KW'],
      contentEncryptionAlgorithms: ['A256GCM'],
    });
    return asRecord(JSON.parse(new TextDecoder().decode(plaintext)));
  } catch (cause) {
    throw new TicketMismatch('client part', 'its sealed part does not open with your key', cause);
  }
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
