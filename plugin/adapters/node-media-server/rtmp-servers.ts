/** In front of the host's RTMP listeners. */
import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { Log } from '../../ports.ts';
import { isRtmpSession, type HostContext, type HostSession } from './host.ts';

type Listener = (...args: unknown[]) => void;

export interface RtmpServerOptions {
  readonly context: HostContext;
  readonly maxWaiting: number;
  readonly handshakeWithinMs: number;
  readonly log: Log;
  /** Takes a connection; calls `onSettled`, perhaps more than once, when it waits for admission no longer. */
  readonly guardConnection: (socket: Socket, session: HostSession, onSettled: () => void) => void;
}

function addressOf(socket: Socket): string {
  return `${socket.remoteAddress ?? ''} ${socket.remotePort ?? ''}`;
}

/** The session that the host has just made for a socket: the newest one. */
function findSession(context: HostContext, socket: Socket): HostSession | undefined {
  let found: HostSession | undefined;
  for (const session of context.sessions.values()) {
    if (isRtmpSession(session) && session.socket === socket) found = session;
  }
  return found;
}

/** Takes the place of the listeners for new connections; returns what puts them back and ends the connections. */
export function guardRtmpServers(
  servers: { readonly tcpServer?: EventEmitter; readonly tlsServer?: EventEmitter },
  options: RtmpServerOptions,
): () => void {
  const { context, log } = options;
  const sockets = new Set<Socket>();
  const waiting = new Set<Socket>();
  const undo: (() => void)[] = [];
  let warnedOfLimit = false;

  /** False, and the socket is gone, if there are too many already. */
  function takePlace(socket: Socket): boolean {
    const hasPlace = waiting.size < options.maxWaiting;
    if (!hasPlace) {
      if (!warnedOfLimit) log.warn({ waiting: waiting.size }, 'too many RTMP connections wait for admission');
      socket.destroy();
    }
    warnedOfLimit = !hasPlace;
    return hasPlace;
  }

  function takeConnections(server: EventEmitter, event: 'connection' | 'secureConnection'): void {
    const hostListeners = server.listeners(event) as Listener[];
    function onConnection(socket: Socket): void {
      if (!takePlace(socket)) return;
      for (const listener of hostListeners) listener.call(server, socket);
      const session = findSession(context, socket);
      if (session === undefined) {
        log.error({}, 'node-media-server made no session for a connection: it is refused');
        socket.destroy();
        return;
      }
      sockets.add(socket);
      waiting.add(socket);
      socket.on('close', () => sockets.delete(socket));
      options.guardConnection(socket, session, () => waiting.delete(socket));
    }
    server.removeAllListeners(event).on(event, onConnection);
    undo.push(() => {
      server.off(event, onConnection);
      for (const listener of hostListeners) server.on(event, listener);
    });
  }

  /** TLS handshakes count as waiting and have a time limit too; the secured socket is another object. */
  function boundHandshakes(server: EventEmitter): void {
    const handshaking = new Map<string, { socket: Socket; timer: NodeJS.Timeout }>();
    function settle(address: string): void {
      const entry = handshaking.get(address);
      if (entry === undefined) return;
      clearTimeout(entry.timer);
      handshaking.delete(address);
      waiting.delete(entry.socket);
    }
    function onRaw(socket: Socket): void {
      if (!takePlace(socket)) return;
      const address = addressOf(socket);
      const timer = setTimeout(() => socket.destroy(), options.handshakeWithinMs);
      handshaking.set(address, { socket, timer });
      waiting.add(socket);
      socket.on('close', () => settle(address));
    }
    function onSecured(socket: Socket): void {
      settle(addressOf(socket));
    }
    server.prependListener('connection', onRaw);
    server.prependListener('secureConnection', onSecured);
    undo.push(() => {
      server.off('connection', onRaw).off('secureConnection', onSecured);
      for (const { socket } of handshaking.values()) socket.destroy();
    });
  }

  if (servers.tcpServer !== undefined) takeConnections(servers.tcpServer, 'connection');
  if (servers.tlsServer !== undefined) {
    takeConnections(servers.tlsServer, 'secureConnection');
    boundHandshakes(servers.tlsServer);
  }
  return () => {
    for (const restore of undo) restore();
    for (const socket of sockets) socket.destroy();
  };
}
