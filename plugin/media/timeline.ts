/**
 * One publisher's clock. Tags carry milliseconds modulo 2^32 that may wrap, jump, run backwards or start again at 0
 * when the publisher returns; viewers need time that only goes on. Both tracks share one timeline, so that what was
 * in sync stays in sync.
 */
import type { Clock } from '../ports.ts';

export type Track = 'audio' | 'video';

export interface Timeline {
  /** Media time of a tag in whole milliseconds from the start of the stream; never less than the track's last one. */
  map(track: Track, tagMs: number): number;
  /** The publisher has come back: its timestamps start anew. */
  restart(): void;
  /** Milliseconds of media so far; never falls, and gaps over a second do not count. */
  mediaMs(): number;
  /** Media time of this moment, on the mapping from media time to wall clock that sender reports state. */
  nowMs(): number;
  /** Changes when that mapping has been set anew. */
  mapping(): number;
}

/** A stretch of tags without a jump, of one track or both. */
interface Epoch {
  /** Media time minus tag time. */
  readonly offsetMs: number;
  /** Unwrapped time of its latest tag of either track. */
  lastMs: number;
}

interface Place {
  readonly epoch: Epoch;
  /** Unwrapped time of the track's latest tag. */
  readonly lastMs: number;
}

/** Timestamps of one track may be this much out of order. */
const JITTER_MS = 100;
/** One track may lag the other by this. */
const INTERLEAVE_MS = 3000;
/** A step forward of up to a second is a gap; a larger one is too if it goes no further ahead of the wall clock than this. */
const STEP_MS = 1000;
const MAX_AHEAD_MS = 3000;
/** Media time after a jump that took no time: about one picture. */
const MIN_STEP_MS = 20;
const COUNTED_STEP_MS = 1000;
/** The publisher's clock may drift this far from ours before the mapping to wall clock is set again ... */
const MAX_DRIFT_MS = 2000;
/** ... and be late for this long: what is late because something held it up makes up for it soon. */
const MAX_LATE_FOR_MS = 5000;

/** Starts a timeline at 0 with the first tag. */
export function createTimeline(clock: Clock): Timeline {
  const places = new Map<Track, Place>();
  /** The latest media time of either track, and when it came. */
  let positionMs = 0;
  let positionAtMs = clock.monotonicMs();
  let countedMs = 0;
  let wallOffsetMs: number | undefined;
  let lateSinceMs: number | undefined;
  let mapping = 0;
  const lastMediaMs = new Map<Track, number>();

  /** Media time of a tag if it goes on with `epoch`, else `undefined`. */
  function follow(
    epoch: Epoch,
    track: Track,
    trackMs: number | undefined,
    tagMs: number,
    nowMs: number,
  ): number | undefined {
    const deltaMs = (tagMs - epoch.lastMs) | 0;
    const unwrappedMs = epoch.lastMs + deltaMs;
    const earliestMs = trackMs === undefined ? epoch.lastMs - INTERLEAVE_MS : trackMs - JITTER_MS;
    const mediaMs = unwrappedMs + epoch.offsetMs;
    // Not by when the tag before came: an encoder may keep its last pictures back until the next come.
    const inReach = deltaMs <= STEP_MS || mediaMs <= nowMs - (wallOffsetMs ?? 0) + MAX_AHEAD_MS;
    if (unwrappedMs < earliestMs || !inReach) return undefined;
    epoch.lastMs = Math.max(epoch.lastMs, unwrappedMs);
    places.set(track, { epoch, lastMs: unwrappedMs });
    return mediaMs;
  }

  function startEpoch(track: Track, tagMs: number, nowMs: number): number {
    const firstEver = wallOffsetMs === undefined;
    const stepMs = firstEver ? 0 : Math.max(Math.round(nowMs - positionAtMs), MIN_STEP_MS);
    const epoch = { offsetMs: positionMs + stepMs - tagMs, lastMs: tagMs };
    places.set(track, { epoch, lastMs: tagMs });
    return positionMs + stepMs;
  }

  /**
   * A track that has jumped goes where the other one is, if its tags fit there: it has jumped before, or has not and
   * this was a slip. Tags of the track that has not jumped (yet) go on as they did.
   */
  function locate(track: Track, tagMs: number, nowMs: number): number {
    const own = places.get(track);
    const other = places.get(track === 'audio' ? 'video' : 'audio');
    const goesOn = own && follow(own.epoch, track, own.lastMs, tagMs, nowMs);
    if (goesOn !== undefined) return goesOn;
    const joins =
      other === undefined || other.epoch === own?.epoch
        ? undefined
        : follow(other.epoch, track, undefined, tagMs, nowMs);
    return joins ?? startEpoch(track, tagMs, nowMs);
  }

  function hasDrifted(nowMs: number): boolean {
    if (wallOffsetMs === undefined) return true;
    const lateMs = nowMs - wallOffsetMs - positionMs;
    if (lateMs < -MAX_DRIFT_MS) return true;
    lateSinceMs = lateMs > MAX_DRIFT_MS ? (lateSinceMs ?? nowMs) : undefined;
    return lateSinceMs !== undefined && nowMs - lateSinceMs >= MAX_LATE_FOR_MS;
  }

  return {
    map(track, tagMs) {
      const nowMs = clock.monotonicMs();
      const mediaMs = Math.max(locate(track, tagMs, nowMs), lastMediaMs.get(track) ?? 0);
      lastMediaMs.set(track, mediaMs);
      if (mediaMs > positionMs) {
        const stepMs = mediaMs - positionMs;
        if (stepMs <= COUNTED_STEP_MS) countedMs += stepMs;
        positionMs = mediaMs;
        positionAtMs = nowMs;
      }
      if (hasDrifted(nowMs)) {
        wallOffsetMs = nowMs - positionMs;
        mapping += 1;
        positionAtMs = nowMs;
      }
      return mediaMs;
    },
    restart() {
      places.clear();
    },
    mediaMs: () => countedMs,
    nowMs: () => (wallOffsetMs === undefined ? 0 : clock.monotonicMs() - wallOffsetMs),
    mapping: () => mapping,
  };
}
