import type { Context } from 'hono';
import { Denial } from '../../plugin/errors.ts';

const UTF8 = /^charset="?utf-8"?$/i;

/** True for the media type itself, with nothing but UTF-8 as parameter. */
function isMediaType(header: string, mediaType: string): boolean {
  const [type = '', ...parameters] = header.split(';').map((part) => part.trim());
  return type.toLowerCase() === mediaType && parameters.every((parameter) => UTF8.test(parameter));
}

/**
 * Reads a body of one media type, as far as the limit and no further.
 * @throws Denial `unsupported_media_type`, `body_too_large`, `request_malformed` (not UTF-8, or cut short).
 */
export async function readBody(context: Context, mediaType: string, maxBytes: number): Promise<string> {
  if (!isMediaType(context.req.header('content-type') ?? '', mediaType)) {
    throw new Denial('unsupported_media_type', { detail: `content-type must be ${mediaType}` });
  }
  if (Number(context.req.header('content-length') ?? 0) > maxBytes) throw new Denial('body_too_large');
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of context.req.raw.body ?? []) {
      bytes += chunk.byteLength;
      if (bytes > maxBytes) throw new Denial('body_too_large');
      chunks.push(chunk);
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch (error) {
    if (error instanceof Denial) throw error;
    throw new Denial('request_malformed', { detail: 'body', cause: error });
  }
}
