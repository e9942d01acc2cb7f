/** In front of the host's RTMP listeners. */
import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { Log } from '../../ports.ts';
import { isRtmpSession, type Host, type HostContext, type HostRtmpSession } from './host.ts';

type Listener = (...args: unknown[]) => void;

export interface RtmpServerOptions {
  readonly host: Pick<Host, 'context' | 'createRtmpSession'>;
  readonly log: Log;
  /** Takes a connection that the host has just taken. */
  readonly guardConnection: (socket: Socket, session: HostRtmpSession) => void;
}

/** The session that the host has just made for a socket: the newest one. */
function findSession(context: HostContext, socket: Socket): HostRtmpSession | undefined {
  let found: HostRtmpSession | undefined;
  for (const session of context.sessions.values()) {
    if (isRtmpSession(session) && session.socket === socket) found = session;
  }
  return found;
}

/** Takes the place of a listener's listeners for new connections; returns what puts them back. */
export function guardRtmpServer(
  server: EventEmitter,
  event: 'connection' | 'secureConnection',
  options: RtmpServerOptions,
): () => void {
  const { host, log, guardConnection } = options;
  const hostListeners = server.listeners(event) as Listener[];
  function openSession(socket: Socket): HostRtmpSession | undefined {
    if (host.createRtmpSession !== undefined) return host.createRtmpSession(socket);
    for (const listener of hostListeners) listener.call(server, socket);
    return findSession(host.context, socket);
  }
  function onConnection(socket: Socket): void {
    if (socket.destroyed) return;
    const session = openSession(socket);
    if (session === undefined) {
      log.error({}, 'node-media-server made no session for a connection: it is refused');
      socket.destroy();
      return;
    }
    guardConnection(socket, session);
  }
  server.removeAllListeners(event).on(event, onConnection);
  return () => {
    server.off(event, onConnection);
    for (const listener of hostListeners) server.on(event, listener);
  };
}
