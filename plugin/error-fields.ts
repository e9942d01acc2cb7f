/** What of an error may be logged. Errors of libraries carry what they were about as properties: claims, headers, hosts. */

const MAX_CAUSES = 5;
const MAX_FRAMES = 10;

export interface ErrorFields {
  readonly name: string;
  readonly message?: string;
  readonly code?: string;
  readonly constraint?: string;
}

/** Name, message and code. */
export function plainFields(error: Error): ErrorFields {
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {};
  return { name: error.name, message: error.message, ...code };
}

/** Only the frames: the first lines of a stack repeat the message. */
function framesOf(error: Error): string[] {
  return (error.stack ?? '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.startsWith('at '))
    .slice(0, MAX_FRAMES);
}

/**
 * Names, codes and places of an error and its causes, without any value that it was about.
 * @param fieldsOf what may be said of one of them
 */
export function errorFields(
  error: unknown,
  fieldsOf: (error: Error) => ErrorFields = plainFields,
): { causes: ErrorFields[]; frames: string[] } {
  const causes: ErrorFields[] = [];
  for (let cause = error; cause instanceof Error && causes.length < MAX_CAUSES; cause = cause.cause) {
    causes.push(fieldsOf(cause));
  }
  return { causes, frames: error instanceof Error ? framesOf(error) : [] };
}
