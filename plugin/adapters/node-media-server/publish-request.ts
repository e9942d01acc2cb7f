import { Denial } from '../../errors.ts';
import { isStreamPath } from '../../rights/index.ts';
import type { HostConnectRequest } from './host.ts';

/** What the host accepts as app and name; narrower than a stream path's segments. */
const HOST_NAME = /^[A-Za-z0-9_-]{1,64}$/;
const STREAM_KEY = /^[A-Za-z0-9_-]{16,80}$/;

/** True if `text` has the shape of a stream key; whether it is one, the gate knows. */
export function isStreamKeyShape(text: string): boolean {
  return STREAM_KEY.test(text);
}

/**
 * Reads path and stream key from what a peer wants to publish: `/app/name` and a query of exactly one `key`.
 * @throws Denial `request_malformed`, `stream_key_invalid`
 */
export function parsePublishRequest(request: HostConnectRequest): { uri: string; streamKey: string } {
  const { app, name, query } = request;
  if (typeof app !== 'string' || typeof name !== 'string' || !HOST_NAME.test(app) || !HOST_NAME.test(name)) {
    throw new Denial('request_malformed', { detail: 'stream path' });
  }
  const uri = `/${app}/${name}`;
  if (!isStreamPath(uri)) throw new Denial('request_malformed', { detail: 'stream path' });
  const { key, ...others } = query;
  if (Object.keys(others).length > 0) throw new Denial('request_malformed', { detail: 'query' });
  if (typeof key !== 'string' || !isStreamKeyShape(key)) throw new Denial('stream_key_invalid');
  return { uri, streamKey: key };
}
