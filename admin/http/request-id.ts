/** Each request's name in the logs, in its answer and in the audit log. */
import { randomUUID } from 'node:crypto';

export const REQUEST_ID_HEADER = 'x-request-id';

/** What proxies make: UUIDs, hex, ULIDs. Nothing that could forge a line of a log. */
const REQUEST_ID = /^[A-Za-z0-9_-]{8,64}$/;

/**
 * The id that a proxy has given a request, or a new one.
 * @param header X-Request-Id as it came
 * @param trustedProxies proxies in front; without one, whatever is in the header is a client's invention
 */
export function requestIdOf(header: string | undefined, trustedProxies: number): string {
  return trustedProxies > 0 && header !== undefined && REQUEST_ID.test(header) ? header : randomUUID();
}
