/**
 * Checking a ticket, in three steps that stand alone: `verifyTicket` (is it genuine and in its time?),
 * `authorizeTicket` (is it for this server and this stream?), `unsealTicket` (what is its secret?).
 */
import { z } from 'zod';
import { Denial } from '../errors.ts';
import type { KeySource, UnsealKey } from '../ports.ts';
import { coversPath } from '../rights/index.ts';
import {
  issuerSchema,
  MAX_TICKET_CHARS,
  ticketClaimsSchema,
  ticketHeaderSchema,
  ticketSecretSchema,
  type TicketClaims,
} from './claims.ts';
import { parseCompact, refusedMember } from './compact.ts';
import { decodeBase64url } from './encoding.ts';
import { verifyJws } from './jws.ts';
import { toKeyObject } from './keys.ts';
import { unseal } from './sealed.ts';

/** Clocks may differ by this much for `iat` and `nbf`; there is no tolerance for `exp`. */
export const CLOCK_TOLERANCE_SECONDS = 5;

const unverifiedSchema = z.object({ iss: issuerSchema });

export interface TicketSecret {
  /** 32 bytes shared with the holder, or `null`: keys are left to the streaming server. */
  readonly k: Uint8Array | null;
  /** Watermark id. */
  readonly wm: string | null;
}

export interface OpenedTicket {
  readonly claims: TicketClaims;
  readonly secret: TicketSecret;
}

export interface VerifyTicketOptions {
  readonly keys: KeySource;
  /** Unix seconds. */
  readonly nowSeconds: number;
}

function malformed(detail: string): Denial {
  return new Denial('ticket_malformed', { detail });
}

/**
 * Checks form, signature, claims and time of a ticket. What it is for is not checked: see `authorizeTicket`.
 * @throws Denial `ticket_malformed`, `ticket_untrusted`, `ticket_expired`, `ticket_not_yet_valid`, and what the key
 *   source throws
 */
export async function verifyTicket(text: string, options: VerifyTicketOptions): Promise<TicketClaims> {
  const { keys, nowSeconds } = options;
  const parts = parseCompact(text, MAX_TICKET_CHARS);
  if (parts === null) throw malformed('not a compact JWS');
  const header = ticketHeaderSchema.safeParse(parts.header);
  if (!header.success) throw malformed(refusedMember(header.error, 'header'));
  const unverified = unverifiedSchema.safeParse(parts.payload);
  if (!unverified.success) throw malformed('iss');

  const { alg, kid } = header.data;
  const key = await keys.findSigningKey(unverified.data.iss, kid, alg);
  try {
    verifyJws(parts, alg, toKeyObject(key, 'verify'));
  } catch {
    throw new Denial('ticket_untrusted', { detail: 'signature' });
  }

  const claims = ticketClaimsSchema.safeParse(parts.payload);
  if (!claims.success) throw malformed(refusedMember(claims.error, 'unknown claim'));
  const { exp, nbf, iat } = claims.data;
  if (nowSeconds >= exp) throw new Denial('ticket_expired', { detail: 'exp' });
  const latest = nowSeconds + CLOCK_TOLERANCE_SECONDS;
  if (nbf > latest) throw new Denial('ticket_not_yet_valid', { detail: 'nbf' });
  if (iat > latest) throw new Denial('ticket_not_yet_valid', { detail: 'iat' });
  return claims.data;
}

/**
 * Checks that a verified ticket is for this server and this stream.
 * @throws Denial `ticket_wrong_audience`, `ticket_wrong_uri`
 */
export function authorizeTicket(
  claims: Pick<TicketClaims, 'aud' | 'uri'>,
  wanted: { readonly serverId: string; readonly uri: string },
): void {
  if (!claims.aud.includes(wanted.serverId)) throw new Denial('ticket_wrong_audience', { detail: 'aud' });
  if (!coversPath(claims.uri, wanted.uri)) throw new Denial('ticket_wrong_uri', { detail: 'uri' });
}

/**
 * Opens the streaming-server part of a verified ticket.
 * @throws Denial `ticket_malformed` when none of the keys opens it
 */
export async function unsealTicket(
  claims: Pick<TicketClaims, 'ss'>,
  unsealKeys: readonly UnsealKey[],
): Promise<TicketSecret> {
  const secret = ticketSecretSchema.safeParse(await unseal(claims.ss, unsealKeys));
  if (!secret.success) throw malformed('ss');
  const { k, wm } = secret.data;
  const key = k === undefined ? null : decodeBase64url(k);
  if (k !== undefined && key === null) throw malformed('ss');
  return { k: key, wm: wm ?? null };
}

/**
 * Everything a streaming server checks on a ticket without asking anyone: form, signature, claims, time, audience,
 * stream, sealed part. Possession is `createProofVerifier`'s, revocation and counted rights are the gate's.
 * @throws Denial of the three steps
 */
export async function openTicket(
  text: string,
  options: VerifyTicketOptions & {
    readonly serverId: string;
    readonly uri: string;
    readonly unsealKeys: readonly UnsealKey[];
  },
): Promise<OpenedTicket> {
  const claims = await verifyTicket(text, options);
  authorizeTicket(claims, options);
  return { claims, secret: await unsealTicket(claims, options.unsealKeys) };
}
