/** The connections of a listener: how long they may say nothing, how many may wait, and how they are cut. */
import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { Log } from '../../ports.ts';
import type { ConnectionName, Reset } from './outlets.ts';

export interface ConnectionLimits {
  /** Connections that have asked for nothing yet, at most. */
  readonly maxWaiting: number;
  /** Milliseconds from connecting to a whole request. */
  readonly askWithinMs: number;
}

export interface Connections {
  /** Watches a listener; `secure` for TLS. To be called before its other listeners are. */
  watch(server: EventEmitter): void;
  /** The connection has asked: it waits no longer. */
  settle(socket: ConnectionName): void;
  readonly reset: Reset;
  close(): void;
}

interface Waiting {
  readonly socket: Socket;
  timer: NodeJS.Timeout | undefined;
}

/** Two clients behind one address translator may share address and port, as long as they ask different listeners. */
function nameOf({ remoteAddress, remotePort, localPort }: ConnectionName): string {
  return `${remoteAddress ?? ''} ${remotePort ?? ''} ${localPort ?? ''}`;
}

/**
 * A TLS socket is another object than the TCP socket below it, which alone can be reset; both know their two ends, so
 * that is what they are found by.
 */
export function watchConnections(limits: ConnectionLimits, log: Log): Connections {
  const connections = new Map<string, Waiting>();
  const undo: (() => void)[] = [];
  let waiting = 0;
  let warnedOfLimit = false;

  function settleEntry(entry: Waiting): void {
    if (entry.timer === undefined) return;
    clearTimeout(entry.timer);
    entry.timer = undefined;
    waiting -= 1;
  }

  function onConnection(socket: Socket): void {
    if (waiting >= limits.maxWaiting) {
      if (!warnedOfLimit) log.warn({ waiting }, 'too many connections wait for admission');
      warnedOfLimit = true;
      socket.destroy();
      return;
    }
    warnedOfLimit = false;
    const name = nameOf(socket);
    const entry: Waiting = {
      socket,
      timer: setTimeout(() => socket.destroy(), limits.askWithinMs),
    };
    waiting += 1;
    connections.set(name, entry);
    socket.on('close', () => {
      settleEntry(entry);
      if (connections.get(name) === entry) connections.delete(name);
    });
  }

  return {
    watch(server) {
      server.prependListener('connection', onConnection);
      undo.push(() => server.off('connection', onConnection));
    },
    settle(peer) {
      const entry = connections.get(nameOf(peer));
      if (entry !== undefined) settleEntry(entry);
    },
    reset(socket) {
      const raw = connections.get(nameOf(socket))?.socket;
      if (raw !== undefined && !raw.destroyed) raw.resetAndDestroy();
      socket.destroy();
    },
    close() {
      for (const restore of undo) restore();
      for (const { socket } of connections.values()) socket.destroy();
    },
  };
}
