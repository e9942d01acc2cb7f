/** How a ticket is presented: `Authorization: DPoP <ticket>` or `Bearer <ticket>`. */
import { Denial } from '../errors.ts';
import { MAX_TICKET_CHARS } from './claims.ts';

const AUTHORIZATION = /^(DPoP|Bearer) +([A-Za-z0-9_.-]+)$/i;
/** The longer scheme, and white space. */
const MAX_SCHEME_CHARS = 16;

export interface PresentedTicket {
  readonly scheme: 'dpop' | 'bearer';
  readonly ticket: string;
}

/**
 * Reads the field (RFC 9449 section 7.1, RFC 6750 section 2.1); the ticket in it is not verified.
 * @throws Denial `ticket_missing`, `ticket_malformed`
 */
export function parseAuthorization(header: string | undefined): PresentedTicket {
  if (header === undefined || header === '') throw new Denial('ticket_missing');
  if (header.length > MAX_TICKET_CHARS + MAX_SCHEME_CHARS) throw new Denial('ticket_malformed');
  const match = AUTHORIZATION.exec(header);
  if (match?.[1] === undefined || match[2] === undefined) throw new Denial('ticket_malformed');
  return { scheme: match[1].toLowerCase() === 'dpop' ? 'dpop' : 'bearer', ticket: match[2] };
}
