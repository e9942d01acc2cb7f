/** What can go wrong, in plain words. Codes are those of the servers' problem documents, and a few of our own. */

/** What the viewer can do about it. `wait`: the player tries again by itself. */
export type Remedy = 'wait' | 'retry' | 'buy' | 'none';

export interface Words {
  readonly title: string;
  readonly text: string;
  readonly remedy: Remedy;
}

const AGAIN = 'It starts by itself as soon as that is over; you can leave this page open.';

const WORDS: Readonly<Record<string, Words>> = {
  // Worth waiting for.
  stream_offline: {
    title: 'Bought. Off air now — it starts by itself.',
    text: 'Leave this page open: the picture comes as soon as the broadcast begins.',
    remedy: 'wait',
  },
  order_server_unreachable: { title: 'The shop is not answering', text: AGAIN, remedy: 'wait' },
  overloaded: { title: 'Every seat is taken for a moment', text: AGAIN, remedy: 'wait' },
  rate_limited: { title: 'Too many tries in a short time', text: AGAIN, remedy: 'wait' },
  network: { title: 'The streaming server cannot be reached', text: AGAIN, remedy: 'wait' },
  internal: { title: 'The streaming server had a fault', text: AGAIN, remedy: 'wait' },
  server_stopped: { title: 'The streaming server is restarting', text: AGAIN, remedy: 'wait' },
  connection_lost: { title: 'The connection dropped', text: 'Connecting again…', remedy: 'wait' },

  // The ticket has done its work.
  ticket_expired: {
    title: 'Your ticket has expired',
    text: 'The time you bought is over. Buy another ticket to go on watching.',
    remedy: 'buy',
  },
  rights_exhausted: {
    title: 'Your ticket is used up',
    text: 'Everything it allowed has been watched. Buy another ticket to go on.',
    remedy: 'buy',
  },
  ticket_revoked: {
    title: 'Your ticket was withdrawn',
    text: 'The shop has withdrawn this ticket. Ask the shop if that comes as a surprise.',
    remedy: 'none',
  },
  ticket_not_yet_valid: {
    title: 'Your ticket is not valid yet',
    text: 'Its time has not come. Try again when it starts.',
    remedy: 'retry',
  },
  device_blocked: {
    title: 'This device is blocked',
    text: 'The shop does not allow this device to play. Ask the shop.',
    remedy: 'none',
  },

  // Where and how it is used.
  rights_concurrency: {
    title: 'Playing elsewhere',
    text: 'This ticket is playing in another window or on another device. Stop it there, then try again here.',
    remedy: 'retry',
  },
  replaced: {
    title: 'Playing elsewhere',
    text: 'The same ticket was started in another place.',
    remedy: 'retry',
  },
  rights_insufficient: {
    title: 'Your ticket does not cover this',
    text: 'It was bought for something else. Choose a ticket that covers it.',
    remedy: 'buy',
  },
  kicked: {
    title: 'The session was ended',
    text: 'Someone at the shop has ended this session.',
    remedy: 'retry',
  },
  session_ended: {
    title: 'The session has ended',
    text: 'The server closed it. You can start it again if your ticket still allows it.',
    remedy: 'retry',
  },
  completed: { title: 'The end', text: 'That was all of it.', remedy: 'none' },
  connection_failed: {
    title: 'No connection for the picture',
    text: 'The server answered, but no media gets through. A firewall may block it (UDP and TCP of the media port).',
    remedy: 'retry',
  },
  transport_insecure: {
    title: 'Only over an encrypted connection',
    text: 'This ticket is not for pictures in the clear, and the server has no other way here.',
    remedy: 'none',
  },
  not_found: {
    title: 'Only here',
    text: 'This server has no addresses for other players.',
    remedy: 'none',
  },
  viewer_stalled: {
    title: 'The connection was too slow',
    text: 'The picture could not be delivered as fast as it is broadcast.',
    remedy: 'retry',
  },
  offer_unsupported: {
    title: 'This browser cannot play it',
    text: 'Browser and stream have no picture format in common.',
    remedy: 'none',
  },

  // The ticket or its proof is refused.
  ticket_untrusted: refused('The streaming server does not trust the shop that sold this ticket.'),
  ticket_wrong_audience: refused('This ticket is for another streaming server.'),
  ticket_wrong_uri: refused('This ticket is for another stream.'),
  ticket_malformed: refused('The streaming server cannot read this ticket.'),
  pass_invalid: refused('The address was used before, or too late.'),
  ticket_missing: refused('The ticket did not arrive.'),
  proof_invalid: refused(
    'The proof that the ticket is yours was not accepted. Is this device’s clock right?',
  ),
  proof_nonce_required: refused('The proof that the ticket is yours was too old. Try again.'),
  proof_missing: refused('The proof that the ticket is yours did not arrive.'),
  proof_replayed: refused('The proof that the ticket is yours had been used before. Try again.'),

  // The shop.
  unauthenticated: {
    title: 'Please sign in',
    text: 'You are signed out. Sign in and try again.',
    remedy: 'none',
  },
  credentials_invalid: {
    title: 'That did not match',
    text: 'E-mail address or password is not right.',
    remedy: 'none',
  },
  funds_insufficient: {
    title: 'Your balance does not cover this',
    text: 'Top up your balance or choose a cheaper ticket.',
    remedy: 'none',
  },
  not_on_sale: {
    title: 'Not on sale here and now',
    text: 'The shop does not sell this in your country or at this time, or what there was of it today is taken.',
    remedy: 'none',
  },
  code_invalid: {
    title: 'This code does not work',
    text: 'It is mistyped, used up, no longer valid, or meant for something else. Nothing was charged.',
    remedy: 'none',
  },
  forbidden: { title: 'Not allowed', text: 'This account may not do that.', remedy: 'none' },
  input_invalid: {
    title: 'Please check your entries',
    text: 'Something is missing or not valid.',
    remedy: 'none',
  },
  payment_declined: {
    title: 'The payment was declined',
    text: 'Nothing was charged. Try another card, or another way to pay.',
    remedy: 'none',
  },
  payment_pending: {
    title: 'The payment is being checked',
    text: 'That takes longer than usual. Order again in a moment: the same order is not charged twice.',
    remedy: 'retry',
  },
  conflict: { title: 'That is taken', text: 'This contradicts what is already there.', remedy: 'none' },
  idempotency_conflict: {
    title: 'The order was mixed up',
    text: 'An earlier try of this order was different. Try again.',
    remedy: 'retry',
  },
  shop_unreachable: {
    title: 'The shop cannot be reached',
    text: 'Check your connection and try again. Nothing is charged twice.',
    remedy: 'retry',
  },
};

