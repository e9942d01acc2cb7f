/** An FLV file (Adobe FLV 10.1, annex E.2) cut into tags. */
import { FLV_HEADER_BYTES } from './flv-tag.ts';
import { FormatError } from './format-error.ts';

/** The header, and the size of the tag before the first one, which is 0. */
const FILE_HEADER_BYTES = 9 + 4;
const TRAILER_BYTES = 4;

export interface FlvReader {
  /**
   * Takes the next bytes of the file.
   * @throws FormatError
   */
  push(chunk: Buffer): void;
}

/** @param onTag gets each tag without what is behind it; what it throws goes through `push` */
export function createFlvReader(onTag: (tag: Buffer) => void): FlvReader {
  let rest: Buffer = Buffer.alloc(0);
  let started = false;

  function readHeader(): boolean {
    if (rest.length < FILE_HEADER_BYTES) return false;
    if (rest.toString('latin1', 0, 3) !== 'FLV') throw new FormatError('flv', 'no FLV header');
    rest = rest.subarray(FILE_HEADER_BYTES);
    started = true;
    return true;
  }

  return {
    push(chunk) {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      if (!started && !readHeader()) return;
      while (rest.length >= FLV_HEADER_BYTES) {
        const end = FLV_HEADER_BYTES + rest.readUIntBE(1, 3);
        if (rest.length < end + TRAILER_BYTES) return;
        const tag = rest.subarray(0, end);
        rest = rest.subarray(end + TRAILER_BYTES);
        onTag(tag);
      }
    },
  };
}
