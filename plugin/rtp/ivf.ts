/** IVF, which holds VP8 as ffmpeg writes it: a header of 32 bytes, then pictures with size and timestamp. */
import { FormatError } from './format-error.ts';
import { createPieceReader, type PieceReader } from './piece-reader.ts';

const FILE_HEADER_BYTES = 32;
const PICTURE_HEADER_BYTES = 12;
/** Larger than any picture of a live stream. */
const MAX_PICTURE_BYTES = 16 * 1024 * 1024;

/** @param onPicture gets each picture and its timestamp in units of the file's own clock */
export function createIvfReader(onPicture: (picture: Buffer, timestamp: number) => void): PieceReader {
  return createPieceReader({
    fileHeaderBytes: FILE_HEADER_BYTES,
    checkFileHeader(bytes) {
      if (bytes.toString('latin1', 0, 4) !== 'DKIF') throw new FormatError('ivf', 'no IVF header');
    },
    pieceHeaderBytes: PICTURE_HEADER_BYTES,
    pieceBytes(bytes) {
      const size = bytes.readUInt32LE(0);
      if (size > MAX_PICTURE_BYTES) throw new FormatError('ivf', 'picture is too large');
      return PICTURE_HEADER_BYTES + size;
    },
    onPiece: (piece) => onPicture(piece.subarray(PICTURE_HEADER_BYTES), Number(piece.readBigUInt64LE(4))),
  });
}