function refused(text: string): Words {
  return { title: 'The ticket was refused', text, remedy: 'retry' };
}

/** Words for a code; a code that is not in the table gets honest general ones. */
export function wordsFor(code: string): Words {
  return (
    WORDS[code] ?? { title: 'Something went wrong', text: `The server answered “${code}”.`, remedy: 'retry' }
  );
}

/** Reasons of an end that are told in other words here. */
const CODE_OF_REASON: Readonly<Record<string, string>> = {
  source_ended: 'stream_offline',
  expired: 'ticket_expired',
  exhausted: 'rights_exhausted',
  revoked: 'ticket_revoked',
  server_crashed: 'server_stopped',
  above_tier: 'rights_insufficient',
};

/** The code for why a session has ended, as its receipts and its URL say it. */
export function codeOfEnd(reason: string): string {
  return CODE_OF_REASON[reason] ?? reason;
}

/** True if the player should try again by itself. */
export function isWorthWaiting(code: string): boolean {
  return wordsFor(code).remedy === 'wait';
}

/** A refusal by a server, or a request that got no answer (`network`, `shop_unreachable`). */
export class Problem extends Error {
  override readonly name = 'Problem';
  readonly code: string;
  /** Seconds after which trying again makes sense, `null` when the server did not say. */
  readonly retryAfterSeconds: number | null;
  /** Why a session has ended, as its receipts say it; `null` when the server did not say. */
  readonly reason: string | null;

  constructor(
    code: string,
    options: {
      readonly detail?: string;
      readonly retryAfterSeconds?: number | null;
      readonly reason?: string | null;
      readonly cause?: unknown;
    } = {},
  ) {
    super(options.detail ?? wordsFor(code).text, { cause: options.cause });
    this.code = code;
    this.retryAfterSeconds = options.retryAfterSeconds ?? null;
    this.reason = options.reason ?? null;
  }
}

/** Any thrown value as a Problem. */
export function asProblem(error: unknown): Problem {
  return error instanceof Problem ? error : new Problem('unexpected', { cause: error });
}

const MAX_RETRY_AFTER_SECONDS = 300;

/** Reads an RFC 9457 problem document; whatever else an intermediary may answer becomes `internal`. */
export async function readProblem(response: Response): Promise<Problem> {
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN);
  const retryAfterSeconds =
    Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds, MAX_RETRY_AFTER_SECONDS) : null;
  const body = (await response.json().catch(() => null)) as Partial<Record<string, unknown>> | null;
  const text = (name: string): string | null => {
    const value = body?.[name];
    return typeof value === 'string' ? value : null;
  };
  return new Problem(text('code') ?? 'internal', { retryAfterSeconds, reason: text('reason') });
}
