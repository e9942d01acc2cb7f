/**
 * Stream paths: `/app/name`, the name of a title on every protocol. Two segments or more, each of unreserved
 * characters only, so that no decoding, dot segment or empty segment can make two spellings of one stream.
 */
const SEGMENT = /^(?!\.{1,2}$)[A-Za-z0-9._~-]{1,64}$/;
const MAX_PATH_CHARS = 200;

/** True if `text` is a stream path in its one canonical spelling. */
export function isStreamPath(text: string): boolean {
  if (text.length > MAX_PATH_CHARS || !text.startsWith('/')) return false;
  const segments = text.slice(1).split('/');
  return segments.length >= 2 && segments.length <= 4 && segments.every((segment) => SEGMENT.test(segment));
}

/** True if a ticket for `granted` covers `asked`: the same segments, all of them (`/live/foo` is not `/live/foobar`). */
export function coversPath(granted: string, asked: string): boolean {
  return isStreamPath(granted) && isStreamPath(asked) && granted === asked;
}
