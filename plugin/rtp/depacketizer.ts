/** Pictures from RTP packets in order: H.264 (RFC 6184), VP8 (RFC 7741), VP9 (RFC 9628). */
import { payloadOf, startsKeyframe, vp8DescriptorBytes, type KeyframeCodec } from './keyframe.ts';

export interface ReceivedPicture {
  /** RTP timestamp. */
  readonly timestamp: number;
  readonly keyframe: boolean;
  /** H.264: NAL units; else one frame. */
  readonly data: readonly Buffer[];
}

export interface Depacketizer {
  /** Takes a packet; answers the picture that it ends. One that lacks a packet is left out. */
  push(packet: Buffer): ReceivedPicture | undefined;
}

const STAP_A = 24;
const FU_A = 28;
const FU_START = 0x80;
/** Of a picture that somebody does not end. */
const MAX_PICTURE_BYTES = 16 * 1024 * 1024;
/** More could not be told from those of the next round of numbers. */
const MAX_PICTURE_PACKETS = 0x8000;
/** Each costs memory of its own, however small it is. */
const MAX_UNITS = 4096;

/** The units of a picture, each in pieces. */
type Units = Buffer[][];

/** Adds what a payload has of a picture; false when that is not whole. */
type Append = (payload: Buffer, units: Units) => boolean;

function appendAggregate(payload: Buffer, units: Units): boolean {
  for (let at = 1; at < payload.length;) {
    if (at + 2 > payload.length) return false;
    const end = at + 2 + payload.readUInt16BE(at);
    if (end > payload.length || end === at + 2) return false;
    units.push([payload.subarray(at + 2, end)]);
    at = end;
  }
  return true;
}

/** RFC 6184 sections 5.6, 5.7.1, 5.8: packetization-mode 1. */
function appendH264(payload: Buffer, units: Units): boolean {
  const [first = 0, head = 0] = payload;
  const type = first & 0x1f;
  if (type === STAP_A) return appendAggregate(payload, units);
  if (type !== FU_A) {
    units.push([payload]);
    return type > 0 && type < STAP_A;
  }
  if ((head & FU_START) !== 0) units.push([Buffer.from([(first & 0xe0) | (head & 0x1f)])]);
  const unit = units.at(-1);
  unit?.push(payload.subarray(2));
  return unit !== undefined && payload.length > 2;
}

/** RFC 9628 section 4.2. */
function vp9DescriptorBytes(payload: Buffer): number {
  const first = payload[0] ?? 0;
  const [hasId, predicts, hasLayers, isFlexible, hasStructure] = [0x80, 0x40, 0x20, 0x10, 0x02].map(
    (flag) => (first & flag) !== 0,
  );
  let at = 1;
  if (hasId === true) at += ((payload[at] ?? 0) & 0x80) === 0 ? 1 : 2;
  if (hasLayers === true) at += isFlexible === true ? 1 : 2;
  if (isFlexible === true && predicts === true) {
    for (let more = true, count = 0; more && count < 3; count++) more = ((payload[at++] ?? 0) & 1) !== 0;
  }
  if (hasStructure !== true) return at;
  const structure = payload[at++] ?? 0;
  if ((structure & 0x10) !== 0) at += 4 * ((structure >> 5) + 1);
  if ((structure & 0x08) === 0) return at;
  for (let pictures = payload[at++] ?? 0; pictures > 0; pictures--) at += 1 + (((payload[at] ?? 0) >> 2) & 3);
  return at;
}

const appendFrame =
  (descriptorBytes: (payload: Buffer) => number): Append =>
  (payload, units) => {
    const piece = payload.subarray(descriptorBytes(payload));
    if (units.length === 0) units.push([]);
    units[0]?.push(piece);
    return piece.length > 0;
  };

const APPENDS: Readonly<Record<KeyframeCodec, Append>> = {
  H264: appendH264,
  VP8: appendFrame(vp8DescriptorBytes),
  VP9: appendFrame(vp9DescriptorBytes),
};

/** RFC 3550 section 5.1: the last byte says how many are padding. */
export function unpaddedPayloadOf(packet: Buffer): Buffer {
  const payload = payloadOf(packet);
  const padding = ((packet[0] ?? 0) & 0x20) === 0 ? 0 : (payload.at(-1) ?? 0);
  return payload.subarray(0, Math.max(0, payload.length - padding));
}

/** For one stream, of packets of at least 12 bytes. */
export function createDepacketizer(codec: KeyframeCodec): Depacketizer {
  const append = APPENDS[codec];
  let due: number | undefined;
  let timestamp: number | undefined;
  let keyframe = false;
  let units: Units = [];
  let bytes = 0;
  let packets = 0;
  let isBroken = false;

  function isTooMuch(): boolean {
    return bytes > MAX_PICTURE_BYTES || packets > MAX_PICTURE_PACKETS || units.length > MAX_UNITS;
  }

  function begin(at: number | undefined): void {
    timestamp = at;
    units = [];
    bytes = 0;
    packets = 0;
    isBroken = false;
  }

  return {
    push(packet) {
      const sequence = packet.readUInt16BE(2);
      const at = packet.readUInt32BE(4);
      const isFirst = at !== timestamp;
      if (isFirst) {
        begin(at);
        keyframe = startsKeyframe(codec, packet);
      }
      if (due !== undefined && sequence !== due) isBroken = true;
      due = (sequence + 1) & 0xffff;
      bytes += packet.length;
      packets += 1;
      const payload = unpaddedPayloadOf(packet);
      if (payload.length > 0 && (isBroken || !append(payload, units) || isTooMuch())) {
        isBroken = true;
        units = [];
      }
      if (((packet[1] ?? 0) & 0x80) === 0) return undefined;
      const data = units.map((pieces) => Buffer.concat(pieces));
      const picture = isBroken || data.length === 0 ? undefined : { timestamp: at, keyframe, data };
      begin(undefined);
      return picture;
    },
  };
}
