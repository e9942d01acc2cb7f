/** HTTP/2 connections outlive their requests; node:http2 would keep them for ever. */
import type { EventEmitter } from 'node:events';
import type { ServerHttp2Session } from 'node:http2';

const IDLE_MS = 30_000;

/** Ends connections on which nothing has been going on; returns what stops that. */
export function closeIdleSessions(server: EventEmitter, idleMs = IDLE_MS): () => void {
  function onSession(session: ServerHttp2Session): void {
    let streams = 0;
    session.on('stream', (stream) => {
      streams += 1;
      stream.on('close', () => (streams -= 1));
    });
    session.setTimeout(idleMs, () => {
      // A viewer may wait for a publisher's return.
      if (streams === 0) session.destroy();
    });
  }
  server.on('session', onSession);
  return () => void server.off('session', onSession);
}
