/** Who is on air: one publisher per stream, and for a while after he has gone, his place. */
import { Denial } from '../../errors.ts';

/** Where a publisher's FLV tags go. */
export interface PublisherTap {
  /** @param timestampMs the publisher's own timestamp (modulo 2^32), which the host's tag may not have */
  pushTag(tag: Buffer, timestampMs: number): void;
  /** The publisher has come back on another connection; his timestamps start anew. */
  restart?(): void;
  close(): void;
}

export interface Publishers {
  /**
   * Takes a stream for a publisher.
   * @throws Denial `stream_busy` when somebody else has it
   */
  claim(path: string): PublisherTap;
  /** The publisher has gone; the tap is closed unless one comes back within the grace time. */
  leave(path: string): void;
  closeAll(): void;
}

interface Place {
  readonly tap: PublisherTap;
  /** `undefined` while the publisher is there. */
  graceTimer: NodeJS.Timeout | undefined;
}

/** @param graceMs milliseconds that a stream outlives its publisher */
export function createPublishers(onPublisher: (path: string) => PublisherTap, graceMs: number): Publishers {
  const places = new Map<string, Place>();

  function vacate(path: string, place: Place): void {
    clearTimeout(place.graceTimer);
    places.delete(path);
    place.tap.close();
  }

  return {
    claim(path) {
      const place = places.get(path);
      if (place === undefined) {
        const tap = onPublisher(path);
        places.set(path, { tap, graceTimer: undefined });
        return tap;
      }
      if (place.graceTimer === undefined) throw new Denial('stream_busy');
      clearTimeout(place.graceTimer);
      place.graceTimer = undefined;
      place.tap.restart?.();
      return place.tap;
    },
    leave(path) {
      const place = places.get(path);
      if (place === undefined || place.graceTimer !== undefined) return;
      place.graceTimer = setTimeout(() => vacate(path, place), graceMs);
      place.graceTimer.unref();
    },
    closeAll() {
      for (const [path, place] of [...places]) vacate(path, place);
    },
  };
}
