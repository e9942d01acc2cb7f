/** A stream on a stage without mediasoup: packets of our packetizers, when the test says so. */
import type { RtspStage } from '../../../../plugin/adapters/rtsp.ts';
import { Denial } from '../../../../plugin/errors.ts';
import type { AacCodec, StreamTap, TapListener, TappedLine } from '../../../../plugin/ports.ts';
import {
  buildSenderReport,
  createAacPacketizer,
  createH264Packetizer,
  createOpusPacketizer,
} from '../../../../plugin/rtp/index.ts';

export interface FakeStream extends RtspStage {
  live: boolean;
  mediaMs: number;
  /** Packets of the latest picture or sound, as the stage had them. */
  readonly latest: Buffer[];
  keyframeRequests: number;
  listeners(): number;
  /** Sends a picture: parameter sets and a slice, or a slice only. */
  picture(keyframe: boolean, bytes?: number): void;
  sound(bytes?: number): void;
  reports(): void;
  /** Sends packets again, of video unless it says so. */
  replay(packets: readonly Buffer[], kind?: 'video' | 'audio'): void;
  end(): void;
  /** Of the video. */
  layers: number;
  readonly tapped: StreamTap;
}

const nal = (type: number, bytes: number): Buffer =>
  Buffer.concat([Buffer.from([0x60 | type]), Buffer.alloc(bytes, 0x5a)]);

/** @param aac its sound; default Opus */
export function createFakeStream(aac?: AacCodec): FakeStream {
  const [videos, audios] = [new Set<TapListener>(), new Set<TapListener>()];
  const sendTo = (listeners: Set<TapListener>) => (packet: Buffer) => {
    stream.latest.push(Buffer.from(packet));
    for (const listener of listeners) listener.rtp(packet);
  };
  const h264 = createH264Packetizer({
    ssrc: 1,
    payloadType: 100,
    firstSequence: 65_530,
    send: sendTo(videos),
  });
  const sound = { ssrc: 2, payloadType: 101, firstSequence: 7, send: sendTo(audios) };
  const clockRate = aac?.sampleRateHz ?? 48_000;
  const packetizer =
    aac === undefined ? createOpusPacketizer(sound) : createAacPacketizer({ ...sound, clockRate });
  h264.setParameterSets([nal(7, 10), nal(8, 4)]);
  const line = (listeners: Set<TapListener>): TappedLine => ({
    listen(listener) {
      const own = { ...listener };
      listeners.add(own);
      stream.keyframeRequests += 1;
      return () => void listeners.delete(own);
    },
    requestKeyframe: () => void (stream.keyframeRequests += 1),
  });
  const stream: FakeStream = {
    live: true,
    mediaMs: 0,
    latest: [],
    keyframeRequests: 0,
    layers: 1,
    listeners: () => videos.size + audios.size,
    picture(keyframe, bytes = 100) {
      stream.latest.length = 0;
      h264.send([nal(keyframe ? 5 : 1, bytes)], stream.mediaMs, keyframe);
    },
    sound(bytes = 80) {
      stream.latest.length = 0;
      packetizer.send(Buffer.alloc(bytes, 0xa5), (stream.mediaMs * clockRate) / 1000, false);
    },
    reports() {
      for (const [listeners, ssrc] of [
        [videos, 1],
        [audios, 2],
      ] as const) {
        const report = { ssrc, ntpMs: 1e12, rtpTimestamp: 5, packets: 999, octets: 999, cname: 'c' };
        for (const listener of listeners) listener.rtcp(buildSenderReport(report));
      }
    },
    replay(packets, kind = 'video') {
      const listeners = kind === 'video' ? videos : audios;
      for (const packet of packets) for (const listener of listeners) listener.rtp(packet);
    },
    end() {
      stream.live = false;
      for (const listener of [...videos, ...audios]) listener.ended();
    },
    tapped: {
      video: {
        ...line(videos),
        codec: { name: 'H264', profileLevelId: '42e01f' },
        get layers() {
          return stream.layers;
        },
      },
      audio: { ...line(audios), codec: aac },
      mediaMs: () => stream.mediaMs,
    },
    isLive: () => stream.live,
    tap: () => (stream.live ? Promise.resolve(stream.tapped) : Promise.reject(new Denial('stream_offline'))),
  };
  return stream;
}
