/**
 * The stage: live streams enter as RTP in this process, viewers get them by WebRTC. There is a router per worker and
 * offer profile (mediasoup's consumers send with their router's payload types), which each stream enters that has
 * viewers there.
 */
import type { types } from 'mediasoup';
import type { StreamStatus } from '../contract.ts';
import { Denial } from '../errors.ts';
import type { Offer } from '../media/offer.ts';
import type { Clock, Log, StageEntrance, StreamTap, VideoCodec } from '../ports.ts';
import type { Tier } from '../rights/index.ts';
import { createAttachments, type AttachedMedia, type Attachment } from './mediasoup/attach.ts';
import type { StageListen } from './mediasoup/listen.ts';
import { matchOffer, type RouterProfile } from './mediasoup/match.ts';
import type { RouterLease } from './mediasoup/routers.ts';
import { createStream, type LiveStream } from './mediasoup/stream.ts';
import { openViewing, type RunningViewing, type StageViewing } from './mediasoup/viewing.ts';
import { tapStream } from './mediasoup/tap.ts';
import { createWorkerPool, type Station } from './mediasoup/workers.ts';

export type { AttachedMedia, Attachment } from './mediasoup/attach.ts';
export type { StageListen } from './mediasoup/listen.ts';
export type { StageViewing } from './mediasoup/viewing.ts';

export interface StageOptions {
  /** At least one; viewers go to the one with the fewest. They stay the caller's. */
  readonly workers: readonly types.Worker[];
  /**
   * Makes a worker in the place of one that has died, at once and then with growing pauses. Without it the others go on
   * alone.
   */
  readonly createWorker?: () => Promise<types.Worker>;
  /** One port for all viewers of a worker, over UDP and TCP; on several addresses for several families or networks. */
  readonly listen: StageListen | readonly StageListen[];
  readonly clock: Clock;
  readonly log: Log;
  /** Routers of a worker for different offers at the same time; default 32. */
  readonly maxProfiles?: number;
  /** Milliseconds that a viewer has for ICE and DTLS; default 20,000. */
  readonly connectTimeoutMs?: number;
  /** Seconds without a sign of life after which a viewer has gone; default 15. It is seen within 7 s more. */
  readonly silenceTimeoutSeconds?: number;
  /** Seconds that an attached stream waits for other producers after its last has been closed; default 30. */
  readonly graceSeconds?: number;
  /** Told when an attached stream goes on or off the air. */
  readonly onAttachedChange?: () => void;
  /** The last worker has died and none will come: every stream and viewing has ended, and the stage takes no more. */
  readonly onWorkersGone?: (error: Error) => void;
}

export interface StageStats {
  readonly streams: number;
  readonly viewings: number;
  readonly consumers: number;
  /** Routers kept for offer profiles, in use or not. */
  readonly profiles: number;
  /** Workers that are alive. */
  readonly workers: number;
}

export interface Stage extends StageEntrance {
  /** True while the stream has something to play. */
  isLive(path: string): boolean;
  /**
   * Prepares a viewer's media; nothing is sent before the viewer has shown the offered certificate in DTLS.
   * @param tier limits on what is sent; default none
   * @throws Denial `stream_offline`, `offer_unsupported`, `sdp_malformed`, `overloaded`; `rights_insufficient` when the
   *   stream has nothing within the limits
   */
  view(path: string, offer: Offer, tier?: Tier): Promise<StageViewing>;
  /**
   * A stream's RTP, for adapters that send packets themselves; the video is the first rendition that `isWanted`.
   * @throws Denial (rejects with it) `stream_offline`, `offer_unsupported`
   */
  tap(path: string, isWanted: (codec: VideoCodec) => boolean): Promise<StreamTap>;
  /**
   * Puts producers that the app made itself on the stage, as the stream at `path`. Where some of their kind are
   * attached there already, these take their place and the viewers go on; if the ones or the others are `direct`, the
   * stream starts anew with these alone, and the viewers ask for their media again. A stream whose producers have all
   * been closed waits `graceSeconds` for others.
   * @throws TypeError (rejects with it) for a codec that is not carried, a producer that is closed or not on the router,
   *   or a path that another source has; Error when producers, stream or stage end meanwhile
   */
  attach(path: string, media: AttachedMedia): Promise<Attachment>;
  /** What is attached and on the air, with its viewers. */
  attachedStreams(): StreamStatus[];
  stats(): StageStats;
  /** Ends every viewing with `server_stopped`, and every stream. The workers stay the caller's. */
  close(): void;
}

/** One timer for all viewers: most of them it only walks past. */
const LOOK_EVERY_MS = 1000;

/**
 * Makes the stage of one streaming server.
 * @throws TypeError without workers, or when a list of ports has too few; Error when a port is taken
 */
