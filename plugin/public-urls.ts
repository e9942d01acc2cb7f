/** The servers' URLs as viewers see them, and where a stream can be played without WebRTC. */
import { z } from 'zod';

/** Scheme, host, port, and a path of segments that every reader takes alike. */
const BASE_URL = /^[a-z]+:\/\/[^/?#@\\]+(?:\/[A-Za-z0-9._~-]+)*\/?$/i;

/** True for a URL that paths can be put behind: without query, fragment and user. */
export const isBaseUrl = (text: string): boolean => URL.canParse(text) && BASE_URL.test(text);

/** A URL that paths are put behind; it may have a path of its own (a reverse proxy's prefix). Without a trailing slash. */
export const baseUrlSchema = (protocol: RegExp) =>
  z
    .url({ protocol })
    .refine(isBaseUrl, 'a URL with a plain path and without query, fragment and user')
    .transform((text) => text.replace(/\/$/, ''));

/** The path of a base URL, without a trailing slash: empty where there is none. */
export const basePathOf = (base: string | URL): string => new URL(base).pathname.replace(/\/$/, '');

/**
 * Bases of node-media-server's listeners, by listener, without a trailing slash; what is missing is not there for
 * viewers. Behind a proxy that has the certificate, the base of the plain listener is `https://...` all the same.
 */
export interface PublicUrls {
  readonly http?: string | undefined;
  readonly https?: string | undefined;
  readonly rtmp?: string | undefined;
  readonly rtmps?: string | undefined;
}

/** Absolute URLs of one stream, without a query; `undefined`: not this way. */
export type PlayEndpoints = Readonly<
  Partial<Record<'http-flv' | 'ws-flv' | 'rtmp' | 'rtsp', string | undefined>>
>;

/** Where to play the stream at `uri` (a stream path): with TLS, if there is a way with TLS. */
export function playEndpoints(urls: PublicUrls, uri: string): PlayEndpoints {
  const http = urls.https ?? urls.http;
  const rtmp = urls.rtmps ?? urls.rtmp;
  return {
    'http-flv': http && `${http}${uri}.flv`,
    'ws-flv': http && `${http.replace(/^http/, 'ws')}${uri}.flv`,
    rtmp: rtmp && `${rtmp}${uri}`,
  };
}
