/** Does the publisher's video have B-frames, which come in another order than they are shown in? */

export interface PictureOrder {
  take(presentationMs: number, compositionMs: number, keyframe: boolean): void;
  /** True once pictures were out of order. */
  isMixed(): boolean;
  /**
   * True too while it must be feared: an encoder that lets its keyframes wait makes room for B-frames, whether or not
   * it has made one so far.
   */
  mayBeMixed(): boolean;
  /** Another encoder, or other settings. */
  restart(): void;
}

/** Who has made no B-frame for so long has them off, and only sends late. */
const FEARED_MS = 2000;

export function createPictureOrder(): PictureOrder {
  let latestMs = -Infinity;
  let firstMs: number | undefined;
  let makesRoom = false;
  let mixed = false;
  return {
    take(presentationMs, compositionMs, keyframe) {
      if (firstMs === undefined && keyframe) {
        firstMs = presentationMs;
        makesRoom = compositionMs > 0;
      }
      if (presentationMs < latestMs) mixed = true;
      latestMs = Math.max(latestMs, presentationMs);
    },
    isMixed: () => mixed,
    mayBeMixed: () => mixed || (makesRoom && firstMs !== undefined && latestMs - firstMs < FEARED_MS),
    restart() {
      latestMs = -Infinity;
      firstMs = undefined;
      makesRoom = mixed = false;
    },
  };
}
