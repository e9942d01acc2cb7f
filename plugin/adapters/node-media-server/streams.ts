/** What is on the air: one publisher per stream, for a while after he has gone his place, and who is watching. */
import type { PublisherHealth, ReencoderStatus, StreamStatus } from '../../contract.ts';
import { Denial } from '../../errors.ts';
import { createPublisherHealth } from '../../media/publisher-health.ts';
import type { Clock, Log } from '../../ports.ts';
import type { HostBroadcast } from './host.ts';
import type { Viewer } from './viewer.ts';

/** Where a publisher's FLV tags go besides the viewers of the host. */
export interface PublisherTap {
  /** @param timestampMs the publisher's own timestamp (modulo 2^32), which the host's tag may not have */
  pushTag(tag: Buffer, timestampMs: number): void;
  /** The publisher has come back on another connection; his timestamps start anew. */
  restart?(): void;
  /** What is made anew of his video now. */
  reencoders?(): ReencoderStatus[];
  close(): void;
}

/** A publisher's hold on a stream. */
export interface Claim {
  /**
   * Listens to what he sends, once he has the broadcast. Nothing that the host has cached is needed: he sends his
   * configuration first.
   * @param timeOf his own timestamp of the tag that is being sent; the host's may be another one
   */
  listen(broadcast: HostBroadcast, timeOf: (tag: Buffer) => number): void;
  /** He has gone; the stream ends unless he comes back within the grace time. Idempotent. */
  leave(): void;
}

export interface LiveStream {
  mediaMs(): number;
  add(viewer: Viewer): void;
  remove(viewer: Viewer): void;
}

export interface Streams {
  /**
   * Takes a stream for a publisher.
   * @throws Denial `stream_busy` when somebody else has it
   */
  claim(path: string): Claim;
  /** True when nobody has the stream, or its publisher is away. */
  isFree(path: string): boolean;
  find(path: string): LiveStream | undefined;
  statuses(): StreamStatus[];
  closeAll(): void;
}

export interface StreamsOptions {
  readonly onPublisher: ((path: string) => PublisherTap) | undefined;
  /** Milliseconds that a stream outlives its publisher. */
  readonly graceMs: number;
  /** Told when a stream goes on or off the air. */
  readonly onChange: () => void;
  readonly clock: Clock;
  readonly log: Log;
}

interface Place {
  readonly stream: LiveStream;
  readonly tap: PublisherTap | undefined;
  readonly health: ReturnType<typeof createPublisherHealth>;
  readonly viewers: Set<Viewer>;
  readonly onAirSince: number;
  broadcast: HostBroadcast | undefined;
  /** `undefined` while the publisher is there. */
  graceTimer: NodeJS.Timeout | undefined;
}

const TAP_ID = 'usher-tap';

export function createStreams(options: StreamsOptions): Streams {
  const { onPublisher, graceMs, onChange, clock, log } = options;
  const places = new Map<string, Place>();

  function vacate(path: string, place: Place): void {
    clearTimeout(place.graceTimer);
    places.delete(path);
    place.broadcast?.subscribers.delete(TAP_ID);
    for (const viewer of place.viewers) viewer.gone('source_ended');
    place.tap?.close();
    onChange();
  }

  function listen(place: Place, broadcast: HostBroadcast, timeOf: (tag: Buffer) => number): void {
    const { tap, health } = place;
    place.broadcast = broadcast;
    broadcast.subscribers.set(TAP_ID, {
      id: TAP_ID,
      ip: '',
      protocol: 'flv',
      sendBuffer(tag) {
        const timestampMs = timeOf(tag);
        health.take(tag, timestampMs);
        tap?.pushTag(tag, timestampMs);
      },
      close: () => undefined,
    });
  }

  function leave(path: string, place: Place): void {
    if (place.graceTimer !== undefined) return;
    place.broadcast?.subscribers.delete(TAP_ID);
    place.graceTimer = setTimeout(() => vacate(path, place), graceMs);
    place.graceTimer.unref();
    onChange();
  }

  function createPlace(path: string): Place {
    const health = createPublisherHealth({ path, clock, log });
    const viewers = new Set<Viewer>();
    return {
      tap: onPublisher?.(path),
      health,
      viewers,
      stream: {
        mediaMs: () => health.mediaMs(),
        add: (viewer) => void viewers.add(viewer),
        remove: (viewer) => void viewers.delete(viewer),
      },
      onAirSince: Math.floor(clock.nowMs() / 1000),
      broadcast: undefined,
      graceTimer: undefined,
    };
  }

  /** A claim stands for one connection: what an earlier one does late changes nothing. */
  function createClaim(path: string, place: Place): Claim {
    let left = false;
    return {
      listen: (broadcast, timeOf) => listen(place, broadcast, timeOf),
      leave() {
        if (left) return;
        left = true;
        leave(path, place);
      },
    };
  }

  return {
    claim(path) {
      const known = places.get(path);
      if (known === undefined) {
        const place = createPlace(path);
        places.set(path, place);
        onChange();
        return createClaim(path, place);
      }
      if (known.graceTimer === undefined) throw new Denial('stream_busy');
      clearTimeout(known.graceTimer);
      known.graceTimer = undefined;
      known.tap?.restart?.();
      known.health.restart();
      onChange();
      return createClaim(path, known);
    },
    isFree(path) {
      const place = places.get(path);
      return place === undefined || place.graceTimer !== undefined;
    },
    find(path) {
      return places.get(path)?.stream;
    },
    statuses() {
      const onAir = [...places].filter(([, { graceTimer }]) => graceTimer === undefined);
      return onAir.map(([uri, { onAirSince, viewers, health, tap }]) => {
        const read: PublisherHealth = { ...health.read(), reencoders: tap?.reencoders?.() ?? [] };
        return { uri, onAirSince, viewers: viewers.size, health: read };
      });
    },
    closeAll() {
      for (const [path, place] of [...places]) vacate(path, place);
    },
  };
}
