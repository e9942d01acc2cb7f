/** A publisher whose pictures carry their number and the time at which they were sent; no encoder is needed. */
import { request } from '../plugin/adapters/node-media-server/rtmp-client.ts';
import { bodyOf, rtmpMessage } from '../plugin/adapters/node-media-server/messages.ts';

export interface Stamp {
  readonly index: number;
  readonly isKeyframe: boolean;
  /** As `stampClockMs` has it. */
  readonly sentMs: number;
}

export interface StampedSource {
  /** Pictures sent so far. */
  sent(): number;
  stop(): void;
}

export interface StampedSourceOptions {
  readonly pictureBytes?: number;
  readonly framesPerSecond?: number;
  /** From keyframe to keyframe. */
  readonly groupFrames?: number;
}

const MARK = Buffer.from('stamped-picture:');
const HEAD_BYTES = 5;
const STAMP_BYTES = HEAD_BYTES + MARK.length + 4 + 8;
const SET_CHUNK_SIZE = 1;

/** Milliseconds of a clock that all processes of this machine share. */
export function stampClockMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** The stamp of a video message's payload. */
export function readStamp(payload: Buffer): Stamp | undefined {
  if (payload.length < STAMP_BYTES || payload.indexOf(MARK) !== HEAD_BYTES) return undefined;
  const at = HEAD_BYTES + MARK.length;
  return {
    index: payload.readUInt32BE(at),
    isKeyframe: payload[0] === 0x17,
    sentMs: payload.readDoubleBE(at + 4),
  };
}

function stampedPicture(index: number, isKeyframe: boolean, pictureBytes: number): Buffer {
  const body = bodyOf(isKeyframe ? 'keyframe' : 'picture', Math.max(pictureBytes, STAMP_BYTES), 0x5a);
  const at = HEAD_BYTES + MARK.length;
  MARK.copy(body, HEAD_BYTES);
  body.writeUInt32BE(index, at);
  body.writeDoubleBE(stampClockMs(), at + 4);
  return body;
}

/** True if these pictures, in this order, can be decoded: each follows its keyframe without a gap. */
export function isDecodable(stamps: readonly Stamp[]): boolean {
  return stamps.every(
    ({ index, isKeyframe }, at) => isKeyframe || index === (stamps[at - 1]?.index ?? NaN) + 1,
  );
}

/** Publishes over RTMP, video and sound, until it is stopped. */
export async function publishStamped(
  port: number,
  path: string,
  streamKey: string,
  { pictureBytes = 2000, framesPerSecond = 25, groupFrames = 25 }: StampedSourceOptions = {},
): Promise<StampedSource> {
  const [, app = '', name = ''] = path.split('/');
  const client = await request(port, 'publish', app, `${name}?key=${streamKey}`);
  const status = await client.status(/NetStream\.Publish\.[A-Za-z]+/);
  if (!status.endsWith('.Start')) throw new Error(`the publisher was refused: ${status}`);
  const chunkBytes = Buffer.alloc(4);
  chunkBytes.writeUInt32BE(0xff_ff_ff);
  const chunkSize = rtmpMessage(SET_CHUNK_SIZE, 0, chunkBytes);
  chunkSize[0] = 2;
  client.send(chunkSize);
  client.send(rtmpMessage(9, 0, bodyOf('video-head')));
  client.send(rtmpMessage(8, 0, bodyOf('audio-head')));
  let index = 0;
  const timer = setInterval(() => {
    const timeMs = Math.round((index * 1000) / framesPerSecond);
    client.send(rtmpMessage(9, timeMs, stampedPicture(index, index % groupFrames === 0, pictureBytes)));
    client.send(rtmpMessage(8, timeMs, bodyOf('sound', 100)));
    index += 1;
  }, 1000 / framesPerSecond);
  return {
    sent: () => index,
    stop() {
      clearInterval(timer);
      client.socket.destroy();
    },
  };
}
