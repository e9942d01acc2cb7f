import { Problem } from './problems.ts';
import type { SignedFetch } from './signed-fetch.ts';

/** An address with a pass in it, for a player that takes nothing else. */
export interface PlayAddress {
  readonly label: 'HTTP-FLV' | 'RTMP' | 'RTSP';
  readonly url: string;
}

/** What ticket and proof were exchanged for: good for one connection. */
export interface Pass {
  readonly expiresInSeconds: number;
  readonly addresses: readonly PlayAddress[];
}

const WAYS = [
  { name: 'http-flv', label: 'HTTP-FLV', url: /^https?:\/\/\S+$/ },
  { name: 'rtmp', label: 'RTMP', url: /^rtmps?:\/\/\S+$/ },
  { name: 'rtsp', label: 'RTSP', url: /^rtsps?:\/\/\S+$/ },
] as const;
const MAX_URL_CHARS = 400;
const MAX_SECONDS = 3600;

/** Where passes for a stream are given: beside its WHEP endpoint. `null` when that is none of this server's kind. */
export function passUrlOf(endpoint: string, uri: string): string | null {
  const suffix = `/whep${uri}`;
  return endpoint.endsWith(suffix) ? `${endpoint.slice(0, -suffix.length)}/pass` : null;
}

/**
 * Exchanges the ticket for a pass.
 * @throws Problem as the server refused; `not_found` when it has no address for other players
 */
export async function mintPass(send: SignedFetch['send'], endpoint: string, uri: string): Promise<Pass> {
  const url = passUrlOf(endpoint, uri);
  if (url === null) throw new Problem('not_found');
  const response = await send({ method: 'POST', url, json: { uri } });
  const body = (await response.json().catch(() => null)) as { expiresIn?: unknown; urls?: unknown } | null;
  const urls = (body?.urls ?? {}) as Readonly<Record<string, unknown>>;
  const addresses = WAYS.flatMap((way): PlayAddress[] => {
    const given = urls[way.name];
    const isGood = typeof given === 'string' && given.length <= MAX_URL_CHARS && way.url.test(given);
    return isGood ? [{ label: way.label, url: given }] : [];
  });
  const seconds = body?.expiresIn;
  if (typeof seconds !== 'number' || !(seconds > 0 && seconds <= MAX_SECONDS)) throw new Problem('internal');
  if (addresses.length === 0) throw new Problem('not_found');
  return { expiresInSeconds: seconds, addresses };
}
