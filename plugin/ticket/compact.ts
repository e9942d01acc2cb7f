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

// In valid JSON exactly the strings with a colon behind them are member names.
const STRING_AND_COLON = /"[^"\\]*(?:\\.[^"\\]*)*"\s*(:?)/g;

function countNamesWritten(json: string): number {
  let names = 0;
  for (const match of json.matchAll(STRING_AND_COLON)) if (match[1] === ':') names += 1;
  return names;
}

function countNamesRead(root: object): number {
  let names = 0;
  const pending: unknown[] = [root];
  // A list and not recursion: the depth is the sender's choice.
  while (pending.length > 0) {
    const value = pending.pop();
    if (typeof value !== 'object' || value === null) continue;
    const members: unknown[] = Object.values(value);
    if (!Array.isArray(value)) names += members.length;
    for (const member of members) pending.push(member);
  }
  return names;
}

/**
 * The JSON object in `bytes`, or `null`. Two members of one name are refused (RFC 7515 section 4, RFC 7519 section 4):
 * parsers differ on which one counts.
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
