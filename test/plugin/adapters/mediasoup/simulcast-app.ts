/** A mediasoup app whose source sends simulcast: ffmpeg encodes one picture in several sizes. */
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { types } from 'mediasoup';

/** Pixels of the layers, the lowest first: width is 16/9 of it. */
export const LAYER_HEIGHTS = [90, 180, 360] as const;

const PAYLOAD_TYPE = 96;
const SSRCS = [0x3331, 0x3332, 0x3333] as const;
const BITS_PER_SECOND = ['100k', '250k', '900k'] as const;

const CODEC: types.RouterRtpCodecCapability = {
  kind: 'video',
  mimeType: 'video/H264',
  clockRate: 90_000,
  parameters: { 'packetization-mode': 1, 'profile-level-id': '42e01f', 'level-asymmetry-allowed': 1 },
};

export interface SimulcastApp {
  readonly router: types.Router;
  readonly video: types.Producer;
  /** From now on the source sends only so many of the layers, from the lowest on. */
  sendLayers(this: void, count: number): void;
  stop(): Promise<void>;
}

const encoder = (index: number, port: number): string[] => [
  ...['-map', '0:v', '-s', `${(LAYER_HEIGHTS[index] ?? 0) * (16 / 9)}x${LAYER_HEIGHTS[index] ?? 0}`],
  ...['-c:v', 'libx264', '-profile:v', 'baseline', '-preset', 'ultrafast', '-tune', 'zerolatency'],
  ...['-b:v', BITS_PER_SECOND[index] ?? '', '-g', '10', '-pix_fmt', 'yuv420p', '-bsf:v', 'dump_extra'],
  ...['-f', 'rtp', '-ssrc', String(SSRCS[index]), '-payload_type', String(PAYLOAD_TYPE)],
  `rtp://127.0.0.1:${port}?rtcpport=${port}&pkt_size=1200`,
];

/** The SSRC of a packet: where it lies depends on whether it is RTCP (RFC 5761 section 4). */
const ssrcOf = (packet: Buffer): number =>
  packet.readUInt32BE((packet[1] ?? 0) >= 192 && (packet[1] ?? 0) <= 223 ? 4 : 8);

export async function startSimulcastApp(worker: types.Worker): Promise<SimulcastApp> {
  const router = await worker.createRouter({ mediaCodecs: [CODEC] });
  const transport = await router.createPlainTransport({
    listenInfo: { protocol: 'udp', ip: '127.0.0.1' },
    rtcpMux: true,
    comedia: true,
  });
  const { mimeType, clockRate, parameters = {} } = CODEC;
  const video = await transport.produce({
    kind: 'video',
    rtpParameters: {
      codecs: [{ mimeType, clockRate, payloadType: PAYLOAD_TYPE, parameters }],
      encodings: SSRCS.map((ssrc) => ({ ssrc })),
    },
  });
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 }).bind(0, '127.0.0.1');
  await once(socket, 'listening');
  let sent: readonly number[] = SSRCS;
  socket.on('message', (packet, { port }) => {
    if (port === transport.tuple.localPort || !sent.includes(ssrcOf(packet))) return;
    socket.send(packet, transport.tuple.localPort, '127.0.0.1');
  });
  const { port } = socket.address();
  const ffmpeg = spawn(
    'ffmpeg',
    [
      ...['-hide_banner', '-loglevel', 'error', '-re', '-f', 'lavfi', '-i', 'testsrc=size=640x360:rate=25'],
      ...SSRCS.flatMap((_ssrc, index) => encoder(index, port)),
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  return {
    router,
    video,
    sendLayers: (count) => (sent = SSRCS.slice(0, count)),
    async stop() {
      const exited = once(ffmpeg, 'exit');
      if (ffmpeg.kill('SIGKILL')) await exited;
      socket.close();
      router.close();
    },
  };
}
