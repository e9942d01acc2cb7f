/** RTP packets by hand: no more of them than what the stage reads. */

/** @param height of the picture, which states it as RFC 6386 section 9.1 says */
export function vp8Keyframe(height: number): Buffer {
  const frame = Buffer.concat([Buffer.from([0x10]), Buffer.from('3051009d012a40010000', 'hex')]);
  frame.writeUInt16LE(height, 9);
  return frame;
}

export function rtpPacket(ssrc: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt8(0x80, 0);
  header.writeUInt32BE(ssrc, 8);
  return Buffer.concat([header, payload]);
}
