/**
 * What every media server needs beside its media: the gate with keys, order server, receipts, metrics and log, from
 * the environment. `guardNodeMediaServer(nms, usher.gate, usher)` takes the rest of it as its options.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { systemClock } from './clock.ts';
import { readMediaConfig, type MediaConfig, type RtcAddress } from './config.ts';
import type { Receipt, StreamStatus } from './contract.ts';
import { exitOnSignals } from './exit.ts';
import { createGate, type Gate } from './gate.ts';
import { createIceServers, type IceServerLinks } from './http/ice-servers.ts';
import { createMediaMetrics, type MediaMetrics } from './metrics.ts';
import { createOrderServer } from './order-server.ts';
import type { Clock, Log } from './ports.ts';
import type { PublicUrls } from './public-urls.ts';
import { openDurableOutbox } from './receipts/durable-outbox.ts';
import { signReceiptHeads, type SignedReceipts } from './receipts/heads.ts';
import { createReports } from './reports.ts';
import { createRevocationFeed } from './revocations/feed.ts';
import { loadOrCreateServerKeys } from './server-keys.ts';
import { createStreamsReport, type StreamsReport } from './streams-report.ts';
import { createNonces, createReplayMemory, openSharedReplay } from './ticket/index.ts';
import { mediaKeyVault, trustOrderServer } from './trusted-order-server.ts';

export interface ReportedStreams extends Pick<StreamsReport, 'changed'> {
  /** From here on nobody is told of these streams any more. Idempotent. */
  end(): void;
}

export interface OpenedGate {
  readonly gate: Gate;
  readonly log: Log;
  readonly clock: Clock;
  readonly metrics: MediaMetrics;
  /** Base of this server as viewers see it. */
  readonly publicUrl: URL;
  /** Where node-media-server's listeners are for viewers. */
  readonly publicUrls: PublicUrls;
  /** Where WebRTC listens, in the order of preference. */
  readonly rtcListen: readonly (RtcAddress & { readonly port: number })[];
  /** STUN and TURN servers that admitted viewers are told of. */
  readonly iceServers: IceServerLinks;
  /** Signs the last of some receipts, and with it those before it, for the viewer that they are about. */
  signReceipts(this: void, receipts: readonly Receipt[]): SignedReceipts;
  /** Reverse proxies in front that set X-Forwarded-For and X-Forwarded-Proto. */
  readonly trustedProxies: number;
  /**
   * From here on the order server is told what is on the air, and the metrics show it. Of several that are told of, by
   * calls of their own, the first counts for a stream that is in more than one.
   */
  reportStreams(this: void, read: () => readonly StreamStatus[]): ReportedStreams;
  /** Ends every session with a final receipt, then delivers the receipts: within about 1.5 s. Idempotent. */
  close(this: void): Promise<void>;
  /**
   * On SIGINT, SIGTERM and the end of an IPC parent: closes, then runs `stopHost`, then ends the process; within 1.8 s
   * in any case.
   */
  exitOnSignals(this: void, stopHost?: () => unknown): void;
}

const LAST_RECEIPTS_WITHIN_MS = 1000;
const FIRST_SNAPSHOT_WITHIN_MS = 1000;

/**
 * Opens the gate for settings that have been read.
 * @param liveStreams how many streams there are, where that is not what `reportStreams` is told
 * @throws Error when the key file cannot be read or is not one, or receipts cannot be kept on the disk
 */
