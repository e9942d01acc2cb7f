/** Ogg pages (RFC 3533), read as they come. */
import { FormatError } from './format-error.ts';

const HEADER_BYTES = 27;
const MAX_PAGE_BYTES = HEADER_BYTES + 255 + 255 * 255;
const MAX_PACKET_BYTES = 65_536;
const FLAG_CONTINUED = 1;

export interface OggPage {
  /** Packets that end on this page. */
  readonly packets: readonly Buffer[];
  /** Position at the end of the last of them, in the codec's units; -1 when none ends here. */
  readonly granule: number;
}

export interface OggReader {
  /**
   * Takes the next bytes, cut anywhere.
   * @throws FormatError when they are not Ogg; the reader is of no use after that
   */
  push(chunk: Buffer): void;
}

/**
 * Reads one logical Ogg stream. Holds at most one page and one unfinished packet (64 KiB). The pages' CRC is not
 * checked: the bytes come through a pipe from a child of ours.
 */
export function createOggReader(onPage: (page: OggPage) => void): OggReader {
  let buffered: Buffer = Buffer.alloc(0);
  /** Parts of a packet that goes on on the next page. */
  let parts: Buffer[] = [];
  let partBytes = 0;

  function readPackets(table: Buffer, body: Buffer): Buffer[] {
    const packets: Buffer[] = [];
    let start = 0;
    let end = 0;
    for (const lacing of table) {
      end += lacing;
      if (partBytes + end - start > MAX_PACKET_BYTES) throw new FormatError('ogg', 'packet is too long');
      if (lacing === 255) continue;
      const tail = body.subarray(start, end);
      packets.push(parts.length === 0 ? tail : Buffer.concat([...parts, tail]));
      parts = [];
      partBytes = 0;
      start = end;
    }
    if (end > start) {
      // A copy: the page's memory goes.
      parts.push(Buffer.from(body.subarray(start, end)));
      partBytes += end - start;
    }
    return packets;
  }

  /** Reads the page at the head of `buffered`; false when it is not whole yet. */
  function readPage(): boolean {
    if (buffered.length < HEADER_BYTES) return false;
    if (buffered.toString('latin1', 0, 4) !== 'OggS' || buffered[4] !== 0) {
      throw new FormatError('ogg', 'no page where one should start');
    }
    const bodyStart = HEADER_BYTES + (buffered[26] ?? 0);
    if (buffered.length < bodyStart) return false;
    const table = buffered.subarray(HEADER_BYTES, bodyStart);
    const bodyEnd = bodyStart + table.reduce((sum, lacing) => sum + lacing, 0);
    if (buffered.length < bodyEnd) return false;
    const continued = ((buffered[5] ?? 0) & FLAG_CONTINUED) !== 0;
    if (continued !== parts.length > 0) throw new FormatError('ogg', 'packet continues from nowhere');
    const granule = Number(buffered.readBigInt64LE(6));
    const packets = readPackets(table, buffered.subarray(bodyStart, bodyEnd));
    buffered = buffered.subarray(bodyEnd);
    onPage({ packets, granule });
    return true;
  }

  return {
    push(chunk) {
      buffered = buffered.length === 0 ? chunk : Buffer.concat([buffered, chunk]);
      while (readPage());
      if (buffered.length > MAX_PAGE_BYTES) throw new FormatError('ogg', 'page is too long');
    },
  };
}
