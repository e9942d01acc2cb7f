/** What an RTSP URL asks for. One spelling: what two readers could read in two ways is refused. */
import { Denial } from '../errors.ts';
import { isStreamPath } from '../rights/index.ts';

/** What there is of a stream. */
export type LineKind = 'video' | 'audio';

export interface RtspTarget {
  /** Stream path. */
  readonly uri: string;
  /** Of a control URL (`/app/name/track=video`): one line of the stream; `undefined`: all of it. */
  readonly line: LineKind | undefined;
  readonly pass: string | undefined;
  /** The URL of the whole stream as the client wrote it, without query and trailing slash. */
  readonly base: string;
}

// No user information: clients cut it off and send it in Authorization.
const URL_FORM =
  /^(rtsps?:\/\/(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?)(\/[^?#]*)(?:\?([^#]*))?$/i;
/** Passes need no escaping. Some clients put a slash, or the control's name, behind the query. */
const QUERY = /^pass=([A-Za-z0-9_-]{1,80})(\/track=(?:video|audio))?\/?$/;
/** No stream path has a `=`. */
const LINE = /\/track=(video|audio)$/;

const lineOf = (path: string): LineKind | undefined => LINE.exec(path)?.[1] as LineKind | undefined;

/** What SDP's `a=control` says of a line, relative to `Content-Base`. */
export const controlOf = (line: LineKind): string => `track=${line}`;

/**
 * Reads `rtsp[s]://host/app/name[/track=video|/track=audio][/][?pass=...]`.
 * @throws Denial `request_malformed`, `not_found`
 */
export function parseRtspUrl(url: string): RtspTarget {
  const [, origin, rawPath = '', query] = URL_FORM.exec(url) ?? [];
  if (origin === undefined) throw new Denial('request_malformed', { detail: 'URL' });
  const path = rawPath.replace(/\/$/, '');
  const uri = path.replace(LINE, '');
  if (!isStreamPath(uri)) throw new Denial('not_found');
  if (query === undefined) return { uri, line: lineOf(path), pass: undefined, base: origin + uri };
  const [, pass, behind = ''] = QUERY.exec(query) ?? [];
  if (pass === undefined) throw new Denial('request_malformed', { detail: 'query' });
  return { uri, line: lineOf(path) ?? lineOf(behind), pass, base: origin + uri };
}
