/** The ways out to a viewer: a socket, an HTTP response, an HTTP/2 stream, a WebSocket. */
import type { Http2Stream, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import type { WebSocket } from 'ws';
import type { EndReason } from '../../contract.ts';
import type { Outlet } from './viewer.ts';

/** What has been handed over before an end may still leave for this long; then the connection is reset. */
const FLUSH_WITHIN_MS = 500;

/** What a TCP connection and the TLS or HTTP/2 on top of it are known by. */
export type ConnectionName = Pick<Socket, 'remoteAddress' | 'remotePort' | 'localPort'>;

/** Cuts a connection at once, and with it what the system still holds of it. */
export type Reset = (socket: ConnectionName & Pick<Socket, 'destroy'>) => void;

/** Why a viewing ended, for people. */
const FAREWELLS: Readonly<Record<EndReason, string>> = {
  completed: 'completed: that was all',
  viewer_left: 'viewer_left: you left',
  expired: 'expired: the ticket has expired',
  exhausted: 'exhausted: what this viewing might use is used up',
  revoked: 'revoked: the ticket has been revoked',
  kicked: 'kicked: the viewing was ended by the operator',
  replaced: 'replaced: the viewing goes on elsewhere',
  viewer_stalled: 'viewer_stalled: nothing was read for too long',
  above_tier: 'above_tier: the stream has become more than the ticket covers',
  server_stopped: 'server_stopped: the server is being stopped',
  server_crashed: 'server_crashed: the server failed',
  source_ended: 'source_ended: the stream has ended',
};

/** Ends that are nobody's fault: the viewer may come back at once. */
const isRegular = (reason: EndReason): boolean => reason === 'completed' || reason === 'source_ended';

type Sink = Pick<Writable, 'cork' | 'uncork' | 'writableCorked'>;

/** Sinks that hold back what is written to them until the work at hand is done. */
let held: Sink[] = [];

function letGo(): void {
  const sinks = held;
  held = [];
  for (const sink of sinks) sink.uncork();
}

/**
 * Messages that a publisher sent in one piece leave in one system call to each viewer; those calls are most of what a
 * viewer costs. One callback serves all viewers, and runs before anything else can happen.
 */
function holdBack(sink: Sink): void {
  if (sink.writableCorked > 0) return;
  sink.cork();
  if (held.push(sink) === 1) process.nextTick(letGo);
}

interface Way {
  readonly sink: Sink;
  write(data: Buffer): boolean;
  pendingBytes(): number;
  /** Says goodbye and ends in good order. */
  end(reason: EndReason): void;
  /** Ends at once. */
  cut(): void;
}

function createOutlet({ sink, write, pendingBytes, end, cut }: Way): Outlet {
  return {
    write(data) {
      holdBack(sink);
      return write(data);
    },
    pendingBytes,
    close(reason) {
      const timer = setTimeout(cut, FLUSH_WITHIN_MS);
      // An end of the process cuts it too.
      timer.unref();
      end(reason);
    },
  };
}

/** RTMP: the status code of an end, and its words, in an `onStatus` (RTMP 1.0 section 7.2.2). */
export function rtmpOutlet(
  socket: Socket,
  reset: Reset,
  sayStatus: (level: 'status' | 'error', code: string, description: string) => void,
): Outlet {
  return createOutlet({
    sink: socket,
    write: (data) => socket.write(data),
    pendingBytes: () => socket.writableLength,
    end(reason) {
      if (socket.destroyed) return;
      const code = reason === 'source_ended' ? 'NetStream.Play.UnpublishNotify' : 'NetStream.Play.Stop';
      sayStatus(isRegular(reason) ? 'status' : 'error', code, FAREWELLS[reason]);
      socket.end();
    },
    cut: () => reset(socket),
  });
}

/**
 * HTTP/1.1: the body ends with the connection; there is no way to say why. Its head must have been written: the body
 * goes past the response, which would look at every piece of it.
 */
export function httpOutlet(socket: Socket, reset: Reset): Outlet {
  return createOutlet({
    sink: socket,
    write: (data) => socket.write(data),
    pendingBytes: () => socket.writableLength,
    // Not the response's own end: node:http would give the connection up then, and there would be nothing to reset.
    end: () => void socket.end(),
    cut: () => reset(socket),
  });
}

/** HTTP/2: one stream of a connection that may carry others of the same client. */
export function http2Outlet(stream: ServerHttp2Stream, reset: Reset): Outlet {
  function cut(): void {
    const { session, destroyed }: Http2Stream = stream;
    if (destroyed) return;
    stream.destroy();
    // What it would not read lies behind a connection that is stuck: resetting that is the only way to take it back.
    if (session !== undefined && session.socket.writableLength > 0) reset(session.socket);
  }
  return createOutlet({
    sink: stream,
    write: (data) => stream.write(data),
    pendingBytes: () => stream.writableLength,
    end: () => stream.end(),
    cut,
  });
}

/** WebSocket close codes of an end (RFC 6455 section 7.4): ours are 4000 and the HTTP status that says the same. */
function closeCode(reason: EndReason): number {
  if (isRegular(reason)) return 1000;
  if (reason === 'server_stopped' || reason === 'server_crashed') return 1001;
  if (reason === 'expired') return 4401;
  return reason === 'viewer_stalled' ? 4408 : 4403;
}

export function webSocketOutlet(webSocket: WebSocket, socket: Socket, reset: Reset): Outlet {
  const options = { binary: true, compress: false };
  return createOutlet({
    sink: socket,
    write(data) {
      webSocket.send(data, options);
      return !socket.writableNeedDrain;
    },
    pendingBytes: () => socket.writableLength,
    end: (reason) => webSocket.close(closeCode(reason), FAREWELLS[reason]),
    cut: () => reset(socket),
  });
}
