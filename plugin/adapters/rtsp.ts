/**
 * RTSP 1.0 for ticket holders whose players are no browsers: the gate admits, the stage's packets leave under keys of SRTP
 * that were made for this one session, by UDP or between the answers (RFC 2326, RFC 3711, RFC 4567, RFC 4568).
 */
import { lookup } from 'node:dns/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { createSecureContext, TLSSocket } from 'node:tls';
import { listen } from '../listen.ts';
import { isConfidential, isLoopback, peerAddress } from '../peer.ts';
import type { Clock, Log } from '../ports.ts';
import { serveConnection, type RtspConnection } from './rtsp/connection.ts';
import type { Elsewhere, RtspGate, RtspStage } from './rtsp/requests.ts';
import type { SignReceipts } from './rtsp/receipts.ts';
import { openUdpDoor } from './rtsp/udp.ts';
import { createWaitingRoom } from './rtsp/waiting.ts';

export type { RtspGate, RtspStage } from './rtsp/requests.ts';

/** Where a listener is, and what viewers take it for. */
export interface RtspListen {
  /** 0: any that is free. */
  readonly port: number;
  /** Base as viewers see it, without a trailing slash. Proofs are checked against it. */
  readonly publicUrl: string;
}

export interface RtspOptions {
  readonly gate: RtspGate;
  readonly stage: RtspStage;
  /** Address that the listeners and RTP have. */
  readonly host: string;
  readonly rtsp: RtspListen;
  /** With TLS: certificate and key in PEM. */
  readonly rtsps?: (RtspListen & { readonly cert: string; readonly key: string }) | undefined;
  /** RTP by UDP; RTCP has the next port. 0: any two that are free; `undefined`: RTP goes over the connections only. */
  readonly udpPort: number | undefined;
  readonly clock: Clock;
  readonly log: Log;
  /** What goes with receipts, so that a viewer can prove them; default nothing. */
  readonly signReceipts?: SignReceipts;
  /** Connections without a session at the same time. Default 256. */
  readonly maxWaitingConnections?: number;
  /** Those of them from one network, unless it is this machine. Default 16. */
  readonly maxWaitingOfNetwork?: number;
  /** Seconds from connecting to a session. Default 20. */
  readonly askWithinSeconds?: number;
  /** Seconds without a sign of life after which a viewer has gone. Default 35: clients are told 30. */
  readonly silentAfterSeconds?: number;
  /** Seconds without taking anything after which a viewer by TCP is ended with `viewer_stalled`. Default 10. */
  readonly stalledAfterSeconds?: number;
}

export interface RtspServer {
  /** Of the listeners, and of RTP by UDP. */
  readonly ports: {
    readonly rtsp: number;
    readonly rtsps: number | undefined;
    readonly udp: number | undefined;
  };
  /** Ends the connections and their sessions. Idempotent. */
  close(): void;
}

const portOf = (server: Server): number => {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
};

/**
 * Listens.
 * @throws Error naming port and setting when one is taken
 */
export async function openRtsp(options: RtspOptions): Promise<RtspServer> {
  const { gate, stage, clock, log, askWithinSeconds = 20 } = options;
  const { maxWaitingConnections = 256, maxWaitingOfNetwork = 16 } = options;
  // One address for TCP and UDP: a name may have several.
  const { address: host } = await lookup(options.host);
  const udp =
    options.udpPort === undefined
      ? undefined
      : await openUdpDoor(host, options.udpPort, 'USHER_RTSP_UDP_PORT');
  const connections = new Set<RtspConnection>();
  const raws = new Set<Socket>();
  const elsewhere: Elsewhere = new Map();
  const room = createWaitingRoom({ max: maxWaitingConnections, maxOfNetwork: maxWaitingOfNetwork });
  let warnedOfLimit = false;

  function serve(raw: Socket, publicUrl: string, secure: ((raw: Socket) => Socket) | undefined): void {
    const address = raw.remoteAddress;
    if (address === undefined) return void raw.destroy();
    const peer = peerAddress(address, null, 0);
    let isClosed = false;
    let stopWaiting: (() => void) | undefined;
    /** Who has a session waits no longer; who has ended it has to find room again. */
    function setWaiting(isWaiting: boolean): void {
      if (isWaiting === (stopWaiting !== undefined) || isClosed) return;
      stopWaiting?.();
      stopWaiting = isWaiting ? wait() : undefined;
    }
    function wait(): (() => void) | undefined {
      const leave = room.enter(isLoopback(peer) ? undefined : peer);
      if (leave === undefined) {
        if (!warnedOfLimit) log.warn({ peer }, 'too many RTSP connections wait for admission');
        warnedOfLimit = true;
        raw.destroy();
        return undefined;
      }
      warnedOfLimit = false;
      const timer = setTimeout(() => raw.destroy(), askWithinSeconds * 1000).unref();
      return () => {
        leave();
        clearTimeout(timer);
      };
    }
    setWaiting(true);
    if (raw.destroyed) return;
    raws.add(raw);
    raw.setNoDelay(true);
    const socket = secure?.(raw) ?? raw;
    socket.on('error', () => raw.destroy());
    const connection = serveConnection({
      socket,
      reset() {
        if (!raw.destroyed) raw.resetAndDestroy();
      },
      gate,
      stage,
      udp,
      publicUrl,
      address,
      peer,
      confidential: isConfidential({ encrypted: secure !== undefined, address, trustedProxies: 0 }),
      clock,
      log,
      elsewhere,
      signReceipts: options.signReceipts,
      stalledAfterMs:
        options.stalledAfterSeconds === undefined ? undefined : options.stalledAfterSeconds * 1000,
      ...(options.silentAfterSeconds === undefined
        ? {}
        : { silentAfterMs: options.silentAfterSeconds * 1000 }),
      onWaiting: setWaiting,
    });
    connections.add(connection);
    raw.on('error', () => undefined);
    raw.on('close', () => {
      setWaiting(false);
      isClosed = true;
      raws.delete(raw);
      connections.delete(connection);
      connection.close();
    });
  }

  const { rtsp, rtsps } = options;
  const plain = createServer((raw) => serve(raw, rtsp.publicUrl, undefined));
  const servers = [plain];
  let secured: Server | undefined;
  try {
    await listen(plain, rtsp.port, host, 'USHER_RTSP_PORT');
    if (rtsps !== undefined) {
      const { cert, key } = rtsps;
      const secureContext = createSecureContext({ cert, key, minVersion: 'TLSv1.2' });
      const secure = (raw: Socket): Socket => new TLSSocket(raw, { isServer: true, secureContext });
      secured = createServer((raw) => serve(raw, rtsps.publicUrl, secure));
      servers.push(secured);
      await listen(secured, rtsps.port, host, 'USHER_RTSPS_PORT');
    }
  } catch (error) {
    udp?.close();
    for (const server of servers) server.close();
    throw error;
  }

  let closed = false;
  return {
    ports: { rtsp: portOf(plain), rtsps: secured && portOf(secured), udp: udp?.ports[0] },
    close() {
      if (closed) return;
      closed = true;
      for (const server of servers) server.close();
      for (const connection of [...connections]) connection.close();
      for (const raw of raws) setTimeout(() => raw.destroy(), 500).unref();
      setTimeout(() => udp?.close(), 500).unref();
    },
  };
}
