/**
 * What SET_PARAMETER sets (RFC 2326 section 10.9): another ticket for the session, and nothing else; and what GET_PARAMETER
 * gets (section 10.8): its receipts.
 */
import { Denial } from '../errors.ts';
import type { RtspRequest } from './reader.ts';
import { RtspSyntaxError } from './syntax-error.ts';

/** What the body of GET_PARAMETER says. */
export const RECEIPTS = 'receipts';

const TICKET = /^ticket:[ \t]*([A-Za-z0-9._-]{1,4096})[ \t]*(?:\r\n)?$/;

/**
 * The ticket in a body of `text/parameters`, `ticket: <compact ticket>`; `undefined`: no body, the sign of life of some
 * players.
 * @throws Denial `unsupported_media_type`, RtspSyntaxError 451 for any other parameter
 */
export function readTicketParameter({
  headers,
  body,
}: Pick<RtspRequest, 'headers' | 'body'>): string | undefined {
  if (body.length === 0) return undefined;
  const [type = ''] = (headers.get('content-type') ?? '').split(';');
  if (type.trim().toLowerCase() !== 'text/parameters') throw new Denial('unsupported_media_type');
  const [, ticket] = TICKET.exec(body.toString('latin1')) ?? [];
  if (ticket === undefined) throw new RtspSyntaxError(451, 'the parameter is not a ticket');
  return ticket;
}

/** True when a body of GET_PARAMETER asks for the session's receipts. */
export const asksForReceipts = ({ body }: Pick<RtspRequest, 'body'>): boolean =>
  body.toString('latin1').trimEnd() === RECEIPTS;
