/** What of an error may be logged. Database errors carry statements with their parameters: tickets, hashes, addresses. */
import { DrizzleQueryError } from 'drizzle-orm';
import postgres from 'postgres';

const MAX_CAUSES = 5;

interface ErrorFields {
  readonly name: string;
  readonly message?: string;
  readonly code?: string;
  readonly constraint?: string;
}

function fieldsOf(error: Error): ErrorFields {
  const { name } = error;
  if (error instanceof postgres.PostgresError) {
    const { code, constraint_name: constraint } = error;
    return { name, code, ...(constraint === undefined ? {} : { constraint }) };
  }
  if (error instanceof DrizzleQueryError) return { name };
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {};
  return { name, message: error.message, ...code };
}

/** Only the frames: the first lines of a stack repeat the message. */
function framesOf(error: Error): string[] {
  return (error.stack ?? '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.startsWith('at '))
    .slice(0, 10);
}

/** Names, codes and places of an error and its causes, without any value that it was about. */
export function errorFields(error: unknown): { causes: ErrorFields[]; frames: string[] } {
  const causes: ErrorFields[] = [];
  for (let cause = error; cause instanceof Error && causes.length < MAX_CAUSES; cause = cause.cause) {
    causes.push(fieldsOf(cause));
  }
  return { causes, frames: error instanceof Error ? framesOf(error) : [] };
}
