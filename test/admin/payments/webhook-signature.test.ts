import { expect, it } from 'vitest';
import {
  checkWebhook,
  signWebhook,
  WEBHOOK_TOLERANCE_SECONDS,
} from '../../../admin/payments/webhook-signature.ts';

const SECRET = 'insecure-test-webhook-secret-0123456789';
const BODY = '{"id":"1"}';
const NOW_MS = Date.parse('2026-05-01T12:00:00Z');
const signature = signWebhook(SECRET, BODY, NOW_MS);
const offMs = (seconds: number) => NOW_MS + seconds * 1000;

it('is made of the time and the body', () => {
  // printf '1777636800.{"id":"1"}' | openssl dgst -sha256 -hmac insecure-test-webhook-secret-0123456789
  expect(signature).toBe(
    `t=${String(NOW_MS / 1000)},v1=fe2101790feaaaf39d4ae7706ae994f581546db7e0cbf518f72d83507738c8a0`,
  );
});

it.each([0, WEBHOOK_TOLERANCE_SECONDS, -WEBHOOK_TOLERANCE_SECONDS])('is good %i s later', (seconds) => {
  expect(() => {
    checkWebhook(SECRET, signature, BODY, offMs(seconds));
  }).not.toThrow();
});

it.each<[string, [string, string | undefined, string, number], string]>([
  ['another secret', [`${SECRET}x`, signature, BODY, NOW_MS], 'signature'],
  ['another body', [SECRET, signature, `${BODY} `, NOW_MS], 'signature'],
  ['no header', [SECRET, undefined, BODY, NOW_MS], 'signature'],
  ['an empty header', [SECRET, '', BODY, NOW_MS], 'signature'],
  ['a short digest', [SECRET, signature.slice(0, -2), BODY, NOW_MS], 'signature'],
  ['capitals', [SECRET, signature.toUpperCase(), BODY, NOW_MS], 'signature'],
  ['something behind', [SECRET, `${signature},v0=1`, BODY, NOW_MS], 'signature'],
  ['another time in the header', [SECRET, signature.replace(/t=\d/, 't=2'), BODY, NOW_MS], 'signature'],
  ['an old one', [SECRET, signature, BODY, offMs(WEBHOOK_TOLERANCE_SECONDS + 1)], 'time'],
  ['one of the future', [SECRET, signature, BODY, offMs(-WEBHOOK_TOLERANCE_SECONDS - 1)], 'time'],
])('%s is refused', (_what, args, detail) => {
  expect(() => {
    checkWebhook(...args);
  }).toThrow(expect.objectContaining({ code: 'server_untrusted', detail }));
});
