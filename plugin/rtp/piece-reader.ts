/** A file that comes through a pipe, cut anywhere, in the pieces that it is made of. */
export interface PieceReader {
  /**
   * Takes the next bytes of the file.
   * @throws FormatError, and what the taker of a piece throws; the reader is of no use after that
   */
  push(chunk: Buffer): void;
}

export interface PieceFormat {
  readonly fileHeaderBytes: number;
  /** @throws FormatError */
  checkFileHeader(bytes: Buffer): void;
  readonly pieceHeaderBytes: number;
  /**
   * The length of a whole piece, by the header at the front of `bytes`.
   * @throws FormatError
   */
  pieceBytes(bytes: Buffer): number;
  /** @param piece with its header; a view of memory that is not written to again */
  onPiece(piece: Buffer): void;
}

export function createPieceReader(format: PieceFormat): PieceReader {
  const { fileHeaderBytes, pieceHeaderBytes } = format;
  let rest: Buffer = Buffer.alloc(0);
  let started = false;
  return {
    push(chunk) {
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      if (!started) {
        if (rest.length < fileHeaderBytes) return;
        format.checkFileHeader(rest);
        rest = rest.subarray(fileHeaderBytes);
        started = true;
      }
      while (rest.length >= pieceHeaderBytes) {
        const end = format.pieceBytes(rest);
        if (rest.length < end) return;
        const piece = rest.subarray(0, end);
        rest = rest.subarray(end);
        format.onPiece(piece);
      }
    },
  };
}
