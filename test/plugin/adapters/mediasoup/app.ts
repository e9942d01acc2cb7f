/** A mediasoup app as there are many: a router of its own, with producers that ffmpeg's RTP comes to. */
import { createSocket, type Socket } from 'node:dgram';
import type { types } from 'mediasoup';
import { keyframeRequests } from '../../../../plugin/adapters/mediasoup/rtcp.ts';
import type { RtpInput } from '../../../../plugin/ports.ts';
import { startSource, type SourceOptions } from './rtp-source.ts';

export interface App {
  readonly router: types.Router;
  readonly video: types.Producer | undefined;
  readonly audio: types.Producer | undefined;
  /** How often the source was asked for a keyframe. */
  keyframeRequests(this: void): number;
  /** Ends the encoder; the producers stay, and get nothing any more. */
  silence(): Promise<void>;
  stop(): Promise<void>;
}

const CODECS: Record<types.MediaKind, types.RouterRtpCodecCapability> = {
  audio: { kind: 'audio', mimeType: 'audio/opus', clockRate: 48_000, channels: 2 },
  video: {
    kind: 'video',
    mimeType: 'video/H264',
    clockRate: 90_000,
    parameters: { 'packetization-mode': 1, 'profile-level-id': '42e01f', 'level-asymmetry-allowed': 1 },
  },
};

/** Starts an app on a worker; its pictures are H.264 constrained baseline. */
export async function startApp(worker: types.Worker, options: SourceOptions): Promise<App> {
  const router = await worker.createRouter({ mediaCodecs: [CODECS.audio, CODECS.video] });
  const producers: Partial<Record<types.MediaKind, types.Producer>> = {};
  const sockets: Socket[] = [];
  let requests = 0;

  async function produce(kind: types.MediaKind, ssrc: number, payloadType: number): Promise<RtpInput> {
    const transport = await router.createPlainTransport({
      listenInfo: { protocol: 'udp', ip: '127.0.0.1' },
      rtcpMux: true,
      comedia: true,
    });
    const { mimeType, clockRate, channels, parameters = {} } = CODECS[kind];
    producers[kind] = await transport.produce({
      kind,
      rtpParameters: {
        codecs: [
          {
            mimeType,
            clockRate,
            payloadType,
            ...(channels === undefined ? {} : { channels }),
            parameters,
            rtcpFeedback: kind === 'video' ? [{ type: 'nack', parameter: 'pli' }] : [],
          },
        ],
        encodings: [{ ssrc }],
      },
    });
    const socket = createSocket('udp4');
    socket.on('message', (packet) => void (requests += keyframeRequests(packet).length));
    sockets.push(socket);
    const send = (packet: Buffer): void =>
      socket.send(Buffer.from(packet), transport.tuple.localPort, '127.0.0.1');
    return { sendRtp: send, sendRtcp: send, close: () => undefined };
  }

  const source = await startSource(
    {
      openStream: () => ({
        addVideo: ({ ssrc, payloadType }) => produce('video', ssrc, payloadType),
        addAudio: ({ ssrc, payloadType }) => produce('audio', ssrc, payloadType),
        addAac: () => Promise.reject(new TypeError('an app has no AAC')),
        refuseVideo: () => undefined,
        close: () => undefined,
      }),
    },
    '',
    options,
  );
  return {
    router,
    video: producers.video,
    audio: producers.audio,
    keyframeRequests: () => requests,
    silence: () => source.stop(),
    async stop() {
      await source.stop();
      for (const socket of sockets.splice(0)) socket.close();
      router.close();
    },
  };
}
