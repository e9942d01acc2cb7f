/**
 * The stage: live streams enter as RTP made in this process, viewers get them by WebRTC. There is a router per offer
 * profile (mediasoup's consumers send with their router's payload types), which each stream enters that has viewers
 * there.
 */
import type { types } from 'mediasoup';
import { Denial } from '../errors.ts';
import type { Offer } from '../media/offer.ts';
import type { Clock, Log, StageEntrance } from '../ports.ts';
import { matchOffer } from './mediasoup/match.ts';
import { createRouterPool } from './mediasoup/routers.ts';
import { createStream, type LiveStream } from './mediasoup/stream.ts';
import { openViewing, type RunningViewing, type StageViewing } from './mediasoup/viewing.ts';

export type { StageViewing } from './mediasoup/viewing.ts';

export interface StageOptions {
  /** At least one; for now the first does all the work. */
  readonly workers: readonly types.Worker[];
  /** One port for all viewers, over UDP and TCP. */
  readonly listen: {
    readonly ip: string;
    /** What viewers are told when it differs from `ip` (NAT, containers). */
    readonly announcedAddress?: string;
    readonly port: number;
  };
  readonly clock: Clock;
  readonly log: Log;
  /** Routers for different offers at the same time; default 32. */
  readonly maxProfiles?: number;
  /** Milliseconds that a viewer has for ICE and DTLS; default 20,000. */
  readonly connectTimeoutMs?: number;
  /** Seconds without an ICE consent check (RFC 7675) after which a viewer has gone; default 15. */
  readonly consentTimeoutSeconds?: number;
  /** A worker's process has died: every stream and viewing on it has ended, and the stage takes no more. */
  readonly onWorkerDied?: (error: Error) => void;
}

export interface StageStats {
  readonly streams: number;
  readonly viewings: number;
  readonly consumers: number;
  /** Routers kept for offer profiles, in use or not. */
  readonly profiles: number;
}

export interface Stage extends StageEntrance {
  /** True while the stream has something to play. */
  isLive(path: string): boolean;
  /**
   * Prepares a viewer's media; nothing is sent before the viewer has shown the offered certificate in DTLS.
   * @throws Denial `stream_offline`, `offer_unsupported`, `sdp_malformed`, `overloaded`.
   */
  view(path: string, offer: Offer): Promise<StageViewing>;
  stats(): StageStats;
  /** Ends every viewing with `server_stopped`, and every stream. The workers stay the caller's. */
  close(): void;
}

/** Makes the stage of one streaming server. */
export async function createStage(options: StageOptions): Promise<Stage> {
  const { workers, listen, clock, log, maxProfiles = 32, onWorkerDied } = options;
  const { connectTimeoutMs = 20_000, consentTimeoutSeconds = 15 } = options;
  const [worker] = workers;
  if (worker === undefined) throw new TypeError('a stage needs a worker');

  const webRtcServer = await worker.createWebRtcServer({
    listenInfos: [
      { protocol: 'udp', ...listen },
      { protocol: 'tcp', ...listen },
    ],
  });
  const routers = createRouterPool(worker, maxProfiles);
  const streams = new Map<string, LiveStream>();
  const viewings = new Map<RunningViewing, LiveStream>();
  let open = true;

  function end(reason: 'server_stopped' | 'server_crashed'): void {
    open = false;
    for (const viewing of [...viewings.keys()]) viewing.leave(reason);
    for (const stream of [...streams.values()]) stream.close();
  }

  worker.on('died', (error) => {
    if (!open) return;
    log.error({ streams: streams.size, viewings: viewings.size }, 'the mediasoup worker has died');
    end('server_crashed');
    onWorkerDied?.(error);
  });

  function streamAt(path: string): LiveStream {
    const stream = streams.get(path);
    if (stream?.isLive() !== true) throw new Denial('stream_offline');
    return stream;
  }

  return {
    openStream(path, mediaMs) {
      if (!open) throw new Error('the stage is closed');
      if (streams.has(path)) throw new TypeError(`${path} is on the stage already`);
      const stream = createStream({
        mediaMs,
        onClose() {
          streams.delete(path);
          for (const [viewing, watched] of [...viewings]) {
            if (watched === stream) viewing.leave('source_ended');
          }
        },
      });
      streams.set(path, stream);
      return stream;
    },

    isLive: (path) => streams.get(path)?.isLive() === true,

    async view(path, offer) {
      const askedMs = clock.monotonicMs();
      const stream = streamAt(path);
      await stream.settled;
      const match = matchOffer(offer, stream.tracks());
      const kinds = (['video', 'audio'] as const).filter((kind) => match[kind] !== undefined);
      const lease = await routers.lease(match.profile);
      try {
        const feed = await stream.feed(lease, kinds);
        const release = (): void => {
          feed.release();
          lease.release();
        };
        try {
          const viewing = await openViewing({
            router: lease.router,
            webRtcServer,
            offer,
            match,
            feed,
            mediaMs: stream.mediaMs,
            connectTimeoutMs,
            consentTimeoutSeconds,
            log,
            onClosed(closing) {
              viewings.delete(closing);
              release();
            },
          });
          viewings.set(viewing, stream);
          // The stream or the stage may have gone while the worker was at it.
          if (!stream.isLive()) {
            viewing.close('source_ended');
            throw new Denial('stream_offline');
          }
          log.debug({ path, tookMs: clock.monotonicMs() - askedMs }, 'a viewing is prepared');
          return viewing;
        } catch (error) {
          release();
          throw error;
        }
      } catch (error) {
        lease.release();
        // What the worker says of objects that vanished meanwhile is no fault of ours.
        if (!(error instanceof Denial) && !stream.isLive())
          throw new Denial('stream_offline', { cause: error });
        throw error;
      }
    },

    stats: () => ({
      streams: streams.size,
      viewings: viewings.size,
      consumers: [...viewings.keys()].reduce((sum, viewing) => sum + viewing.consumers, 0),
      profiles: routers.size(),
    }),

    close() {
      if (!open) return;
      end('server_stopped');
      routers.close();
      webRtcServer.close();
    },
  };
}
