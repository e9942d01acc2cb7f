/** Where a decoder can begin, seen from the packets: of packetizers that are not ours as well. */

const FIXED_HEADER_BYTES = 12;

const NAL_IDR = 5;
const NAL_SPS = 7;
const STAP_A = 24;
const FU_A = 28;

const isStart = (type: number): boolean => type === NAL_IDR || type === NAL_SPS;

/** RFC 6184 section 5.2; of an aggregate the first unit counts. */
function startsH264(payload: Buffer): boolean {
  const type = (payload[0] ?? 0) & 0x1f;
  if (type === STAP_A) return isStart((payload[3] ?? 0) & 0x1f);
  if (type !== FU_A) return isStart(type);
  const head = payload[1] ?? 0;
  return (head & 0x80) !== 0 && isStart(head & 0x1f);
}

/** RFC 7741 section 4.2. */
export function vp8DescriptorBytes(payload: Buffer): number {
  if (((payload[0] ?? 0) & 0x80) === 0) return 1;
  const extended = payload[1] ?? 0;
  let at = 2;
  if ((extended & 0x80) !== 0) at += ((payload[2] ?? 0) & 0x80) === 0 ? 1 : 2;
  if ((extended & 0x40) !== 0) at += 1;
  if ((extended & 0x30) !== 0) at += 1;
  return at;
}

/** RFC 7741 sections 4.2 and 4.3: the first packet of the first partition, whose frame is no inter frame. */
function startsVp8(payload: Buffer): boolean {
  if (((payload[0] ?? 0) & 0x17) !== 0x10) return false;
  return ((payload[vp8DescriptorBytes(payload)] ?? 1) & 1) === 0;
}

/** RFC 9628 section 4.2: the beginning of a frame of the lowest layer that is predicted from nothing. */
function startsVp9(payload: Buffer): boolean {
  const first = payload[0] ?? 0;
  if ((first & 0x48) !== 0x08) return false;
  if ((first & 0x20) === 0) return true;
  const idBytes = (first & 0x80) === 0 ? 0 : ((payload[1] ?? 0) & 0x80) === 0 ? 1 : 2;
  return ((payload[1 + idBytes] ?? 0) & 0x0e) === 0;
}

/** By encoding name. */
const STARTS = { H264: startsH264, VP8: startsVp8, VP9: startsVp9 } as const;

/** What `startsKeyframe` can read. */
export type KeyframeCodec = keyof typeof STARTS;

/** The payload of an RTP packet without its header; padding stays. */
export function payloadOf(packet: Buffer): Buffer {
  const first = packet[0] ?? 0;
  let at = FIXED_HEADER_BYTES + (first & 0x0f) * 4;
  if ((first & 0x10) !== 0 && packet.length >= at + 4) at += 4 + packet.readUInt16BE(at + 2) * 4;
  return packet.subarray(at);
}

/** True for the packet that a keyframe begins with. */
export function startsKeyframe(codec: KeyframeCodec, packet: Buffer): boolean {
  const payload = payloadOf(packet);
  return payload.length > 0 && STARTS[codec](payload);
}
