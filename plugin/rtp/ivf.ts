/** IVF, which holds VP8 as ffmpeg writes it: a header of 32 bytes, then pictures with size and timestamp. */
import { FormatError } from './format-error.ts';

const FILE_HEADER_BYTES = 32;
const PICTURE_HEADER_BYTES = 12;
/** Larger than any picture of a live stream. */
const MAX_PICTURE_BYTES = 16 * 1024 * 1024;

export interface IvfReader {
  /**
   * Takes the next bytes of the file.
   * @throws FormatError
   */
  push(chunk: Buffer): void;
}

/** @param onPicture gets each picture and its timestamp in units of the file's own clock */
export function createIvfReader(onPicture: (picture: Buffer, timestamp: number) => void): IvfReader {
  let rest: Buffer = Buffer.alloc(0);
  let started = false;

  function readHeader(): boolean {
    if (rest.length < FILE_HEADER_BYTES) return false;
    if (rest.toString('latin1', 0, 4) !== 'DKIF') throw new FormatError('ivf', 'no IVF header');
    rest = rest.subarray(FILE_HEADER_BYTES);
    started = true;
    return true;
  }

  return {
    push(chunk) {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      if (!started && !readHeader()) return;
      while (rest.length >= PICTURE_HEADER_BYTES) {
        const size = rest.readUInt32LE(0);
        if (size > MAX_PICTURE_BYTES) throw new FormatError('ivf', 'picture is too large');
        const end = PICTURE_HEADER_BYTES + size;
        if (rest.length < end) return;
        const picture = rest.subarray(PICTURE_HEADER_BYTES, end);
        const timestamp = Number(rest.readBigUInt64LE(4));
        rest = rest.subarray(end);
        onPicture(picture, timestamp);
      }
    },
  };
}
