/**
 * A WebRTC receiver without a browser, as light as can be: it answers for its ICE credentials and its certificate, and
 * then counts the packets that come, and reports on them. It decrypts nothing, so that there can be hundreds of it.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { crc32 } from 'node:zlib';
import { DtlsClient, RTCDtlsTransport, type Transport } from 'werift';
import { createSrtpSender, type SrtpSender } from '../../plugin/srtp/index.ts';

/** What the other end has said of itself. */
export interface RemoteEnd {
  readonly host: string;
  readonly port: number;
  readonly ufrag: string;
  readonly pwd: string;
}

export interface WebRtcReceiver {
  readonly ufrag: string;
  readonly pwd: string;
  /** SHA-256, capital hex with colons. */
  readonly fingerprint: string;
  /** Of one video (H.264, constrained baseline) and one audio track (Opus). */
  readonly offer: string;
  /** Resolves when DTLS is up. */
  connect(remote: RemoteEnd): Promise<void>;
  /** Bytes of RTP and RTCP so far, encrypted as they came. */
  bytes(): number;
  packets(): number;
  /** RTP sequence numbers that were left out so far, in all streams together. */
  missing(): number;
  /** When the first and the last packet of media came, on the clock of `performance.now`; 0 before there is any. */
  firstMediaMs(): number;
  lastMediaMs(): number;
  close(): void;
}

export interface WebRtcReceiverOptions {
  /** Milliseconds between consent checks (RFC 7675: 4 to 6 s); `null`: none after the first. */
  readonly consentMs?: number | null;
}

/** SRTP_AES128_CM_HMAC_SHA1_80 (RFC 5764 section 4.1.2). */
const SRTP_PROFILE = 0x0001;
const MAGIC_COOKIE = 0x2112a442;
const BINDING_REQUEST = 0x0001;
const FINGERPRINT_XOR = 0x5354554e;
const CONSENT_MS = 5000;
const CONNECT_WITHIN_MS = 15_000;
const REPORT_MS = 1000;
const REPORT_BLOCK_BYTES = 24;

function attribute(type: number, value: Buffer): Buffer {
  const padded = Buffer.alloc(4 + Math.ceil(value.length / 4) * 4);
  padded.writeUInt16BE(type, 0);
  padded.writeUInt16BE(value.length, 2);
  value.copy(padded, 4);
  return padded;
}

/** A connectivity check of the controlling end (RFC 8445 section 7.1, RFC 8489 sections 5, 14.5, 14.7). */
function bindingRequest(username: string, password: string): Buffer {
  const header = Buffer.alloc(20);
  header.writeUInt16BE(BINDING_REQUEST, 0);
  header.writeUInt32BE(MAGIC_COOKIE, 4);
  randomBytes(12).copy(header, 8);
  const priority = Buffer.alloc(4);
  priority.writeUInt32BE(0x6e7f1eff);
  const attributes = [
    attribute(0x0006, Buffer.from(username)),
    attribute(0x0024, priority),
    attribute(0x802a, randomBytes(8)), // ICE-CONTROLLING
    attribute(0x0025, Buffer.alloc(0)), // USE-CANDIDATE
  ];
  const push = (type: number, length: number, value: (message: Buffer) => Buffer): void => {
    const sofar = attributes.reduce((sum, { length: bytes }) => sum + bytes, 0);
    header.writeUInt16BE(sofar + 4 + length, 2);
    attributes.push(attribute(type, value(Buffer.concat([header, ...attributes]))));
  };
  push(0x0008, 20, (message) => createHmac('sha1', password).update(message).digest());
  push(0x8028, 4, (message) => {
    const sum = Buffer.alloc(4);
    sum.writeUInt32BE((crc32(message) ^ FINGERPRINT_XOR) >>> 0);
    return sum;
  });
  return Buffer.concat([header, ...attributes]);
}

/** A receiver report (RFC 3550 section 6.4.2) that has nothing to complain of. Jitter is in units of the timestamp. */
function receiverReport(highest: ReadonlyMap<number, number>, jitter: number): Buffer {
  const report = Buffer.alloc(8 + highest.size * REPORT_BLOCK_BYTES);
  report.writeUInt8(0x80 | highest.size, 0);
  report.writeUInt8(201, 1);
  report.writeUInt16BE(report.length / 4 - 1, 2);
  report.writeUInt32BE(1, 4);
  let at = 8;
  for (const [ssrc, sequence] of highest) {
    report.writeUInt32BE(ssrc, at);
    report.writeUInt32BE(sequence, at + 8);
    report.writeUInt32BE(jitter, at + 12);
    at += REPORT_BLOCK_BYTES;
  }
  return report;
}

function offerOf(ufrag: string, pwd: string, fingerprint: string): string {
  const section = (media: string, mid: string, lines: string[]): string[] => [
    `m=${media}`,
    'c=IN IP4 0.0.0.0',
    'a=recvonly',
    `a=mid:${mid}`,
    'a=rtcp-mux',
    `a=ice-ufrag:${ufrag}`,
    `a=ice-pwd:${pwd}`,
    `a=fingerprint:sha-256 ${fingerprint}`,
    'a=setup:actpass',
    ...lines,
  ];
  return [
    'v=0',
    'o=- 1 1 IN IP4 127.0.0.1',
    's=-',
    't=0 0',
    'a=group:BUNDLE 0 1',
    ...section('video 9 UDP/TLS/RTP/SAVPF 102', '0', [
      'a=rtpmap:102 H264/90000',
      'a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f',
      'a=rtcp-fb:102 nack',
      'a=rtcp-fb:102 nack pli',
    ]),
    ...section('audio 9 UDP/TLS/RTP/SAVPF 111', '1', ['a=rtpmap:111 opus/48000/2']),
    '',
  ].join('\r\n');
}

