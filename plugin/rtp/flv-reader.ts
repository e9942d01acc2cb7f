/** An FLV file (Adobe FLV 10.1, annex E.2) cut into tags. */
import { FLV_HEADER_BYTES } from './flv-tag.ts';
import { FormatError } from './format-error.ts';
import { createPieceReader, type PieceReader } from './piece-reader.ts';

/** The header, and the size of the tag before the first one, which is 0. */
const FILE_HEADER_BYTES = 9 + 4;
const TRAILER_BYTES = 4;

/** @param onTag gets each tag without what is behind it */
export function createFlvReader(onTag: (tag: Buffer) => void): PieceReader {
  return createPieceReader({
    fileHeaderBytes: FILE_HEADER_BYTES,
    checkFileHeader(bytes) {
      if (bytes.toString('latin1', 0, 3) !== 'FLV') throw new FormatError('flv', 'no FLV header');
    },
    pieceHeaderBytes: FLV_HEADER_BYTES,
    pieceBytes: (bytes) => FLV_HEADER_BYTES + bytes.readUIntBE(1, 3) + TRAILER_BYTES,
    onPiece: (piece) => onTag(piece.subarray(0, -TRAILER_BYTES)),
  });
}
