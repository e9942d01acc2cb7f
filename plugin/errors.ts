/**
 * One table for every refusal: what it means, and its status on each protocol. The code is also the
 * `code` of the problem document, GraphQL's `extensions.code`, the log field and the metric label.
 */

interface Refusal {
  /** Shown to people; names the claim or the rule, never a value. */
  readonly title: string;
  readonly http: number;
  /** RTSP status (RFC 2326 section 7.1.1). */
  readonly rtsp: number;
  /** `code` of the RTMP onStatus object. */
  readonly rtmp: string;
  /** Seconds after which trying again makes sense. */
  readonly retryAfterSeconds?: number;
}

const PLAY_DENIED = 'NetStream.Play.Failed';

export const REFUSALS = {
  // The ticket.
  ticket_missing: { title: 'A ticket is required', http: 401, rtsp: 401, rtmp: PLAY_DENIED },
  ticket_malformed: { title: 'The ticket is malformed', http: 401, rtsp: 401, rtmp: PLAY_DENIED },
  ticket_untrusted: {
    title: 'The ticket is not signed by a trusted order server',
    http: 401,
    rtsp: 401,
    rtmp: PLAY_DENIED,
  },
  ticket_expired: { title: 'The ticket has expired', http: 401, rtsp: 401, rtmp: PLAY_DENIED },
  ticket_not_yet_valid: { title: 'The ticket is not valid yet', http: 403, rtsp: 403, rtmp: PLAY_DENIED },
  ticket_wrong_audience: {
    title: 'The ticket is for another streaming server',
    http: 403,
    rtsp: 403,
    rtmp: PLAY_DENIED,
  },
  ticket_wrong_uri: { title: 'The ticket is for another stream', http: 403, rtsp: 403, rtmp: PLAY_DENIED },
  ticket_revoked: { title: 'The ticket has been revoked', http: 403, rtsp: 403, rtmp: PLAY_DENIED },
  // Proof of possession (RFC 9449).
  proof_missing: { title: 'A proof of possession is required', http: 401, rtsp: 401, rtmp: PLAY_DENIED },
  proof_invalid: { title: 'The proof of possession is not valid', http: 401, rtsp: 401, rtmp: PLAY_DENIED },
  proof_nonce_required: {
    title: 'The proof needs a current nonce of this server',
    http: 401,
    rtsp: 401,
    rtmp: PLAY_DENIED,
  },
  proof_replayed: { title: 'The proof has been used before', http: 401, rtsp: 401, rtmp: PLAY_DENIED },
  device_blocked: { title: 'The device is blocked', http: 403, rtsp: 403, rtmp: PLAY_DENIED },
  // The pass: what a ticket and its proof were exchanged for.
  pass_invalid: {
    title: 'The pass is unknown, used or too old',
    http: 401,
    rtsp: 401,
    rtmp: PLAY_DENIED,
  },
  transport_insecure: {
    title: 'This ticket is not for media in the clear: use TLS',
    http: 403,
    rtsp: 403,
    rtmp: PLAY_DENIED,
  },
  // Rights.
  rights_insufficient: {
    title: 'The ticket does not carry this right',
    http: 403,
    rtsp: 403,
    rtmp: PLAY_DENIED,
  },
  rights_exhausted: {
    title: 'The rights of the ticket are used up',
    http: 403,
    rtsp: 403,
    rtmp: PLAY_DENIED,
  },
  rights_concurrency: {
    title: 'The ticket is in use as often at once as it allows',
    http: 409,
    rtsp: 453,
    rtmp: PLAY_DENIED,
    retryAfterSeconds: 10,
  },
  // Publishing.
  stream_key_invalid: {
    title: 'The stream key is not valid for this stream',
    http: 403,
    rtsp: 403,
    rtmp: 'NetStream.Publish.Denied',
  },
  stream_busy: {
    title: 'The stream already has a publisher',
    http: 409,
    rtsp: 453,
    rtmp: 'NetStream.Publish.BadName',
  },
  // Media.
  stream_offline: {
    title: 'The stream is off air',
    http: 409,
    rtsp: 404,
    rtmp: 'NetStream.Play.StreamNotFound',
    retryAfterSeconds: 3,
  },
  offer_unsupported: {
    title: 'Nothing in the offer can carry this stream',
    http: 422,
    rtsp: 461,
    rtmp: PLAY_DENIED,
  },
  sdp_malformed: { title: 'The session description is malformed', http: 400, rtsp: 400, rtmp: PLAY_DENIED },
  session_ended: { title: 'The session has ended', http: 404, rtsp: 454, rtmp: PLAY_DENIED },
  media_lost: {
    title: 'The media of the session was lost: ask for it again with the same attempt',
    http: 409,
    rtsp: 503,
    rtmp: PLAY_DENIED,
  },
  // The request itself.
  request_malformed: { title: 'The request is malformed', http: 400, rtsp: 400, rtmp: PLAY_DENIED },
  unsupported_media_type: {
    title: 'The content type is not supported',
    http: 415,
    rtsp: 415,
    rtmp: PLAY_DENIED,
  },
  body_too_large: { title: 'The body is too large', http: 413, rtsp: 413, rtmp: PLAY_DENIED },
  method_not_allowed: { title: 'The method is not allowed here', http: 405, rtsp: 405, rtmp: PLAY_DENIED },
  not_found: { title: 'There is nothing here', http: 404, rtsp: 404, rtmp: PLAY_DENIED },
  precondition_required: {
    title: 'The request must carry If-Match',
    http: 428,
    rtsp: 412,
    rtmp: PLAY_DENIED,
  },
  precondition_failed: {
    title: 'If-Match names another state of the session',
    http: 412,
    rtsp: 412,
    rtmp: PLAY_DENIED,
  },
  // The house.
  server_untrusted: {
    title: 'The message is not signed by a registered server',
    http: 401,
    rtsp: 401,
    rtmp: PLAY_DENIED,
  },
  message_replayed: { title: 'The message has been used before', http: 409, rtsp: 403, rtmp: PLAY_DENIED },
  enrolment_refused: { title: 'The enrolment code is not valid', http: 403, rtsp: 403, rtmp: PLAY_DENIED },
  tls_required: { title: 'This goes over TLS only', http: 403, rtsp: 403, rtmp: PLAY_DENIED },
  rate_limited: {
    title: 'Too many requests',
    http: 429,
    rtsp: 503,
    rtmp: PLAY_DENIED,
    retryAfterSeconds: 10,
  },
  order_server_unreachable: {
    title: 'The order server cannot be reached',
    http: 503,
    rtsp: 503,
    rtmp: PLAY_DENIED,
    retryAfterSeconds: 5,
  },
  overloaded: {
    title: 'The server is at its limit',
    http: 503,
    rtsp: 503,
    rtmp: PLAY_DENIED,
    retryAfterSeconds: 10,
  },
  internal: { title: 'Something went wrong here', http: 500, rtsp: 500, rtmp: PLAY_DENIED },
  // The order server's admin API.
  unauthenticated: { title: 'Sign in first', http: 401, rtsp: 401, rtmp: PLAY_DENIED },
  credentials_invalid: { title: 'Email or password is wrong', http: 401, rtsp: 401, rtmp: PLAY_DENIED },
  forbidden: { title: 'This account may not do that', http: 403, rtsp: 403, rtmp: PLAY_DENIED },
  input_invalid: { title: 'The input is not valid', http: 400, rtsp: 400, rtmp: PLAY_DENIED },
  conflict: { title: 'This contradicts what is there', http: 409, rtsp: 453, rtmp: PLAY_DENIED },
  idempotency_conflict: {
    title: 'The idempotency key was used with other input',
    http: 409,
    rtsp: 453,
    rtmp: PLAY_DENIED,
  },
  not_on_sale: { title: 'This cannot be bought here and now', http: 409, rtsp: 403, rtmp: PLAY_DENIED },
  code_invalid: { title: 'The code is not valid for this', http: 403, rtsp: 403, rtmp: PLAY_DENIED },
  funds_insufficient: {
    title: 'The balance does not cover the price',
    http: 402,
    rtsp: 402,
    rtmp: PLAY_DENIED,
  },
  payment_declined: { title: 'The payment was declined', http: 402, rtsp: 402, rtmp: PLAY_DENIED },
} as const satisfies Record<string, Refusal>;