export async function openGateFor(
  config: MediaConfig,
  log: Log,
  liveStreams?: () => number,
): Promise<OpenedGate> {
  const clock = systemClock;
  const { USHER_MEDIA_DATA: dataDir, USHER_SERVER_ID: serverId } = config;
  const serverKeys = await loadOrCreateServerKeys(dataDir, serverId, config.publicUrl, mediaKeyVault(config));
  const keys = await trustOrderServer({ config, serverKeys, clock, log });
  const orderServer = createOrderServer({
    url: config.USHER_ORDER_SERVER_URL,
    serverId,
    signingKey: () => serverKeys.signing,
    clock,
  });
  const outbox = await openDurableOutbox({
    directory: join(dataDir, 'receipts'),
    delivery: orderServer,
    log,
    clock,
    maxBytes: config.USHER_SPOOL_MAX_BYTES,
    whenFull: config.USHER_SPOOL_FULL,
    endSessions: () => gate.sessions().forEach((session) => void session.end('server_stopped')),
  });
  /** In the order in which they came. */
  const streamReaders = new Set<() => readonly StreamStatus[]>();
  let report: StreamsReport | undefined;

  /** Whoever reports a stream may know only some of its viewers: the gate has let in all of them. */
  function readStreams(): readonly StreamStatus[] {
    const sessions = new Map<string, number>();
    for (const { grant } of gate.sessions()) sessions.set(grant.uri, (sessions.get(grant.uri) ?? 0) + 1);
    const streams = new Map<string, StreamStatus>();
    for (const status of [...streamReaders].flatMap((read) => read())) {
      const viewers = Math.max(status.viewers, sessions.get(status.uri) ?? 0);
      if (!streams.has(status.uri)) streams.set(status.uri, { ...status, viewers });
    }
    return [...streams.values()];
  }

  const shared =
    config.USHER_REPLAY_MEMORY === 'shared'
      ? openSharedReplay({ directory: join(dataDir, 'replay'), clock })
      : null;
  // Receipts that wait hold leases and places: they go out as soon as the order server is heard again.
  const revocations = createRevocationFeed({ source: orderServer, clock, log, onBack: () => outbox.wake() });
  // Nobody is admitted before it is known what is revoked: the first viewers shall not meet that.
  const known = new Promise<void>((resolve) => revocations.onChange(() => resolve()));
  const metrics = createMediaMetrics({
    sessions: () => gate.sessions().length,
    liveStreams: liveStreams ?? (() => readStreams().length),
    receiptsWaiting: () => outbox.waiting(),
    spool: () => outbox.stats(),
    streams: () => readStreams(),
    revocationFeed: () => revocations.stats(),
  });
  const gate = createGate({
    serverId,
    keys,
    unsealKeys: serverKeys.unsealKeys,
    // Fresh with each start, as a process' own replay memory is: what was used before cannot be used after it.
    nonces: createNonces({ secret: shared?.secret ?? randomBytes(32), clock }),
    replay: shared?.replay ?? createReplayMemory({ clock }),
    redemptions: orderServer,
    revocations,
    reports: createReports({ send: orderServer.reportReplay, clock, log }),
    streamKeys: orderServer,
    sink: outbox,
    receiptIntervalMs: config.USHER_RECEIPT_SECONDS * 1000,
    clock,
    log,
    observe: metrics.observe,
  });

  await Promise.race([known, sleep(FIRST_SNAPSHOT_WITHIN_MS)]);
  const unwatchKeys = serverKeys.watch(log);
  let closing: Promise<void> | undefined;
  async function shutDown(): Promise<void> {
    unwatchKeys();
    revocations.close();
    await gate.close('server_stopped');
    const late = new Promise((resolve) => setTimeout(resolve, LAST_RECEIPTS_WITHIN_MS).unref());
    const [waiting] = await Promise.all([
      outbox.close(LAST_RECEIPTS_WITHIN_MS),
      Promise.race([report?.close(), late]),
    ]);
    shared?.close();
    if (waiting > 0) log.warn({ receipts: waiting }, 'receipts wait on the disk for the next start');
  }
  const close = (): Promise<void> => (closing ??= shutDown());

  return {
    gate,
    log,
    clock,
    metrics,
    publicUrl: new URL(config.publicUrl),
    publicUrls: config.playUrls,
    rtcListen: config.rtcAddresses.map((address) => ({ ...address, port: config.USHER_RTC_PORT })),
    iceServers: createIceServers({
      urls: config.USHER_ICE_SERVERS,
      turnSecret: config.USHER_TURN_SECRET,
      clock,
    }),
    signReceipts: (receipts) => signReceiptHeads(receipts, { serverId, key: serverKeys.signing, clock }),
    trustedProxies: config.USHER_TRUSTED_PROXIES,
    reportStreams(read) {
      const reader = (): readonly StreamStatus[] => read(); // One of its own for each call.
      streamReaders.add(reader);
      const { deliverStreams: deliver } = orderServer;
      const { changed } = (report ??= createStreamsReport({ read: readStreams, deliver, clock, log }));
      return {
        changed,
        end() {
          if (streamReaders.delete(reader)) changed();
        },
      };
    },
    close,
    exitOnSignals(stopHost) {
      exitOnSignals(async () => {
        await close();
        await stopHost?.();
      });
    },
  };
}

/**
 * Opens the gate for a media server of your own, by `USHER_*` settings.
 * @param log default: pino, at `USHER_LOG_LEVEL`, to the standard output
 * @throws TypeError with one line per setting that is wrong; Error when the key file cannot be read or is not one
 */
export async function openGate(env: NodeJS.ProcessEnv = process.env, log?: Log): Promise<OpenedGate> {
  const config = readMediaConfig(env);
  return openGateFor(config, log ?? pino({ name: 'media', level: config.USHER_LOG_LEVEL }));
}
