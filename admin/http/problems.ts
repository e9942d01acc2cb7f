import { Denial, type Code } from '../../plugin/errors.ts';
import { isSqlState } from '../db/connect.ts';

/** What postgres.js and the system say when the database is away. */
const AWAY = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOENT',
  'EPIPE',
  'ETIMEDOUT',
  'CONNECT_TIMEOUT',
  'CONNECTION_CLOSED',
  'CONNECTION_DESTROYED',
  'CONNECTION_ENDED',
]);

function isDatabaseAway(error: unknown): boolean {
  // Shutdown and "cannot connect now" of PostgreSQL itself.
  if (['57P01', '57P02', '57P03', '53300'].some((state) => isSqlState(error, state))) return true;
  for (
    let cause: unknown = error, depth = 0;
    cause instanceof Error && depth < 5;
    cause = cause.cause, depth++
  ) {
    if ('code' in cause && typeof cause.code === 'string' && AWAY.has(cause.code)) return true;
  }
  return false;
}

/** The code for an error that is not a Denial. */
export function codeOf(error: unknown): Code {
  return isDatabaseAway(error) ? 'overloaded' : 'internal';
}

/** Any error as a refusal; a database that is away is a 503, so that callers come again. */
export function toDenial(error: unknown): Denial {
  return error instanceof Denial ? error : new Denial(codeOf(error), { cause: error });
}
