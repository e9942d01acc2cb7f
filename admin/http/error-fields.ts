/** What of an error may be logged. Database errors carry statements with their parameters: tickets, hashes, addresses. */
import { DrizzleQueryError } from 'drizzle-orm';
import postgres from 'postgres';
import { errorFields as fieldsOfAll, plainFields, type ErrorFields } from '../../plugin/error-fields.ts';

function fieldsOf(error: Error): ErrorFields {
  const { name } = error;
  if (error instanceof postgres.PostgresError) {
    const { code, constraint_name: constraint } = error;
    return { name, code, ...(constraint === undefined ? {} : { constraint }) };
  }
  if (error instanceof DrizzleQueryError) return { name };
  return plainFields(error);
}

/** Names, codes and places of an error and its causes, without any value that it was about. */
export function errorFields(error: unknown): ReturnType<typeof fieldsOfAll> {
  return fieldsOfAll(error, fieldsOf);
}
