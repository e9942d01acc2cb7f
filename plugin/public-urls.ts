/** Where a stream can be played without WebRTC, as viewers see it. */

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
export type PlayEndpoints = Readonly<Partial<Record<'http-flv' | 'ws-flv' | 'rtmp', string | undefined>>>;

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
