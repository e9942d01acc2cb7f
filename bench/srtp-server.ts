/**
 * A media server of the srtp bench, in a process of its own: `srtp-server.ts ours|mediasoup SUITE`. Both have one
 * producer that RTP comes to; `mediasoup` has a PlainTransport with SRTP for each receiver, `ours` one DirectTransport
 * consumer and a fan-out.
 */
import { randomBytes } from 'node:crypto';
import { createWorker, type types } from 'mediasoup';
import { createFanOut, SRTP_SUITES, type SrtpSuiteName } from '../plugin/srtp/index.ts';
import type { ReceiverLine } from './srtp-readers.ts';

export const PAYLOAD_TYPE = 96;
export const SSRC = 0x1111;
const SEQUENCE = 1000;

export interface ServerReady {
  /** Port that the stream is to be sent to. */
  readonly port: number;
}

export type ServerQuestion =
  { readonly ask: 'serve'; readonly ports: readonly number[] } | { readonly ask: 'usage' };

/** CPU of the process, its threads, and its worker. */
export interface ServerUsage {
  readonly cpuSeconds: number;
}

type Serve = (ports: readonly number[]) => Promise<ReceiverLine[]>;

const CODEC: types.RouterRtpCodecCapability = {
  kind: 'video',
  mimeType: 'video/H264',
  clockRate: 90_000,
  parameters: { 'packetization-mode': 1, 'profile-level-id': '42e01f', 'level-asymmetry-allowed': 1 },
};

/** Neither retransmission nor header extensions: what a player over RTSP has. */
function capabilitiesOf(router: types.Router): types.RtpCapabilities {
  const codecs = (router.rtpCapabilities.codecs ?? [])
    .filter(({ mimeType }) => !mimeType.endsWith('/rtx'))
    .map((codec) => ({ ...codec, rtcpFeedback: [] }));
  return { codecs, headerExtensions: [] };
}

/** mediasoup has no keys of the caller's on the way out: it makes them. */
function serveByMediasoup(router: types.Router, producerId: string, suite: SrtpSuiteName): Serve {
  const rtpCapabilities = capabilitiesOf(router);
  async function serveOne(port: number): Promise<ReceiverLine> {
    const transport = await router.createPlainTransport({
      listenInfo: { protocol: 'udp', ip: '127.0.0.1' },
      rtcpMux: true,
      enableSrtp: true,
      srtpCryptoSuite: suite,
    });
    const { keyBase64 = '' } = transport.srtpParameters ?? {};
    // The receiver's own key, that nothing is sent under.
    const srtpParameters: types.SrtpParameters = {
      cryptoSuite: suite,
      keyBase64: randomBytes(SRTP_SUITES[suite].keyBytes + SRTP_SUITES[suite].saltBytes).toString('base64'),
    };
    await transport.connect({ ip: '127.0.0.1', port, srtpParameters });
    await transport.consume({ producerId, rtpCapabilities });
    return { suite, keyBase64 };
  }
  return (ports) => Promise.all(ports.map(serveOne));
}

async function serveByFanOut(router: types.Router, producerId: string, suite: SrtpSuiteName): Promise<Serve> {
  const fanOut = await createFanOut({ address: '127.0.0.1' });
  const stream = fanOut.openStream();
  const transport = await router.createDirectTransport();
  const consumer = await transport.consume({ producerId, rtpCapabilities: capabilitiesOf(router) });
  consumer.on('rtp', (packet) => stream.send(packet));
  const { keyBytes, saltBytes } = SRTP_SUITES[suite];
  return async (ports) =>
    ports.map((port, index) => {
      const master = { key: randomBytes(keyBytes), salt: randomBytes(saltBytes) };
      const numbers = { ssrc: SSRC + index, sequence: SEQUENCE, payloadType: PAYLOAD_TYPE };
      stream.add({ suite, master, ...numbers, to: { address: '127.0.0.1', port } });
      return { suite, keyBase64: Buffer.concat([master.key, master.salt]).toString('base64') };
    });
}

async function main(mode: string | undefined, suite: SrtpSuiteName): Promise<void> {
  const worker = await createWorker();
  const router = await worker.createRouter({ mediaCodecs: [CODEC] });
  const input = await router.createPlainTransport({
    listenInfo: { protocol: 'udp', ip: '127.0.0.1', recvBufferSize: 4 << 20 },
    rtcpMux: true,
    comedia: true,
  });
  const { kind, ...codec } = CODEC;
  const rtpParameters = { codecs: [{ ...codec, payloadType: PAYLOAD_TYPE }], encodings: [{ ssrc: SSRC }] };
  const producer = await input.produce({ kind, rtpParameters });
  const serve =
    mode === 'ours'
      ? await serveByFanOut(router, producer.id, suite)
      : serveByMediasoup(router, producer.id, suite);

  async function usage(): Promise<ServerUsage> {
    const { ru_utime, ru_stime } = await worker.getResourceUsage();
    const { user, system } = process.cpuUsage();
    return { cpuSeconds: (user + system) / 1e6 + (ru_utime + ru_stime) / 1e3 };
  }

  process.on('message', (question: ServerQuestion) => {
    void (question.ask === 'usage' ? usage() : serve(question.ports)).then((answer) =>
      process.send?.(answer),
    );
  });
  process.on('disconnect', () => {
    worker.close();
    process.exit(0);
  });
  process.send?.({ port: input.tuple.localPort } satisfies ServerReady);
}

if (import.meta.main) await main(process.argv[2], process.argv[3] as SrtpSuiteName);
