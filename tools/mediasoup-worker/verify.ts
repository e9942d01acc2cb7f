/**
 * Proves a mediasoup worker, on loopback only, with nothing but Node and mediasoup:
 *
 *   node verify.ts WORKER_FILE
 *
 * 1. It starts (a sound worker run bare exits with 41).
 * 2. Two of its WebRtcTransports complete a DTLS handshake, one as client, one as server, each checking
 *    the other's fingerprint, and media protected with the keys of that handshake arrives.
 * 3. Its random strings are not drawn from the Mersenne Twister of an unpatched worker. Shown by their
 *    linear complexity (./linear-complexity.ts), which an unpatched worker cannot pass. That they come
 *    from OpenSSL's generator is what the patch says; no test from outside can show that.
 *
 * Environment: MEDIASOUP_DIR, the unpacked mediasoup package (default: the one Node resolves).
 */
import { spawnSync } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { crc32 } from 'node:zlib';
import type * as Mediasoup from 'mediasoup';
import type { types } from 'mediasoup';
import { CHARACTERS_NEEDED, drawnFromMersenneTwister } from './linear-complexity.ts';

const LOOPBACK = '127.0.0.1';
const TIME_LIMIT_MS = 60_000;
const MEDIA_PACKETS = 20;
const PRODUCER_SSRC = 0x05e7_0001;

const workerFile = process.argv[2];
if (workerFile === undefined) {
  console.error('usage: verify.ts WORKER_FILE');
  process.exit(2);
}

const { status } = spawnSync(workerFile, { env: {}, stdio: 'ignore' });
if (status !== 41) fail(`it does not start (exit status ${status}, expected 41)`);
console.log('ok: the worker starts');

setTimeout(() => fail(`not done after ${TIME_LIMIT_MS / 1000} s`), TIME_LIMIT_MS).unref();
const mediasoup = await importMediasoup();
const worker = await mediasoup.createWorker({ workerBin: workerFile, logLevel: 'error' });
worker.on('died', (error) => fail(`it died: ${error.message}`));

await checkHandshake();
console.log('ok: a DTLS handshake and media under its keys');
await checkRandomStrings();
console.log('ok: random strings that are not from a Mersenne Twister');
worker.close();

function fail(reason: string): never {
  console.error(`FAILED: ${reason}`);
  process.exit(1);
}

async function importMediasoup(): Promise<typeof Mediasoup> {
  const directory = process.env['MEDIASOUP_DIR'];
  if (directory === undefined) return import('mediasoup');
  const file = createRequire(import.meta.url).resolve(directory);
  return (await import(pathToFileURL(file).href)) as typeof Mediasoup;
}

async function checkHandshake(): Promise<void> {
  const router = await worker.createRouter({
    mediaCodecs: [{ kind: 'audio', mimeType: 'audio/opus', clockRate: 48_000, channels: 2 }],
  });
  const listenInfos: types.TransportListenInfo[] = [{ protocol: 'udp', ip: LOOPBACK }];
  const client = await router.createWebRtcTransport({ listenInfos });
  const server = await router.createWebRtcTransport({ listenInfos });
  await joinTransports(client, server);

  const connected = Promise.all([client, server].map(untilConnected));
  await client.connect({ dtlsParameters: { ...server.dtlsParameters, role: 'server' } });
  await server.connect({ dtlsParameters: { ...client.dtlsParameters, role: 'client' } });
  await connected;
  await checkMedia(router, client, server);
  router.close();
}

/**
 * Both transports are ICE-lite: neither ever sends the first packet. So one socket per transport plays
 * the full agent (RFC 8445) towards it, and everything else is passed from one socket to the other.
 */
async function joinTransports(a: types.WebRtcTransport, b: types.WebRtcTransport): Promise<void> {
  const [socketA, socketB] = await Promise.all([openSocket(), openSocket()]);
  passOn(socketA, socketB, b);
  passOn(socketB, socketA, a);
  for (const [socket, transport] of [[socketA, a] as const, [socketB, b] as const]) {
    socket.send(bindingRequest(transport.iceParameters), port(transport), LOOPBACK);
  }
}

function passOn(from: Socket, to: Socket, transport: types.WebRtcTransport): void {
  // RFC 7983: a first byte below 4 is STUN, 20 to 63 DTLS, 128 to 191 SRTP or SRTCP.
  from.on('message', (packet) => {
    if ((packet[0] ?? 0) >= 20) to.send(packet, port(transport), LOOPBACK);
  });
}

async function openSocket(): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(0, LOOPBACK);
  await once(socket, 'listening');
  socket.unref();
  return socket;
}

function port(transport: types.WebRtcTransport): number {
  const candidate = transport.iceCandidates[0];
  if (candidate === undefined) return fail('a transport without ICE candidates');
  return candidate.port;
}

