/** What a URL of FLV over HTTP or WebSocket asks for. One spelling: what two readers could read in two ways is refused. */
import { Denial } from '../../errors.ts';
import { isHostPath } from './host-path.ts';

export interface FlvTarget {
  /** Stream path. */
  readonly uri: string;
  readonly pass?: string;
  readonly key?: string;
}

const MAX_URL_CHARS = 2048;
const SUFFIX = '.flv';
/** At most one parameter; passes and stream keys need no escaping. */
const QUERY = /^(pass|key)=([A-Za-z0-9_-]{1,80})$/;

/**
 * Reads `/app/name.flv` with at most one of `?pass=` and `?key=`.
 * @param basePath what the listener's paths begin with, without a trailing slash
 * @throws Denial `request_malformed`; `not_found` for what is not FLV at all, or not under the base
 */
export function parseFlvUrl(url: string, basePath = ''): FlvTarget {
  if (url.length > MAX_URL_CHARS || !url.startsWith('/')) throw new Denial('request_malformed');
  const mark = url.indexOf('?');
  const fullPath = mark === -1 ? url : url.slice(0, mark);
  if (!fullPath.startsWith(`${basePath}/`)) throw new Denial('not_found');
  const path = fullPath.slice(basePath.length);
  const query = mark === -1 ? '' : url.slice(mark + 1);
  if (!/\.flv/i.test(path)) throw new Denial('not_found');
  const uri = path.endsWith(SUFFIX) ? path.slice(0, -SUFFIX.length) : '';
  if (!isHostPath(uri)) throw new Denial('request_malformed', { detail: 'stream path' });
  if (query === '') return { uri };
  const [, name, value] = QUERY.exec(query) ?? [];
  if (value === undefined) throw new Denial('request_malformed', { detail: 'query' });
  return name === 'pass' ? { uri, pass: value } : { uri, key: value };
}
