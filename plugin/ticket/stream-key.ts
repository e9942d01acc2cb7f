/** Stream keys: the rotating secrets of publishers, short enough for an RTMP URL. */
import { randomBytes } from 'node:crypto';
import { sha256Base64url } from './encoding.ts';

const STREAM_KEY = /^sk_[A-Za-z0-9_-]{22}$/;

/** A new stream key: `sk_` and 128 random bits in base64url. Shown once; only its hash is stored. */
export function createStreamKey(): string {
  return `sk_${randomBytes(16).toString('base64url')}`;
}

/** What is stored of a stream key, and sent to the order server: SHA-256 in base64url, 43 characters. */
export function hashStreamKey(key: string): string {
  return sha256Base64url(key);
}

/** True if a text has the form of a stream key. */
export function isStreamKey(text: string): boolean {
  return STREAM_KEY.test(text);
}
