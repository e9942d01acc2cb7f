/** Making a ticket: claims in, signed ticket and client part out. */
import type { JWK } from 'jose';
import {
  MAX_TICKET_CHARS,
  TICKET_TYP,
  ticketClaimsSchema,
  ticketHeaderSchema,
  ticketSecretSchema,
  type TicketClaims,
} from './claims.ts';
import { CLIENT_PART_TYP } from './client-part.ts';
import { refusedMember } from './compact.ts';
import { sha256Base64url } from './encoding.ts';
import { signJws } from './jws.ts';
import { toKeyObject, type SigningKey } from './keys.ts';
import { MAX_SERVERS, seal, sealCompact, tryAgreement, type Recipient } from './sealed.ts';

export interface TicketOrder {
  /** Everything but the sealed parts. */
  readonly claims: Omit<TicketClaims, 'ss' | 'cph'>;
  /** `k`: 32 random bytes, absent when keys are left to the streaming server; `wm`: watermark id. */
  readonly secret: { readonly k?: Uint8Array; readonly wm?: string };
  /** The streaming servers of `aud`, 1..8, by their sealing keys. */
  readonly servers: readonly Recipient[];
  /** The client's X25519 or P-256 key, fresh for the order. */
  readonly client?: { readonly sealKey: JWK };
  readonly signingKey: SigningKey;
}

export interface IssuedTicket {
  readonly ticket: string;
  /** Compact JWE for the client alone; `null` when there is no `k` or no client key. */
  readonly clientPart: string | null;
}

/** True if a client part can be made for a key: it is on its curve, and agreeing with it gives a secret. */
export function isSealKey(jwk: JWK): boolean {
  try {
    tryAgreement(jwk);
    return true;
  } catch (error) {
    if (error instanceof TypeError) return false;
    throw error;
  }
}

/**
 * Issues a ticket: header, claims and secret go through the very schemas that `openTicket` reads them with.
 * @throws TypeError when one of them, or a key, is not one that `openTicket` would take; RangeError when the ticket gets
 *   longer than `MAX_TICKET_CHARS`. The message names the claim, never its value.
 */
export async function issueTicket(order: TicketOrder): Promise<IssuedTicket> {
  const { claims, secret, servers, client, signingKey } = order;
  if (secret.k !== undefined && secret.k.byteLength !== 32) throw new TypeError('k is not 32 bytes');
  if (servers.length < 1 || servers.length > MAX_SERVERS) throw new TypeError('not 1 to 8 servers');
  if (new Set(servers.map(({ kid }) => kid)).size !== servers.length)
    throw new TypeError('a server key is named twice');

  const header = ticketHeaderSchema.safeParse({ alg: signingKey.alg, typ: TICKET_TYP, kid: signingKey.kid });
  if (!header.success) throw new TypeError(`not a header: ${refusedMember(header.error, 'unknown member')}`);
  const k = secret.k === undefined ? undefined : Buffer.from(secret.k).toString('base64url');
  const sealed = ticketSecretSchema.safeParse({
    ...(k === undefined ? {} : { k }),
    ...(secret.wm === undefined ? {} : { wm: secret.wm }),
  });
  if (!sealed.success) throw new TypeError(`not a secret: ${refusedMember(sealed.error, 'unknown member')}`);
  const clientPart =
    k === undefined || client === undefined
      ? null
      : sealCompact({ k, jti: claims.jti }, CLIENT_PART_TYP, client.sealKey);
  const payload = ticketClaimsSchema.safeParse({
    ...claims,
    ss: seal(sealed.data, servers),
    ...(clientPart === null ? {} : { cph: sha256Base64url(clientPart) }),
  });
  if (!payload.success)
    throw new TypeError(`not a claim set: ${refusedMember(payload.error, 'unknown claim')}`);

  const ticket = signJws(header.data, payload.data, toKeyObject(signingKey.privateKey, 'sign'));
  if (ticket.length > MAX_TICKET_CHARS)
    throw new RangeError(`the ticket has ${ticket.length} characters, more than ${MAX_TICKET_CHARS}`);
  return { ticket, clientPart };
}
