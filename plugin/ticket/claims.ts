/** What a ticket says (docs/protocol.md). Strict: a claim that is not known here makes the ticket void. */
import { z } from 'zod';
import { isStreamPath, rightsSchema } from '../rights/index.ts';
import { BASE64URL_32_BYTES } from './encoding.ts';
import { SIGNING_ALG_NAMES } from './keys.ts';
import { kidSchema, MAX_SERVERS, sealedSchema } from './sealed.ts';

/** Longest ticket, as a compact JWS. */
export const MAX_TICKET_CHARS = 4096;

export const TICKET_TYP = 'ticket+jwt';

/** Nothing but these: `crit`, `jku`, `jwk`, `x5u`, `b64` and the rest are refused with the unknown. */
export const ticketHeaderSchema = z.strictObject({
  typ: z.literal(TICKET_TYP),
  alg: z.enum(SIGNING_ALG_NAMES),
  kid: kidSchema,
});

const unixSeconds = z.number().int().nonnegative().max(8_640_000_000_000);
const base64url32 = z.string().regex(BASE64URL_32_BYTES);
const isDistinct = (list: readonly string[]): boolean => new Set(list).size === list.length;

/** An id of a streaming server. */
export const serverIdSchema = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/i);

export const issuerSchema = z.string().regex(/^https?:\/\/[\x21-\x7e]{1,190}$/);

// No user information, no query, no fragment, no backslash: what is left can hold no secret and has one reading.
const ENDPOINT =
  /^(?:https?|rtsps?|rtmps?):\/\/(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?(?:\/[\x21-\x7e]*)?$/;
const endpointSchema = z
  .string()
  .max(300)
  .refine((text) => ENDPOINT.test(text) && !/[?#\\]/.test(text) && URL.canParse(text), 'not an endpoint URL');

export const CHARGING_MODES = ['free', 'prepaid', 'on-delivery', 'metered'] as const;
/** SRTP suites by the names of RFC 4568 and RFC 7714; `DTLS-SRTP` leaves the choice to the handshake. */
export const SUITES = ['DTLS-SRTP', 'AES_CM_128_HMAC_SHA1_80', 'AEAD_AES_128_GCM'] as const;

export const ticketClaimsSchema = z
  .strictObject({
    /** The order server. */
    iss: issuerSchema,
    /** Streaming servers that may take the ticket. */
    aud: z.array(serverIdSchema).min(1).max(MAX_SERVERS).refine(isDistinct, 'a server is named twice'),
    /** Pseudonym of the order, never the account. */
    sub: z.string().regex(/^[A-Za-z0-9._:-]{1,100}$/),
    jti: z.uuid({ version: 'v7' }),
    iat: unixSeconds,
    nbf: unixSeconds,
    exp: unixSeconds,
    /** Thumbprint of the holder's key (RFC 9449 section 6.1); without it the ticket is a bearer ticket. */
    cnf: z.strictObject({ jkt: base64url32 }).optional(),
    /** Stream path. */
    uri: z.string().refine(isStreamPath, 'not a stream path'),
    endpoints: z.array(endpointSchema).min(1).max(8),
    rights: rightsSchema,
    charging: z.enum(CHARGING_MODES),
    suites: z.array(z.enum(SUITES)).max(SUITES.length).refine(isDistinct, 'a suite is named twice'),
    /** Device id. */
    dev: z
      .string()
      .regex(/^[A-Za-z0-9._:-]{1,64}$/)
      .optional(),
    /** Client address. */
    addr: z.union([z.ipv4(), z.ipv6()]).optional(),
    /** `clear`: plain transports may carry it. */
    transport: z.literal('clear').optional(),
    /** Streaming-server part. */
    ss: sealedSchema,
    /** SHA-256 of the client part. */
    cph: base64url32.optional(),
  })
  .refine(({ nbf, exp }) => exp > nbf, { path: ['exp'], error: 'not after nbf' });

export type TicketClaims = z.infer<typeof ticketClaimsSchema>;

/** What the streaming-server part holds. */
export const ticketSecretSchema = z.strictObject({
  /** 32 bytes. */
  k: base64url32.optional(),
  /** Watermark id. */
  wm: z
    .string()
    .regex(/^[\x21-\x7e]{1,64}$/)
    .optional(),
});