export async function createStage(options: StageOptions): Promise<Stage> {
  const { workers, listen, clock, log, maxProfiles = 32, graceSeconds = 30 } = options;
  const { connectTimeoutMs = 20_000, silenceTimeoutSeconds = 15 } = options;
  if (workers.length === 0) throw new TypeError('a stage needs a worker');

  const streams = new Map<string, LiveStream>();
  const viewings = new Map<RunningViewing, { stream: LiveStream; station: Station }>();
  let open = true;

  const lookout = setInterval(() => {
    attachments.look();
    const nowMs = clock.monotonicMs();
    for (const stream of streams.values()) stream.measure(nowMs);
    for (const viewing of [...viewings.keys()]) viewing.look();
  }, LOOK_EVERY_MS);
  lookout.unref();

  function end(reason: 'server_stopped' | 'server_crashed'): void {
    open = false;
    clearInterval(lookout);
    for (const viewing of [...viewings.keys()]) viewing.leave(reason);
    attachments.close();
    for (const stream of [...streams.values()]) stream.close();
  }

  const pool = await createWorkerPool({
    workers,
    createWorker: options.createWorker,
    listen,
    maxRouters: maxProfiles,
    log,
    onDied(station) {
      for (const [viewing, on] of [...viewings]) {
        if (on.station === station) viewing.leave('server_crashed');
      }
    },
    onNoneLeft(error) {
      end('server_crashed');
      options.onWorkersGone?.(error);
    },
  });
  const attachments = createAttachments({
    openStream,
    clock,
    log,
    graceMs: graceSeconds * 1000,
    onChange: () => options.onAttachedChange?.(),
  });

  function openStream(path: string, mediaMs: () => number): LiveStream {
    if (!open) throw new Error('the stage is closed');
    if (streams.has(path)) throw new TypeError(`${path} is on the stage already`);
    const stream = createStream({
      mediaMs,
      onClose(reason) {
        streams.delete(path);
        for (const [viewing, on] of [...viewings]) {
          if (on.stream === stream) viewing.leave(reason);
        }
      },
    });
    streams.set(path, stream);
    return stream;
  }

  /** A router for the profile, on the worker with the fewest viewings that has room for it. */
  async function seat(profile: RouterProfile): Promise<{ station: Station; lease: RouterLease }> {
    const full: Station[] = [];
    for (;;) {
      const { station, release } = pool.place(full);
      try {
        const lease = await station.routers.lease(profile);
        const leave = (): void => {
          release();
          lease.release();
        };
        return { station, lease: { router: lease.router, release: leave } };
      } catch (error) {
        release();
        full.push(station);
        const isFull = error instanceof Denial && error.code === 'overloaded';
        if (!isFull || full.length >= pool.alive()) throw error;
      }
    }
  }

  function streamAt(path: string): LiveStream {
    const stream = streams.get(path);
    if (stream?.isLive() !== true) throw new Denial('stream_offline');
    return stream;
  }

  return {
    openStream,
    attach: attachments.attach,

    isLive: (path) => streams.get(path)?.isLive() === true,

    async tap(path, isWanted) {
      await streamAt(path).settled;
      return tapStream(streamAt(path), isWanted);
    },

    async view(path, offer, tier = {}) {
      const askedMs = clock.monotonicMs();
      const stream = streamAt(path);
      await Promise.all([stream.settled, pool.ready()]);
      if (tier.maxHeight !== undefined) await stream.knowHeights();
      const match = matchOffer(offer, stream.tracks());
      const { station, lease } = await seat(match.profile);
      try {
        const feed = await stream.feed(lease, {
          video: match.video?.rendition,
          audio: match.audio !== undefined,
        });
        const release = (): void => {
          feed.release();
          lease.release();
        };
        try {
          const viewing = await openViewing({
            router: lease.router,
            webRtcServer: station.webRtcServer,
            offer,
            match,
            feed,
            tier,
            mediaMs: stream.mediaMs,
            connectTimeoutMs,
            silenceMs: silenceTimeoutSeconds * 1000,
            clock,
            log,
            onClosed(closing) {
              viewings.delete(closing);
              release();
            },
          });
          viewings.set(viewing, { stream, station });
          // The stream, the stage or the worker may have gone in the meantime.
          if (!stream.isLive() || !pool.isAlive(station)) {
            viewing.close('source_ended');
            throw new Error('gone while the viewing was prepared');
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
        if (error instanceof Denial || (stream.isLive() && pool.isAlive(station))) throw error;
        throw new Denial(stream.isLive() ? 'overloaded' : 'stream_offline', { cause: error });
      }
    },

    attachedStreams() {
      const viewers = new Map<LiveStream, number>();
      for (const { stream } of viewings.values()) viewers.set(stream, (viewers.get(stream) ?? 0) + 1);
      return attachments.statuses().map((status) => {
        const stream = streams.get(status.uri);
        return { ...status, viewers: (stream && viewers.get(stream)) ?? 0 };
      });
    },

    stats: () => ({
      streams: streams.size,
      viewings: viewings.size,
      consumers: [...viewings.keys()].reduce((sum, viewing) => sum + viewing.consumers, 0),
      profiles: pool.routers(),
      workers: pool.alive(),
    }),

    close() {
      if (!open) return;
      end('server_stopped');
      pool.close();
    },
  };
}
