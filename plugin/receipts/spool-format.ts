/**
 * What a segment of the spool looks like: records, one after the other. A record is all that one commit has written:
 * 4 bytes "USR1", the payload's length and its CRC-32 (32 bits each, big endian), then the payload, a JSON array. So
 * what a crash has torn is always the last record, and a record that is followed by a whole one was once complete.
 */
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { receiptSchema } from '../contract.ts';

const openingSchema = z.strictObject({
  session: receiptSchema.shape.session,
  ticket: receiptSchema.shape.ticket,
  uri: receiptSchema.shape.uri,
  startedAt: receiptSchema.shape.startedAt,
});

const entrySchema = z.union([
  /** To be delivered. */
  z.strictObject({ receipt: receiptSchema }),
  /** The last one of a session that goes on, delivered long since: kept so that a crash leaves something to go on from. */
  z.strictObject({ carried: receiptSchema }),
  /** A session without a receipt yet. */
  z.strictObject({ opened: openingSchema }),
]);
export type SpoolEntry = z.infer<typeof entrySchema>;

const payloadSchema = z.array(entrySchema);

const MAGIC = Buffer.from('USR1', 'latin1');
const HEADER_BYTES = 12;
/** Of one record; a commit of 5,000 entries has about 2 MiB. */
const MAX_PAYLOAD_BYTES = 16 * 1024 * 1024;

/** One record. */
export function encodeRecord(entries: readonly SpoolEntry[]): Buffer {
  const payload = Buffer.from(JSON.stringify(entries), 'utf8');
  if (payload.byteLength > MAX_PAYLOAD_BYTES) throw new TypeError('a record of the spool is too long');
  const record = Buffer.allocUnsafe(HEADER_BYTES + payload.byteLength);
  MAGIC.copy(record);
  record.writeUInt32BE(payload.byteLength, 4);
  record.writeUInt32BE(crc32(payload), 8);
  payload.copy(record, HEADER_BYTES);
  return record;
}

/** Where the payload of a whole record at this place ends; `null` when there is none. */
function recordEnd(segment: Buffer, at: number): number | null {
  const start = at + HEADER_BYTES;
  if (start > segment.byteLength || !segment.subarray(at, at + MAGIC.byteLength).equals(MAGIC)) return null;
  const length = segment.readUInt32BE(at + 4);
  const end = start + length;
  if (length > MAX_PAYLOAD_BYTES || end > segment.byteLength) return null;
  return crc32(segment.subarray(start, end)) === segment.readUInt32BE(at + 8) ? end : null;
}

function parsePayload(payload: Buffer): SpoolEntry[] | null {
  try {
    const parsed = payloadSchema.safeParse(JSON.parse(payload.toString('utf8')));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

function hasRecordAfter(segment: Buffer, from: number): boolean {
  for (let at = segment.indexOf(MAGIC, from); at !== -1; at = segment.indexOf(MAGIC, at + 1)) {
    if (recordEnd(segment, at) !== null) return true;
  }
  return false;
}

export interface DecodedSegment {
  readonly entries: readonly SpoolEntry[];
  /** Bytes from the beginning that are whole records. */
  readonly goodBytes: number;
  /**
   * What follows them: nothing; something without a whole record in it, as a crash leaves it; or something with one,
   * which was damaged after it was complete.
   */
  readonly rest: 'none' | 'torn' | 'damaged';
}

/** Reads a segment as far as it is whole. Never throws. */
export function decodeSegment(segment: Buffer): DecodedSegment {
  const entries: SpoolEntry[] = [];
  let at = 0;
  while (at < segment.byteLength) {
    const end = recordEnd(segment, at);
    const read = end === null ? null : parsePayload(segment.subarray(at + HEADER_BYTES, end));
    if (end === null || read === null) {
      // Whole, and yet not what this program writes: nothing that a crash does.
      const damaged = end !== null || hasRecordAfter(segment, at + 1);
      return { entries, goodBytes: at, rest: damaged ? 'damaged' : 'torn' };
    }
    for (const entry of read) entries.push(entry);
    at = end;
  }
  return { entries, goodBytes: at, rest: 'none' };
}
