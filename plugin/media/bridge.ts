/**
 * A keyframe between two of the publisher's. Who comes in the middle of a long group of pictures, or has lost one,
 * could show nothing until the next. Instead the re-encoder, which can decode the group from the cache, begins with a
 * keyframe at once, and all viewers get its pictures until the publisher's next keyframe.
 *
 * Those who watch already shall hardly see it. They get the publisher's pictures until the re-encoder's first keyframe
 * is due; from then on these are held, for half a second and 4 MiB at most, and sent after all if it does not come.
 */
import type { Clock } from '../ports.ts';
import type { GopCache, SourcePicture } from './gop.ts';
import type { Reencoder } from './reencoder.ts';
import type { ReencodedPicture } from './reencoder-formats.ts';

export interface BridgeOptions {
  readonly clock: Clock;
  readonly gop: GopCache;
  readonly reencoder: () => Pick<Reencoder, 'nextKeyframeMs' | 'status'> | undefined;
  /** Sends a picture of the publisher's to the viewers. */
  readonly send: (picture: SourcePicture) => void;
  /** The re-encoder is needed for it now, or no longer. */
  readonly onNeed: () => void;
}

export interface Bridge {
  /** A viewer needs a keyframe. Whether he gets one is decided with the next picture; the publisher's will do too. */
  request(): void;
  /** The re-encoder is needed, though the pictures still are the publisher's. */
  isOpening(): boolean;
  /** A keyframe of the publisher's, which ends what there is of a bridge. */
  keyframe(presentationMs: number): void;
  /** Takes a picture of the publisher's that the cache has been given: it is sent, now or later, unless a bridge opens. */
  pass(picture: SourcePicture): void;
  /** True if the viewers get the re-encoder's pictures from this one on: the bridge is open. */
  opensWith(picture: ReencodedPicture): boolean;
  /** Sends what is held; the viewers' pictures have another origin now. Idempotent. */
  end(): void;
  /** The publisher's next keyframe can no longer be told from those before. */
  restart(): void;
}

/** A keyframe that is this near will do. */
const MIN_WAIT_MS = 1500;
/** A keyframe that is later than expected by this much was not to be expected. */
const MAX_OVERDUE_MS = 500;
/** For so long at most the picture stands still for those who watch. */
const MAX_HOLD_MS = 500;
const MAX_HELD_BYTES = 4 * 1024 * 1024;
/**
 * After a bridge the publisher's own pictures are shown for at least this long, and at least as long as the bridge was:
 * whoever asks for keyframes on end gets them for less than half of the time, at the cost of what all others see.
 */
const MIN_REST_MS = 10_000;

export function createBridge({ clock, gop, reencoder, send, onNeed }: BridgeOptions): Bridge {
  let state: 'closed' | 'opening' | 'open' = 'closed';
  let isAsked = false;
  let beganAtMs = 0;
  let restUntilMs = -Infinity;
  let keyframeMs: number | undefined;
  /** Between the last two keyframes. */
  let intervalMs: number | undefined;
  let sentMs = -Infinity;
  let held: SourcePicture[] = [];
  let heldBytes = 0;
  let heldSinceMs = 0;
  /** The keyframe of the re-encoder that was waited for in vain. */
  let missedMs: number | undefined;

  /** True if the publisher's next keyframe is not to be waited for. */
  function isFar(nowMs: number): boolean {
    if (keyframeMs === undefined || intervalMs === undefined) return true;
    const waitMs = keyframeMs + intervalMs - nowMs;
    return waitMs > MIN_WAIT_MS || waitMs < -MAX_OVERDUE_MS;
  }

  function openIfAsked(nowMs: number): void {
    if (!isAsked || state !== 'closed' || gop.pictures().length === 0 || !isFar(nowMs)) return;
    beganAtMs = clock.monotonicMs();
    if (beganAtMs < restUntilMs) return;
    state = 'opening';
    onNeed();
  }

  function forward(picture: SourcePicture): void {
    sentMs = Math.max(sentMs, picture.presentationMs);
    send(picture);
  }

  function forwardHeld(untilMs = Infinity): void {
    const pictures = held;
    held = [];
    heldBytes = 0;
    for (const picture of pictures) if (picture.presentationMs < untilMs) forward(picture);
  }

  /** True while the re-encoder's keyframe is due at this picture, or has been for less than what viewers may wait. */
  function mustHold({ presentationMs, heldBytes: moreBytes }: SourcePicture): boolean {
    const nextMs = reencoder()?.nextKeyframeMs();
    if (nextMs === undefined || presentationMs < nextMs || nextMs === missedMs) return false;
    const nowMs = clock.monotonicMs();
    if (held.length === 0) {
      heldSinceMs = nowMs;
      return moreBytes <= MAX_HELD_BYTES && (reencoder()?.status()?.lagMs ?? 0) < MAX_HOLD_MS;
    }
    if (nowMs - heldSinceMs < MAX_HOLD_MS && heldBytes + moreBytes <= MAX_HELD_BYTES) return true;
    missedMs = nextMs;
    return false;
  }

  function end(): void {
    forwardHeld();
    if (state === 'closed') return;
    state = 'closed';
    const nowMs = clock.monotonicMs();
    restUntilMs = nowMs + Math.max(MIN_REST_MS, nowMs - beganAtMs);
    onNeed();
  }

  return {
    request: () => void (isAsked = true),
    isOpening: () => state === 'opening',
    keyframe(presentationMs) {
      isAsked = false;
      intervalMs = keyframeMs === undefined ? undefined : presentationMs - keyframeMs;
      keyframeMs = presentationMs;
      end();
    },
    pass(picture) {
      openIfAsked(picture.presentationMs);
      if (state === 'opening' && mustHold(picture)) {
        held.push(picture);
        heldBytes += picture.heldBytes;
        return;
      }
      forwardHeld();
      forward(picture);
    },
    opensWith({ keyframe, presentationMs }) {
      if (state !== 'opening' || !keyframe || presentationMs <= sentMs) return false;
      forwardHeld(presentationMs);
      state = 'open';
      return true;
    },
    end,
    restart() {
      end();
      keyframeMs = intervalMs = undefined;
    },
  };
}