/** The other end, as its answer has it. */
export function remoteEndOf(answer: string): RemoteEnd {
  const first = (pattern: RegExp): string[] => {
    const found = pattern.exec(answer);
    if (found === null) throw new Error(`the answer has no ${String(pattern)}`);
    return found.slice(1);
  };
  const [host = '', port = ''] = first(/^a=candidate:\S+ 1 udp \d+ (\S+) (\d+) /m);
  const [ufrag = ''] = first(/^a=ice-ufrag:(\S+)/m);
  const [pwd = ''] = first(/^a=ice-pwd:(\S+)/m);
  return { host, port: Number(port), ufrag, pwd };
}

/** Opens a receiver on a port of its own. All of a process have one certificate. */
export async function openWebRtcReceiver({
  consentMs = CONSENT_MS,
}: WebRtcReceiverOptions = {}): Promise<WebRtcReceiver> {
  const certificate = await RTCDtlsTransport.SetupCertificate();
  const [print] = certificate.getFingerprints();
  const fingerprint = print?.value.toUpperCase() ?? '';
  const ufrag = randomBytes(4).toString('hex');
  const pwd = randomBytes(16).toString('hex');
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  let [bytes, packets, reports, missing] = [0, 0, 0, 0];
  let [firstMediaMs, lastMediaMs] = [0, 0];
  let closed = false;
  const timers: NodeJS.Timeout[] = [];
  /** Sequence number of the latest packet, by SSRC. */
  const latest = new Map<number, number>();
  const checked = Promise.withResolvers<undefined>();

  const transport: Transport = {
    type: 'udp',
    address: socket.address(),
    closed: false,
    onData: () => undefined,
    send(data) {
      if (!closed) socket.send(data); // DTLS sends again what was not answered, whether or not anybody waits for it.
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  };
  function note(ssrc: number, sequence: number): void {
    lastMediaMs = performance.now();
    if (firstMediaMs === 0) firstMediaMs = lastMediaMs;
    // On loopback packets come in order; what is sent again later does not count.
    const ahead = ((sequence - (latest.get(ssrc) ?? sequence - 1)) << 16) >> 16;
    if (ahead <= 0) return;
    missing += ahead - 1;
    latest.set(ssrc, sequence);
  }

  // What a packet is can be told by its first byte (RFC 7983 section 7).
  socket.on('message', (data: Buffer) => {
    const kind = data[0] ?? 0;
    if (kind >= 128) {
      bytes += data.length;
      packets += 1;
      // RFC 5761 section 4: RTCP's packet types.
      const isRtcp = (data[1] ?? 0) >= 192 && (data[1] ?? 0) <= 223;
      if (!isRtcp && data.length >= 12) note(data.readUInt32BE(8), data.readUInt16BE(2));
    } else if (kind >= 20 && kind <= 63) {
      transport.onData(data, ['', 0]);
    } else if (kind <= 3) {
      checked.resolve(undefined);
    }
  });
  socket.on('error', () => undefined); // A server that has gone is seen by what does not come.

  function report(srtp: SrtpSender): void {
    if (latest.size === 0) return;
    reports += 1;
    // As on a network, no two reports are alike: one that says nothing new is no sign of life.
    const clear = receiverReport(latest, reports);
    const sealed = Buffer.alloc(clear.length + srtp.overheadBytes);
    socket.send(sealed.subarray(0, srtp.protectRtcp(clear, sealed)));
  }

  return {
    ufrag,
    pwd,
    fingerprint,
    offer: offerOf(ufrag, pwd, fingerprint),
    bytes: () => bytes,
    packets: () => packets,
    missing: () => missing,
    firstMediaMs: () => firstMediaMs,
    lastMediaMs: () => lastMediaMs,
    async connect(remote) {
      socket.connect(remote.port, remote.host);
      await once(socket, 'connect');
      const check = (): void => socket.send(bindingRequest(`${remote.ufrag}:${ufrag}`, remote.pwd));
      const late = once(AbortSignal.timeout(CONNECT_WITHIN_MS), 'abort').then(() => {
        throw new Error('no connection');
      });
      late.catch(() => undefined);
      check();
      await Promise.race([checked.promise, late]);
      if (closed) throw new Error('closed');
      if (consentMs !== null) timers.push(setInterval(check, consentMs));
      const client = new DtlsClient({
        transport,
        srtpProfiles: [SRTP_PROFILE],
        cert: certificate.certPem,
        key: certificate.privateKey,
        signatureHash: certificate.signatureHash,
        extendedMasterSecret: true,
      });
      const connected = Promise.withResolvers<undefined>();
      client.onConnect.subscribe(() => connected.resolve(undefined));
      client.onError.subscribe((error) => connected.reject(error));
      await client.connect();
      await Promise.race([connected.promise, late]);
      if (closed) throw new Error('closed');
      const { localKey: key, localSalt: salt } = client.extractSessionKeys(16, 14);
      const srtp = createSrtpSender({ suite: 'AES_CM_128_HMAC_SHA1_80', master: { key, salt } });
      timers.push(setInterval(() => report(srtp), REPORT_MS));
    },
    close() {
      if (closed) return;
      closed = true;
      for (const timer of timers) clearInterval(timer);
      socket.close();
    },
  };
}
