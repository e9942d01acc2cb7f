/** A publisher of H.264 that nobody could decode: as many bytes as wanted, at a steady pace, with hardly any work. */
import { randomBytes } from 'node:crypto';
import { request } from 'node:http';

export interface Flood {
  stop(): Promise<void>;
}

const FRAMES_PER_SECOND = 25;
const TAG_HEADER_BYTES = 11;
const FILE_HEAD = Buffer.from('464c5601010000000900000000', 'hex');
/** AVCDecoderConfigurationRecord of baseline level 3.1, from an encoder. */
const AVC_CONFIG = Buffer.from('0142c01fffe1000a6742c01fda02802dc84001000468ce3c80', 'hex');

/** One FLV tag of video. */
function tag(timeMs: number, head: number, packetType: number, body: Buffer): Buffer {
  const payload = Buffer.concat([Buffer.from([head, packetType, 0, 0, 0]), body]);
  const bytes = Buffer.alloc(TAG_HEADER_BYTES + payload.length + 4);
  bytes[0] = 9;
  bytes.writeUIntBE(payload.length, 1, 3);
  bytes.writeUIntBE(timeMs & 0xff_ff_ff, 4, 3);
  bytes[7] = timeMs >>> 24;
  payload.copy(bytes, TAG_HEADER_BYTES);
  bytes.writeUInt32BE(TAG_HEADER_BYTES + payload.length, TAG_HEADER_BYTES + payload.length);
  return bytes;
}

/** A NAL unit with its length before it: an IDR slice, or another. */
function slice(isKey: boolean, bytes: number): Buffer {
  const nal = randomBytes(bytes);
  nal.writeUInt32BE(bytes - 4);
  nal[4] = isKey ? 0x65 : 0x41;
  return nal;
}

/** Publishes by POST; a keyframe each second. */
export function publishFlood(url: string, bitsPerSecond: number): Flood {
  const posting = request(url, { method: 'POST' });
  posting.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => posting.on('close', () => resolve()));
  const frameBytes = Math.ceil(bitsPerSecond / 8 / FRAMES_PER_SECOND);
  const slices = { key: slice(true, frameBytes), other: slice(false, frameBytes) };
  posting.write(Buffer.concat([FILE_HEAD, tag(0, 0x17, 0, AVC_CONFIG)]));
  const startMs = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    const due = ((performance.now() - startMs) / 1000) * FRAMES_PER_SECOND;
    for (; sent < due; sent++) {
      const isKey = sent % FRAMES_PER_SECOND === 0;
      const timeMs = (sent * 1000) / FRAMES_PER_SECOND;
      posting.write(tag(timeMs, isKey ? 0x17 : 0x27, 1, isKey ? slices.key : slices.other));
    }
  }, 1000 / FRAMES_PER_SECOND);
  return {
    async stop() {
      clearInterval(timer);
      posting.destroy();
      await closed;
    },
  };
}
