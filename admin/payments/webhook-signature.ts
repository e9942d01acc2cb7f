/** Signatures of webhooks: `t=<Unix seconds>,v1=<HMAC-SHA-256 of "<t>.<body>" in hex>`. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { Denial } from '../../plugin/errors.ts';

export const WEBHOOK_SIGNATURE_HEADER = 'usher-signature';
export const MAX_WEBHOOK_BYTES = 4096;
/** How old, or how far ahead, a webhook may be. */
export const WEBHOOK_TOLERANCE_SECONDS = 300;

const HEADER = /^t=(\d{1,12}),v1=([0-9a-f]{64})$/;

function hmac(secret: string, atSeconds: number, body: string): Buffer {
  return createHmac('sha256', secret)
    .update(`${String(atSeconds)}.${body}`)
    .digest();
}

export function signWebhook(secret: string, body: string, nowMs: number): string {
  const atSeconds = Math.floor(nowMs / 1000);
  return `t=${String(atSeconds)},v1=${hmac(secret, atSeconds, body).toString('hex')}`;
}

/** @throws Denial `server_untrusted` when the signature is not the secret's, or too old. */
export function checkWebhook(
  secret: string,
  signature: string | undefined,
  body: string,
  nowMs: number,
): void {
  const match = HEADER.exec(signature ?? '');
  if (match === null) throw new Denial('server_untrusted', { detail: 'signature' });
  const atSeconds = Number(match[1]);
  const given = Buffer.from(match[2] ?? '', 'hex');
  // The signature before the time: who cannot sign learns nothing of our clock.
  if (!timingSafeEqual(given, hmac(secret, atSeconds, body)))
    throw new Denial('server_untrusted', { detail: 'signature' });
  if (Math.abs(nowMs / 1000 - atSeconds) > WEBHOOK_TOLERANCE_SECONDS)
    throw new Denial('server_untrusted', { detail: 'time' });
}
