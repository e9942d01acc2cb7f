/** Bodies: bounded, with a deadline, of the type that is expected. */
import { Denial } from '../errors.ts';

/** RFC 9110 section 8.3.1: the type decides, parameters are let be. */
export function requireContentType(request: Request, type: string): void {
  const given = request.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase();
  if (given !== type) throw new Denial('unsupported_media_type', { detail: `expected ${type}` });
}

/**
 * Reads a body as UTF-8 text.
 * @throws Denial `body_too_large`; `request_malformed` when it takes longer than `deadlineMs`, breaks off, or is not UTF-8.
 */
export async function readText(request: Request, maxBytes: number, deadlineMs: number): Promise<string> {
  if (Number(request.headers.get('content-length') ?? 0) > maxBytes) throw new Denial('body_too_large');
  if (request.body === null) return '';
  const reader = request.body.getReader();
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(new Denial('request_malformed', { detail: 'the body came too slowly' })),
    deadlineMs,
  );
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await Promise.race([reader.read(), late.promise]);
      if (done) break;
      bytes += value.byteLength;
      if (bytes > maxBytes) throw new Denial('body_too_large');
      chunks.push(value);
    }
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(chunks));
  } catch (error) {
    reader.cancel().catch(() => undefined);
    if (error instanceof Denial) throw error;
    throw new Denial('request_malformed', { detail: 'the body could not be read', cause: error });
  } finally {
    clearTimeout(timer);
  }
}
