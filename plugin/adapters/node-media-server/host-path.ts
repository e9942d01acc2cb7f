import { isStreamPath } from '../../rights/index.ts';

/** What the host accepts as app and name; narrower than a stream path's segments. */
const HOST_PATH = /^\/[A-Za-z0-9_-]{1,64}\/[A-Za-z0-9_-]{1,64}$/;

/** True for a stream path that the host can carry: `/app/name`. */
export function isHostPath(path: string): boolean {
  return HOST_PATH.test(path) && isStreamPath(path);
}
