/** Strict reading of a JWS in compact serialization (RFC 7515 section 7.1), before anything in it is trusted. */
import type { z } from 'zod';
import { decodeBase64url } from './encoding.ts';

export interface CompactParts {
  readonly header: object;
  readonly payload: object;
  /** What the signature is of: header and payload as they were sent. */
  readonly signingInput: Uint8Array;
  readonly signature: Uint8Array;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const QUOTE = 0x22;
const COLON = 0x3a;
const BACKSLASH = 0x5c;

/** The members that are written in valid JSON: as many as there are colons outside its strings. */
function countNamesWritten(json: string): number {
  let names = 0;
  let inString = false;
  for (let at = 0; at < json.length; at++) {
    const char = json.charCodeAt(at);
    if (char === QUOTE) inString = !inString;
    else if (!inString) names += char === COLON ? 1 : 0;
    // What a backslash escapes, which may be a quote, ends nothing.
    else if (char === BACKSLASH) at++;
  }
  return names;
}

/** Objects and lists within each other; the deepest of ours (a recipient's ephemeral key in a ticket) is the sixth. */
const MAX_DEPTH = 12;

/** The names of all members, or -1 when the value is nested deeper than `MAX_DEPTH`. */
function countNamesRead(root: object, depth = 1): number {
  if (depth > MAX_DEPTH) return -1;
  const members: unknown[] = Array.isArray(root) ? root : Object.values(root);
  let names = Array.isArray(root) ? 0 : members.length;
  for (const member of members) {
    if (typeof member !== 'object' || member === null) continue;
    const inside = countNamesRead(member, depth + 1);
    if (inside === -1) return -1;
    names += inside;
  }
  return names;
}

/**
 * The JSON object in `bytes`, or `null`. Two members of one name are refused (RFC 7515 section 4, RFC 7519 section 4):
 * parsers differ on which one counts. So is what is nested deeper than anything that is said here.
 */
export function parseJsonObject(bytes: Uint8Array): object | null {
  try {
    const json = utf8.decode(bytes);
    const value: unknown = JSON.parse(json);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
    return countNamesWritten(json) === countNamesRead(value) ? value : null;
  } catch {
    return null;
  }
}

/** Header and payload of a compact JWS whose three parts are canonical base64url, or `null`. Nothing is verified. */
export function parseCompact(text: string, maxChars: number): CompactParts | null {
  if (text.length > maxChars) return null;
  const parts = text.split('.', 4);
  const [header, payload, signature] = parts.map(decodeBase64url);
  if (parts.length !== 3 || !header || !payload || !signature || signature.length === 0) return null;
  const headerObject = parseJsonObject(header);
  const payloadObject = parseJsonObject(payload);
  if (headerObject === null || payloadObject === null) return null;
  const signingInput = Buffer.from(text.slice(0, text.lastIndexOf('.')));
  return { header: headerObject, payload: payloadObject, signingInput, signature };
}

/** The name of the first member that a schema refused, for a denial's detail; never its value. */
export function refusedMember(error: z.ZodError, fallback: string): string {
  const path = error.issues[0]?.path ?? [];
  return path.length === 0 ? fallback : path.join('.');
}
