/**
 * Our SRTP beside libsrtp, which mediasoup's worker has in it, and beside ffmpeg's own: reordering, loss, duplicates,
 * tampering and the rollover, both ways.
 */
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createWorker, type types } from 'mediasoup';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  createSrtpReceiver,
  createSrtpSender,
  SRTP_SUITES,
  type SrtpMasterKey,
  type SrtpSuiteName,
} from '../../plugin/srtp/index.ts';
import { runFfmpeg } from '../support/stack.ts';

const SUITES = Object.keys(SRTP_SUITES) as SrtpSuiteName[];
const OPUS = { kind: 'audio', mimeType: 'audio/opus', clockRate: 48_000, channels: 2 } as const;
const SSRC = 0x0abc_def0;

let worker: types.Worker;
let router: types.Router;
let direct: types.DirectTransport;
const sockets: Socket[] = [];

beforeAll(async () => {
  worker = await createWorker();
  router = await worker.createRouter({ mediaCodecs: [OPUS] });
  direct = await router.createDirectTransport();
});
afterAll(() => {
  for (const socket of sockets) socket.close();
  worker.close();
});

async function openSocket(): Promise<Socket & { port: number }> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  sockets.push(socket);
  return Object.assign(socket, { port: socket.address().port });
}

function newKey(suite: SrtpSuiteName): SrtpMasterKey & { base64: string } {
  const { keyBytes, saltBytes } = SRTP_SUITES[suite];
  return keyOf(suite, randomBytes(keyBytes + saltBytes).toString('base64'));
}

/** Key and salt together, as mediasoup and SDES (RFC 4568 section 6.1) write them. */
function keyOf(suite: SrtpSuiteName, base64: string): SrtpMasterKey & { base64: string } {
  const bytes = Buffer.from(base64, 'base64');
  const { keyBytes } = SRTP_SUITES[suite];
  return { key: bytes.subarray(0, keyBytes), salt: bytes.subarray(keyBytes), base64 };
}

function rtp(sequence: number): Buffer {
  const packet = Buffer.alloc(12 + 40, sequence & 0xff);
  packet.writeUInt16BE(0x8000 | 100, 0);
  packet.writeUInt16BE(sequence & 0xffff, 2);
  packet.writeUInt32BE((sequence * 960) >>> 0, 4);
  packet.writeUInt32BE(SSRC, 8);
  return packet;
}

const RTP_PARAMETERS: types.RtpParameters = {
  codecs: [{ mimeType: OPUS.mimeType, clockRate: OPUS.clockRate, channels: OPUS.channels, payloadType: 100 }],
  encodings: [{ ssrc: SSRC }],
};

describe.each(SUITES)('libsrtp, %s', (suite) => {
  /** @param port where it sends to; without one it waits for somebody to send first */
  async function openTransport(
    master: ReturnType<typeof newKey>,
    port?: number,
  ): Promise<types.PlainTransport> {
    const transport = await router.createPlainTransport({
      listenInfo: { protocol: 'udp', ip: '127.0.0.1' },
      rtcpMux: true,
      comedia: port === undefined,
      enableSrtp: true,
      srtpCryptoSuite: suite,
    });
    const srtpParameters = { cryptoSuite: suite, keyBase64: master.base64 };
    await transport.connect({ ...(port === undefined ? {} : { ip: '127.0.0.1', port }), srtpParameters });
    return transport;
  }

  it('opens what we protect, and nothing that was changed or sent before', async () => {
    const master = newKey(suite);
    const transport = await openTransport(master);
    const producer = await transport.produce({ kind: 'audio', rtpParameters: RTP_PARAMETERS });
    const consumer = await direct.consume({
      producerId: producer.id,
      rtpCapabilities: router.rtpCapabilities,
    });
    const payloads: number[] = [];
    consumer.on('rtp', (packet) => payloads.push(packet.at(-1) ?? -1));
    const socket = await openSocket();
    const sender = createSrtpSender({ suite, master });
    const send = (packet: Buffer): void => socket.send(packet, transport.tuple.localPort, '127.0.0.1');
    const sealed = Array.from({ length: 60 }, (_, index) => {
      const into = Buffer.alloc(200);
      return into.subarray(0, sender.protectRtp(rtp(0xffff - 29 + index), into));
    });
    for (const [index, packet] of sealed.entries()) {
      if (index === 10) continue; // lost
      send(packet);
      if (index === 20) send(packet);
      const changed = Buffer.from(packet);
      changed[14]! ^= 1;
      send(changed);
    }
    const expected = sealed
      .map((_, index) => (0xffff - 29 + index) & 0xff)
      .filter((_, index) => index !== 10);
    await vi.waitUntil(() => payloads.length >= expected.length);
    expect(payloads).toEqual(expected);
    transport.close();
  });

  it('makes what we open, RTP and RTCP', async () => {
    const socket = await openSocket();
    const transport = await openTransport(newKey(suite), socket.port);
    const master = keyOf(suite, transport.srtpParameters?.keyBase64 ?? '');
    const receiver = createSrtpReceiver({ suite, master });
    const opened: string[] = [];
    const reports: Buffer[] = [];
    const refused: string[] = [];
    socket.on('message', (packet) => {
      // RFC 5761 section 4: what is RTCP's packet type would be one of RTP with the marker bit.
      const isRtcp = (packet[1] ?? 0) >= 192 && (packet[1] ?? 0) <= 223;
      const result = isRtcp ? receiver.unprotectRtcp(packet) : receiver.unprotectRtp(packet);
      if (typeof result === 'string') refused.push(result);
      else if (isRtcp) reports.push(Buffer.from(result));
      // The worker adds a header extension.
      else opened.push(result.toString('hex', result.length - 40));
    });
    const producer = await direct.produce({ kind: 'audio', rtpParameters: RTP_PARAMETERS });
    const consumer = await transport.consume({
      producerId: producer.id,
      rtpCapabilities: router.rtpCapabilities,
    });
    const sequences = Array.from({ length: 40 }, (_, index) => 0xffff - 19 + index);
    for (const sequence of sequences) producer.send(rtp(sequence));
    await vi.waitUntil(() => opened.length >= sequences.length);
    expect(opened).toEqual(sequences.map((sequence) => rtp(sequence).toString('hex', 12)));
    await vi.waitUntil(() => reports.length > 0, { timeout: 10_000 });
    expect(reports[0]?.[1]).toBe(200); // A sender report,
    expect(reports[0]?.readUInt32BE(4)).toBe(consumer.rtpParameters.encodings?.[0]?.ssrc); // of this stream.
    expect(refused).toEqual([]);
    transport.close();
    producer.close();
  });
});