export type Code = keyof typeof REFUSALS;

export interface DenialOptions {
  /** One more sentence for people; never a secret, a ticket, a key or a claim's value. */
  readonly detail?: string;
  /** Seconds; overrides the table's. */
  readonly retryAfterSeconds?: number;
  /** Of a session that has ended: why, one of `END_REASONS` (contract.ts). */
  readonly reason?: string;
  readonly cause?: unknown;
}

/** A refusal with a stable `code`. Wrong use of the API by a caller is a TypeError instead. */
export class Denial extends Error {
  override readonly name = 'Denial';
  readonly code: Code;
  readonly detail: string | undefined;
  readonly retryAfterSeconds: number | undefined;
  readonly reason: string | undefined;

  constructor(code: Code, options: DenialOptions = {}) {
    super(REFUSALS[code].title, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.detail = options.detail;
    this.reason = options.reason;
    this.retryAfterSeconds = options.retryAfterSeconds ?? refusalOf(code).retryAfterSeconds;
  }
}

/** The table row of a code. */
export function refusalOf(code: Code): Refusal {
  return REFUSALS[code];
}

/** `code` of the RTMP onStatus object that refuses `play` or `publish`. */
export function rtmpStatus(code: Code, command: 'play' | 'publish'): string {
  const { rtmp } = refusalOf(code);
  return command === 'publish' && rtmp.startsWith('NetStream.Play.') ? 'NetStream.Publish.Denied' : rtmp;
}

/** WebSocket close code of a refusal: its HTTP status in the range for private use (RFC 6455 section 7.4.2). */
export function webSocketCloseCode(code: Code): number {
  return 4000 + refusalOf(code).http;
}

/** RFC 9457 problem document of a refusal, as a web Response. */
export function problemResponse(denial: Denial, headers: Record<string, string> = {}): Response {
  const row = refusalOf(denial.code);
  const body = {
    type: `urn:usher:problem:${denial.code}`,
    title: row.title,
    status: row.http,
    code: denial.code,
    ...(denial.detail === undefined ? {} : { detail: denial.detail }),
    ...(denial.reason === undefined ? {} : { reason: denial.reason }),
  };
  return new Response(JSON.stringify(body), {
    status: row.http,
    headers: {
      'content-type': 'application/problem+json',
      'cache-control': 'no-store',
      ...(denial.retryAfterSeconds === undefined ? {} : { 'retry-after': String(denial.retryAfterSeconds) }),
      ...headers,
    },
  });
}

/** Any thrown value as a refusal; what is not one of ours becomes `internal`, with the cause kept for the log. */
export function asDenial(error: unknown): Denial {
  return error instanceof Denial ? error : new Denial('internal', { cause: error });
}
