/** The current group of pictures of a live video: what a decoder that starts now must be given. */

export interface SourcePicture {
  /** NAL units without their lengths, or a whole picture of a codec without such; nobody writes to them any more. */
  readonly units: readonly Buffer[];
  readonly presentationMs: number;
  readonly keyframe: boolean;
  /** Memory that is not freed while the picture is kept: the whole tag that its units are views of. */
  readonly heldBytes: number;
}

export interface GopCache {
  add(picture: SourcePicture): void;
  /** From a keyframe on, in decoding order; empty when too much came without a keyframe. */
  pictures(): readonly SourcePicture[];
  clear(): void;
}

/** 8 s at 8 Mbit/s. */
const MAX_BYTES = 8 * 1024 * 1024;
const MAX_PICTURES = 1500;

export function createGopCache(): GopCache {
  let pictures: SourcePicture[] = [];
  let bytes = 0;

  function clear(): void {
    pictures = [];
    bytes = 0;
  }

  return {
    add(picture) {
      if (picture.keyframe) clear();
      else if (pictures.length === 0) return;
      pictures.push(picture);
      bytes += picture.heldBytes;
      if (bytes > MAX_BYTES || pictures.length > MAX_PICTURES) clear();
    },
    pictures: () => pictures,
    clear,
  };
}
