/** Server nonces for DPoP (RFC 9449 section 8), without state: processes that share the secret share the nonces. */
import { createHmac } from 'node:crypto';
import type { Clock } from '../ports.ts';
import { equalText } from './encoding.ts';

export interface Nonces {
  /** The nonce to hand out now: 43 characters, base64url. */
  current(): string;
  /** True for the nonces of this and the previous period: each lives one to two periods. */
  isCurrent(text: string): boolean;
}

export interface NoncesOptions {
  /** At least 32 random bytes. */
  readonly secret: Uint8Array;
  readonly clock: Pick<Clock, 'nowMs'>;
  /** Default 60. */
  readonly periodSeconds?: number;
}

/** Makes the nonces of one server. Throws TypeError for a short secret or a period that is not positive. */
export function createNonces({ secret, clock, periodSeconds = 60 }: NoncesOptions): Nonces {
  if (secret.byteLength < 32) throw new TypeError('the secret has fewer than 32 bytes');
  if (!(periodSeconds > 0)) throw new TypeError('periodSeconds is not positive');
  const key = Uint8Array.from(secret);
  let period = Number.NaN;
  let now = '';
  let before = '';

  const nonceOf = (number: number): string =>
    createHmac('sha256', key).update(`usher dpop nonce ${number}`).digest('base64url');

  function advance(): void {
    const reached = Math.floor(clock.nowMs() / (periodSeconds * 1000));
    // Never back, even if the clock is: what was used with an old nonce is forgotten by now.
    if (reached <= period) return;
    period = reached;
    now = nonceOf(reached);
    before = nonceOf(reached - 1);
  }

  return {
    current() {
      advance();
      return now;
    },
    isCurrent(text) {
      advance();
      const isNow = equalText(text, now);
      const isBefore = equalText(text, before);
      return isNow || isBefore;
    },
  };
}
