import { createHash } from 'node:crypto';
import { uuidv7 } from 'uuidv7';

/** A new UUIDv7: random enough not to be guessed from its neighbours, sorted by time. */
export function newId(): string {
  return uuidv7();
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** True if `text` is a UUID in lower case; anything else would be an error inside the database. */
export function isId(text: string): boolean {
  return UUID.test(text);
}

/** SHA-256 of a text, base64url. */
export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}