/** ffmpeg has only this one, and no encrypted RTCP when it receives. */
it('ffmpeg to us, and from us, under another key, to ffmpeg: the tone is the same', async () => {
  const suite: SrtpSuiteName = 'AES_CM_128_HMAC_SHA1_80';
  const [inKey, outKey] = [newKey(suite), newKey(suite)];
  const inSocket = await openSocket();
  const [outSocket, holder] = [await openSocket(), await openSocket()];
  const { port } = holder;
  sockets.splice(sockets.indexOf(holder), 1);
  holder.close();
  await once(holder, 'close');

  const receiver = createSrtpReceiver({ suite, master: inKey });
  const sender = createSrtpSender({ suite, master: outKey });
  const refused: string[] = [];
  inSocket.on('message', (packet) => {
    const isRtcp = (packet[1] ?? 0) >= 192 && (packet[1] ?? 0) <= 223;
    const opened = isRtcp ? receiver.unprotectRtcp(packet) : receiver.unprotectRtp(packet);
    if (typeof opened === 'string') return void refused.push(opened);
    const into = Buffer.alloc(opened.length + sender.overheadBytes);
    const bytes = isRtcp ? sender.protectRtcp(opened, into) : sender.protectRtp(opened, into);
    if (!isRtcp) outSocket.send(into.subarray(0, bytes), port, '127.0.0.1');
  });

  const directory = await mkdtemp(join(tmpdir(), 'usher-srtp-'));
  const [sdp, wave] = [join(directory, 'in.sdp'), join(directory, 'out.raw')];
  await writeFile(
    sdp,
    [
      ...['v=0', 'o=- 1 1 IN IP4 127.0.0.1', 's=-', 'c=IN IP4 127.0.0.1', 't=0 0'],
      ...[`m=audio ${String(port)} RTP/SAVP 97`, 'a=rtpmap:97 opus/48000/2'],
      `a=crypto:1 ${suite} inline:${outKey.base64}`,
      '',
    ].join('\r\n'),
  );
  const reader = runFfmpeg([
    ...['-protocol_whitelist', 'file,udp,rtp,srtp', '-i', sdp],
    ...['-t', '1.5', '-ac', '1', '-ar', '48000', '-f', 's16le', '-y', wave],
  ]);
  const writer = runFfmpeg([
    ...['-re', '-f', 'lavfi', '-i', 'sine=frequency=1000:sample_rate=48000', '-c:a', 'libopus', '-ac', '2'],
    ...['-f', 'rtp', '-payload_type', '97', '-srtp_out_suite', suite, '-srtp_out_params', inKey.base64],
    `srtp://127.0.0.1:${String(inSocket.port)}?rtcpport=${String(inSocket.port)}`,
  ]);
  await reader.exited;
  await writer.stop();
  expect(refused).toEqual([]);
  const samples = new Int16Array((await readFile(wave)).buffer);
  // The middle: what is before the first packet, and the decoder's start, is silence.
  const middle = samples.subarray(24_000, 48_000);
  let crossings = 0;
  for (let at = 1; at < middle.length; at++)
    if ((middle[at - 1] ?? 0) < 0 && (middle[at] ?? 0) >= 0) crossings += 1;
  expect(crossings * 2).toBeGreaterThan(990);
  expect(crossings * 2).toBeLessThan(1010);
  await rm(directory, { recursive: true });
});
