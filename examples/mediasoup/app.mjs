// A mediasoup app that takes RTP from ffmpeg; the lines that end in "usher" are all that is added.
import { createServer } from 'node:http';
import * as mediasoup from 'mediasoup';
import { openGate, openStage } from 'media-usher'; // usher

const { PORT = '4001', RTP_PORT = '5004' } = process.env;
const OPUS = { kind: 'audio', mimeType: 'audio/opus', clockRate: 48000, channels: 2 };
const H264 = {
  kind: 'video',
  mimeType: 'video/H264',
  clockRate: 90000,
  parameters: { 'packetization-mode': 1, 'profile-level-id': '42e01f' },
};

const worker = await mediasoup.createWorker();
const router = await worker.createRouter({ mediaCodecs: [OPUS, H264] });

/** A producer of what comes to `port` (RTP) and the port after it (RTCP). */
async function receive({ kind, ...codec }, port, payloadType, ssrc) {
  const transport = await router.createPlainTransport({
    listenInfo: { protocol: 'udp', ip: '127.0.0.1', port },
    rtcpListenInfo: { protocol: 'udp', ip: '127.0.0.1', port: port + 1 },
    rtcpMux: false,
    comedia: true,
  });
  const rtpParameters = { codecs: [{ ...codec, payloadType }], encodings: [{ ssrc }] };
  return transport.produce({ kind, rtpParameters });
}

const video = await receive(H264, Number(RTP_PORT), 96, 1111);
const audio = await receive(OPUS, Number(RTP_PORT) + 2, 97, 2222);

const server = createServer();

const usher = await openGate(); // usher
const stage = await openStage(usher, { workers: [worker] }); // usher
await stage.attach('/live/camera', { router, video, audio }); // usher
server.on('request', stage.whep); // usher
usher.exitOnSignals(() => stage.close()); // usher

server.listen(Number(PORT), '127.0.0.1');
