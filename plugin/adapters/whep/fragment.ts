/** ICE fragments of PATCH, `application/trickle-ice-sdpfrag` (RFC 8840 section 9). */
import { Denial } from '../../errors.ts';

export const MAX_FRAGMENT_BYTES = 16 * 1024;
const MAX_LINE_CHARS = 1024;
const MAX_CANDIDATES = 100;
const LINE = /^[am]=[\x20-\x7e]+$/;
const UFRAG = /^[A-Za-z0-9+/]{4,256}$/;
const PWD = /^[A-Za-z0-9+/]{22,256}$/;

export interface IceCredentials {
  readonly ufrag: string;
  readonly pwd: string;
}

/**
 * The credentials that a client's fragment names, `undefined` if none. Its candidates are counted and dropped: an
 * ice-lite end only answers checks (RFC 8445 section 2.5).
 * @throws Denial `sdp_malformed`
 */
export function parseFragment(text: string): IceCredentials | undefined {
  const malformed = (detail: string): Denial => new Denial('sdp_malformed', { detail });
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  if (lines.length === 0) throw malformed('the fragment is empty');
  let ufrag: string | undefined;
  let pwd: string | undefined;
  let candidates = 0;
  for (const line of lines) {
    if (line.length > MAX_LINE_CHARS || !LINE.test(line))
      throw malformed('a line is not a=<text> or m=<text>');
    if (line.startsWith('a=candidate:')) candidates += 1;
    // All sections are bundled: the first credentials are those of the one transport.
    if (line.startsWith('a=ice-ufrag:')) ufrag ??= line.slice('a=ice-ufrag:'.length);
    if (line.startsWith('a=ice-pwd:')) pwd ??= line.slice('a=ice-pwd:'.length);
  }
  if (candidates > MAX_CANDIDATES) throw malformed('too many candidates');
  if (ufrag === undefined && pwd === undefined) return undefined;
  if (ufrag === undefined || pwd === undefined || !UFRAG.test(ufrag) || !PWD.test(pwd)) {
    throw malformed('ice-ufrag or ice-pwd');
  }
  return { ufrag, pwd };
}

/** The answer's ICE part with new credentials: the reply to a restart. The answer is this server's own. */
export function writeFragment(answer: string, { ufrag, pwd }: IceCredentials): string {
  const lines = answer.split('\r\n');
  const tagged = lines.findIndex((line) => /^m=\S+ [1-9]/.test(line));
  const next = lines.findIndex((line, index) => index > tagged && line.startsWith('m='));
  const section = lines.slice(tagged, next === -1 ? undefined : next);
  const pick = (from: readonly string[], ...starts: string[]): string[] =>
    from.filter((line) => starts.some((start) => line.startsWith(start)));
  return [
    ...pick(lines, 'a=ice-lite'),
    ...pick(lines, 'a=group:BUNDLE'),
    ...pick(section, 'm=', 'a=mid:'),
    `a=ice-ufrag:${ufrag}`,
    `a=ice-pwd:${pwd}`,
    ...pick(section, 'a=candidate:', 'a=end-of-candidates'),
    '',
  ].join('\r\n');
}
