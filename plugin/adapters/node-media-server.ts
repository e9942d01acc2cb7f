/**
 * node-media-server with the gate in front: RTMP takes admitted publishers only, whose media goes to a tap in this
 * process, and everything else that would move media is closed. Its files and prototypes are left as they are.
 */
import type { Log } from '../ports.ts';
import { guardHttp } from './node-media-server/http-gate.ts';
import { openHost } from './node-media-server/host.ts';
import { createPublishers, type PublisherTap } from './node-media-server/publishers.ts';
import { guardRtmpConnection, type PublishGate } from './node-media-server/rtmp-gate.ts';
import { guardRtmpServers } from './node-media-server/rtmp-servers.ts';

export type { PublisherTap } from './node-media-server/publishers.ts';
export type { PublishGate } from './node-media-server/rtmp-gate.ts';

export interface NodeMediaServerGuardOptions {
  /** Called for each stream that goes on air; the tap gets its FLV tags until it is closed. */
  readonly onPublisher: (path: string) => PublisherTap;
  readonly log: Log;
  /** Seconds that a stream waits for its publisher's return. Default 30. */
  readonly graceSeconds?: number;
  /** Seconds from connecting to publishing. Default 10. */
  readonly admitWithinSeconds?: number;
  /** Seconds of silence after which a publisher has gone. Default 10. */
  readonly idleSeconds?: number;
  /** RTMP connections that have not been admitted, at most. Default 256. */
  readonly maxWaitingConnections?: number;
  /**
   * Leaves `/admin` and `/api/v1` to node-media-server. Default false: its API has tokens of its own (and is there only
   * with `auth.jwt`), but whoever holds one can pull in streams and download recordings past the gate.
   */
  readonly nmsAdminApi?: boolean;
  /** Goes on with a version outside >=4.4.0 <5. Default false. */
  readonly allowUntestedVersion?: boolean;
}

export interface NodeMediaServerGuard {
  /** Ends the connections and the taps, and gives the listeners back. Idempotent. */
  close(): void;
}

/**
 * Puts the gate in front of a node-media-server. To be called after its constructor and before its `run()`.
 * @throws Error for an untested version, another copy of the package, or `auth.publish` switched on
 */
export function guardNodeMediaServer(
  nms: object,
  gate: PublishGate,
  options: NodeMediaServerGuardOptions,
): NodeMediaServerGuard {
  const { log } = options;
  const { host, context } = openHost(nms, options.allowUntestedVersion ?? false);
  const publishers = createPublishers(options.onPublisher, (options.graceSeconds ?? 30) * 1000);
  const admitWithinMs = (options.admitWithinSeconds ?? 10) * 1000;
  const limits = { admitWithinMs, idleMs: (options.idleSeconds ?? 10) * 1000 };

  const restoreRtmp = guardRtmpServers(host.rtmpServer, {
    context,
    maxWaiting: options.maxWaitingConnections ?? 256,
    handshakeWithinMs: admitWithinMs,
    log,
    guardConnection: (socket, session, onSettled) =>
      guardRtmpConnection(socket, session, { context, gate, publishers, limits, log, onSettled }),
  });
  const restoreHttp = [host.httpServer.httpServer, host.httpServer.httpsServer]
    .filter((server) => server !== undefined)
    .map((server) => guardHttp(server, { nmsAdminApi: options.nmsAdminApi ?? false }));

  let closed = false;
  return {
    close() {
      if (closed) return;
      closed = true;
      restoreRtmp();
      for (const restore of restoreHttp) restore();
      publishers.closeAll();
    },
  };
}
