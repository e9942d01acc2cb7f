/** What an RTMP peer's `publish` or `play` asks for. */
import { Denial } from '../../errors.ts';
import { isPass } from '../../ticket/index.ts';
import { isHostPath } from './host-path.ts';
import type { HostConnectRequest } from './host.ts';

const STREAM_KEY = /^[A-Za-z0-9_-]{16,80}$/;

/** True if `text` has the shape of a stream key; whether it is one, the gate knows. */
export function isStreamKeyShape(text: string): boolean {
  return STREAM_KEY.test(text);
}

/** @throws Denial `request_malformed` */
function parsePath({ app, name }: HostConnectRequest): string {
  const uri = typeof app === 'string' && typeof name === 'string' ? `/${app}/${name}` : '';
  if (!isHostPath(uri)) throw new Denial('request_malformed', { detail: 'stream path' });
  return uri;
}

/** The one parameter that may be there. @throws Denial `request_malformed` */
function parseQuery({ query }: HostConnectRequest, name: 'pass' | 'key'): string | undefined {
  const { [name]: value, ...others } = query;
  if (Object.keys(others).length > 0) throw new Denial('request_malformed', { detail: 'query' });
  if (value !== undefined && typeof value !== 'string')
    throw new Denial('request_malformed', { detail: 'query' });
  return value;
}

/**
 * Path and stream key of `rtmp://host/app/name?key=`.
 * @throws Denial `request_malformed`, `stream_key_invalid`
 */
export function parsePublishRequest(request: HostConnectRequest): { uri: string; streamKey: string } {
  const uri = parsePath(request);
  const streamKey = parseQuery(request, 'key');
  if (streamKey === undefined || !isStreamKeyShape(streamKey)) throw new Denial('stream_key_invalid');
  return { uri, streamKey };
}

/**
 * Path and pass of `rtmp://host/app/name?pass=`.
 * @throws Denial `request_malformed`, `ticket_missing`, `pass_invalid`
 */
export function parsePlayRequest(request: HostConnectRequest): { uri: string; pass: string } {
  const uri = parsePath(request);
  const pass = parseQuery(request, 'pass');
  if (pass === undefined) throw new Denial('ticket_missing');
  if (!isPass(pass)) throw new Denial('pass_invalid');
  return { uri, pass };
}
