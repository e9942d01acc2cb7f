/** A key attribute or header that is not written as its RFC has it, or asks for something that is not supported. */
export class KeySyntaxError extends Error {
  override readonly name = 'KeySyntaxError';
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/**
 * Decodes base64 (RFC 4648 section 4) that has one spelling only.
 * @param padding whether "=" at the end may be missing
 * @throws KeySyntaxError
 */
export function decodeBase64(text: string, padding: 'required' | 'optional'): Buffer {
  const bytes = BASE64.test(text) ? Buffer.from(text, 'base64') : undefined;
  const whole = bytes?.toString('base64');
  const isCanonical = whole === text || (padding === 'optional' && whole?.replace(/=+$/, '') === text);
  if (bytes === undefined || !isCanonical) throw new KeySyntaxError('the data is not base64');
  return bytes;
}
