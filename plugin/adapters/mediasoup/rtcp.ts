/** What of RTCP the stage reads itself; mediasoup writes the rest. */

const PAYLOAD_SPECIFIC_FEEDBACK = 206;
/** Formats of payload-specific feedback: RFC 4585 section 6.3.1, RFC 5104 section 4.3.1. */
const PICTURE_LOSS = 1;
const FULL_INTRA_REQUEST = 4;
const FULL_INTRA_ENTRY_BYTES = 8;

interface RtcpPart {
  readonly type: number;
  /** Report count or feedback format. */
  readonly count: number;
  readonly bytes: Buffer;
}

/** The packets of a compound one (RFC 3550 section 6.1); nothing after the first that does not fit. */
function* partsOf(compound: Buffer): Generator<RtcpPart> {
  for (let at = 0; at + 4 <= compound.length;) {
    const end = at + (compound.readUInt16BE(at + 2) + 1) * 4;
    if (end > compound.length) return;
    const bytes = compound.subarray(at, end);
    yield { type: bytes.readUInt8(1), count: bytes.readUInt8(0) & 0x1f, bytes };
    at = end;
  }
}

/** The SSRCs whose source is asked for a keyframe. */
export function keyframeRequests(compound: Buffer): readonly number[] {
  const ssrcs: number[] = [];
  for (const { type, count, bytes } of partsOf(compound)) {
    if (type !== PAYLOAD_SPECIFIC_FEEDBACK) continue;
    if (count === PICTURE_LOSS && bytes.length >= 12) ssrcs.push(bytes.readUInt32BE(8));
    if (count !== FULL_INTRA_REQUEST) continue;
    for (let at = 12; at + FULL_INTRA_ENTRY_BYTES <= bytes.length; at += FULL_INTRA_ENTRY_BYTES) {
      ssrcs.push(bytes.readUInt32BE(at));
    }
  }
  return ssrcs;
}
