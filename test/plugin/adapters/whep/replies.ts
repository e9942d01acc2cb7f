import { expect } from 'vitest';
import type { Code } from '../../../../plugin/errors.ts';

/** Status and code of a refusal, which is a problem document (RFC 9457) that says the same. */
export async function codeOf(response: Response): Promise<[number, Code]> {
  expect(response.headers.get('content-type')).toBe('application/problem+json');
  const body = (await response.json()) as { code: Code; status: number };
  expect(body.status).toBe(response.status);
  return [response.status, body.code];
}
