/**
 * How high the pictures in RTP are, as their keyframes say: H.264 (RFC 6184), VP8 (RFC 7741), VP9 (RFC 9628). AV1 is
 * not read.
 */

export type SizedCodec = 'H264' | 'VP8' | 'VP9';

/** Bits of a NAL unit's payload (ITU-T H.264 section 7.2); beyond the end there are zeros. */
function bitReader(bytes: Uint8Array) {
  let at = 0;
  const bit = (): number => ((bytes[at >> 3] ?? 0) >> (7 - (at++ & 7))) & 1;
  const bits = (count: number): number => {
    let value = 0;
    for (let left = count; left > 0; left--) value = value * 2 + bit();
    return value;
  };
  /** Exp-Golomb (section 9.1). */
  const ue = (): number => {
    let zeros = 0;
    while (bit() === 0) if (++zeros > 32 || at > bytes.length * 8) return 0;
    return 2 ** zeros - 1 + bits(zeros);
  };
  const se = (): number => {
    const code = ue();
    return code % 2 === 1 ? (code + 1) / 2 : -code / 2;
  };
  return { bit, bits, ue, se, isOver: () => at > bytes.length * 8 };
}

/** Without emulation prevention bytes (section 7.4.1). */
function unescape(nal: Uint8Array): Uint8Array {
  const plain: number[] = [];
  let zeros = 0;
  for (const byte of nal) {
    if (zeros >= 2 && byte === 3) {
      zeros = 0;
      continue;
    }
    plain.push(byte);
    zeros = byte === 0 ? zeros + 1 : 0;
  }
  return Uint8Array.from(plain);
}

/** Profiles whose sequence parameter sets say more (section 7.3.2.1.1). */
const HIGH_PROFILES = new Set([100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135]);
const MAX_SPS_BYTES = 256;
const MAX_HEIGHT = 16_384;

/** The height that a sequence parameter set states, cropped; `undefined` when it cannot be read. */
function heightOfSps(nal: Uint8Array): number | undefined {
  const { bit, bits, ue, se, isOver } = bitReader(unescape(nal.subarray(1, MAX_SPS_BYTES)));
  const profile = bits(8);
  bits(16); // constraint flags and level
  ue(); // seq_parameter_set_id
  let chromaFormat = 1;
  if (HIGH_PROFILES.has(profile)) {
    chromaFormat = ue();
    if (chromaFormat === 3) bit();
    ue();
    ue();
    bit();
    if (bit() === 1) {
      for (let list = 0; list < (chromaFormat === 3 ? 12 : 8); list++) {
        if (bit() === 0) continue;
        let next = 8;
        for (let at = 0; at < (list < 6 ? 16 : 64) && next !== 0; at++) next = (next + se() + 256) % 256;
      }
    }
  }
  ue(); // log2_max_frame_num_minus4
  const orderType = ue();
  if (orderType === 0) ue();
  if (orderType === 1) {
    bit();
    se();
    se();
    const cycle = Math.min(ue(), 255);
    for (let at = 0; at < cycle; at++) se();
  }
  ue(); // max_num_ref_frames
  bit();
  ue(); // pic_width_in_mbs_minus1
  const mapUnits = ue() + 1;
  const frameMbsOnly = bit();
  if (frameMbsOnly === 0) bit();
  bit(); // direct_8x8_inference_flag
  let cropped = 0;
  if (bit() === 1) {
    ue();
    ue();
    const rows = ue() + ue();
    cropped = rows * (chromaFormat === 1 ? 2 : 1) * (2 - frameMbsOnly);
  }
  const height = mapUnits * 16 * (2 - frameMbsOnly) - cropped;
  return isOver() || height <= 0 || height > MAX_HEIGHT ? undefined : height;
}

const NAL_SPS = 7;
const STAP_A = 24;

function heightOfH264(payload: Buffer): number | undefined {
  const type = (payload[0] ?? 0) & 0x1f;
  if (type === NAL_SPS) return heightOfSps(payload);
  if (type !== STAP_A) return undefined;
  for (let at = 1; at + 3 <= payload.length;) {
    const size = payload.readUInt16BE(at);
    const nal = payload.subarray(at + 2, at + 2 + size);
    if (((nal[0] ?? 0) & 0x1f) === NAL_SPS) return heightOfSps(nal);
    at += 2 + size;
  }
  return undefined;
}

/** RFC 7741 section 4.2 and 4.3: the descriptor, then the header of a keyframe (RFC 6386 section 9.1). */
function heightOfVp8(payload: Buffer): number | undefined {
  const first = payload[0] ?? 0;
  // Start of the first partition.
  if ((first & 0x17) !== 0x10) return undefined;
  let at = 1;
  if ((first & 0x80) !== 0) {
    const extensions = payload[at++] ?? 0;
    if ((extensions & 0x80) !== 0) at += ((payload[at] ?? 0) & 0x80) !== 0 ? 2 : 1;
    if ((extensions & 0x40) !== 0) at += 1;
    if ((extensions & 0x30) !== 0) at += 1;
  }
  if (at + 10 > payload.length || ((payload[at] ?? 1) & 1) !== 0) return undefined;
  if (payload.readUIntBE(at + 3, 3) !== 0x9d012a) return undefined;
  return payload.readUInt16LE(at + 8) & 0x3fff || undefined;
}

/** RFC 9628 section 4.2.1: the scalability structure, which a keyframe brings. The heights of its spatial layers. */
function heightsOfVp9(payload: Buffer): readonly number[] | undefined {
  const first = payload[0] ?? 0;
  const has = (flag: number): boolean => (first & flag) !== 0;
  if (!has(0x02)) return undefined;
  let at = 1;
  if (has(0x80)) at += ((payload[at] ?? 0) & 0x80) !== 0 ? 2 : 1;
  if (has(0x20)) at += has(0x10) ? 1 : 2;
  if (has(0x10) && has(0x40)) {
    // Up to three references (P_DIFF), each saying whether another one follows.
    for (let count = 0; count < 3; count++) if (((payload[at++] ?? 0) & 1) === 0) break;
  }
  const structure = payload[at++] ?? 0;
  if ((structure & 0x10) === 0) return undefined;
  const layers = (structure >> 5) + 1;
  if (at + layers * 4 > payload.length) return undefined;
  return Array.from({ length: layers }, (_each, layer) => payload.readUInt16BE(at + layer * 4 + 2));
}

/**
 * The heights that an RTP payload states, of the lowest spatial layer first (only VP9 has more than one);
 * `undefined` for a payload that states none, as most do.
 */
export function heightsIn(codec: SizedCodec, payload: Buffer): readonly number[] | undefined {
  if (codec === 'VP9') return heightsOfVp9(payload);
  const height = codec === 'VP8' ? heightOfVp8(payload) : heightOfH264(payload);
  return height === undefined ? undefined : [height];
}