async function untilConnected(transport: types.WebRtcTransport): Promise<void> {
  for (;;) {
    if (transport.dtlsState === 'connected') return;
    if (transport.dtlsState === 'failed') fail('the DTLS handshake failed');
    await once(transport, 'dtlsstatechange');
  }
}

/** A STUN binding request with USE-CANDIDATE, MESSAGE-INTEGRITY and FINGERPRINT (RFC 8489, 8445). */
function bindingRequest({ usernameFragment, password }: types.IceParameters): Buffer {
  const transactionId = randomBytes(12);
  const attribute = (type: number, value: Buffer) => {
    const padded = Buffer.alloc(4 + Math.ceil(value.length / 4) * 4);
    padded.writeUInt16BE(type, 0);
    padded.writeUInt16BE(value.length, 2);
    value.copy(padded, 4);
    return padded;
  };
  /** The header counts `more` bytes that are still to come, as both checksums ask. */
  const message = (body: Buffer, more: number) => {
    const header = Buffer.alloc(20);
    header.writeUInt16BE(0x0001, 0);
    header.writeUInt16BE(body.length + more, 2);
    header.writeUInt32BE(0x2112_a442, 4);
    transactionId.copy(header, 8);
    return Buffer.concat([header, body]);
  };
  let body = Buffer.concat([
    attribute(0x0006, Buffer.from(`${usernameFragment}:verify`)), // USERNAME
    attribute(0x0024, Buffer.from([0x6e, 0, 0, 1])), // PRIORITY
    attribute(0x802a, randomBytes(8)), // ICE-CONTROLLING
    attribute(0x0025, Buffer.alloc(0)), // USE-CANDIDATE
  ]);
  const integrity = createHmac('sha1', password).update(message(body, 24)).digest();
  body = Buffer.concat([body, attribute(0x0008, integrity)]);
  const fingerprint = Buffer.alloc(4);
  fingerprint.writeUInt32BE((crc32(message(body, 8)) ^ 0x5354_554e) >>> 0);
  return message(Buffer.concat([body, attribute(0x8028, fingerprint)]), 0);
}

/** Packets made here -> the client's SRTP -> the server's -> back here, unchanged. */
async function checkMedia(
  router: types.Router,
  sender: types.WebRtcTransport,
  receiver: types.WebRtcTransport,
): Promise<void> {
  const direct = await router.createDirectTransport();
  const source = await direct.produce({
    kind: 'audio',
    rtpParameters: {
      codecs: [{ mimeType: 'audio/opus', payloadType: 100, clockRate: 48_000, channels: 2 }],
      encodings: [{ ssrc: PRODUCER_SSRC }],
    },
  });
  const { rtpCapabilities } = router;
  const sent = await sender.consume({ producerId: source.id, rtpCapabilities });
  const received = await receiver.produce({ kind: 'audio', rtpParameters: sent.rtpParameters });
  const sink = await direct.consume({ producerId: received.id, rtpCapabilities });

  const payloads = Array.from({ length: MEDIA_PACKETS }, (_, index) => randomBytes(20 + 50 * index));
  const missing = new Set(payloads.map((payload) => payload.toString('hex')));
  await new Promise<void>((resolve) => {
    sink.on('rtp', (packet) => {
      for (const payload of missing) if (packet.toString('hex').endsWith(payload)) missing.delete(payload);
      if (missing.size === 0) resolve();
    });
    payloads.forEach((payload, index) => source.send(rtpPacket(index, payload)));
  });
}

function rtpPacket(index: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt16BE(0x8064, 0); // Version 2, payload type 100.
  header.writeUInt16BE(index + 1, 2);
  header.writeUInt32BE(index * 960, 4);
  header.writeUInt32BE(PRODUCER_SSRC, 8);
  return Buffer.concat([header, payload]);
}

/** Each WebRtcTransport on a WebRtcServer draws 64 characters and nothing else. */
async function checkRandomStrings(): Promise<void> {
  const webRtcServer = await worker.createWebRtcServer({ listenInfos: [{ protocol: 'udp', ip: LOOPBACK }] });
  const router = await worker.createRouter();
  const drawn: types.IceParameters[] = [];
  while (drawn.length * 64 < CHARACTERS_NEEDED) {
    // The worker serves requests in order, so these draw in order too.
    const transports = await Promise.all(
      Array.from({ length: 16 }, () => router.createWebRtcTransport({ webRtcServer })),
    );
    for (const transport of transports) {
      drawn.push(transport.iceParameters);
      transport.close();
    }
  }
  // Which of the two is drawn first is the compiler's choice.
  const orders = [
    drawn.map(({ usernameFragment, password }) => usernameFragment + password),
    drawn.map(({ usernameFragment, password }) => password + usernameFragment),
  ];
  if (new Set(orders[0]).size !== drawn.length) fail('random strings repeat');
  if (orders.some((order) => drawnFromMersenneTwister(order.join('')))) {
    fail('its random strings, which are secrets, come from a Mersenne Twister');
  }
}
