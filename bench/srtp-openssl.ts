/** The protection of a packet alone, beside what `openssl speed` says of its primitives. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { createSrtpSender, SRTP_SUITES, type SrtpSuiteName } from '../plugin/srtp/index.ts';
import type { Figure } from './harness.ts';
import { median } from './statistics.ts';

const run = promisify(execFile);
const PACKET_BYTES = 1112;
const PACKETS = 20_000;
const ROUNDS = 7;

/** What each suite does to a packet. */
const PRIMITIVES: Readonly<Record<SrtpSuiteName, readonly (readonly string[])[]>> = {
  AES_CM_128_HMAC_SHA1_80: [
    ['-evp', 'aes-128-ctr'],
    ['-hmac', 'sha1'],
  ],
  AEAD_AES_128_GCM: [['-evp', 'aes-128-gcm']],
};

/** Microseconds for a packet's bytes; only the work, in a loop that never leaves OpenSSL. */
async function opensslUs(primitive: readonly string[]): Promise<number> {
  const args = ['speed', '-mr', '-seconds', '1', '-bytes', String(PACKET_BYTES), ...primitive];
  const { stdout } = await run('openssl', args, { timeout: 20_000 });
  const bytesPerSecond = Number(/^\+F:.*:([0-9.]+)$/m.exec(stdout)?.[1]);
  return (PACKET_BYTES / bytesPerSecond) * 1e6;
}

function protectUs(suite: SrtpSuiteName): number {
  const { keyBytes, saltBytes } = SRTP_SUITES[suite];
  const sender = createSrtpSender({
    suite,
    master: { key: randomBytes(keyBytes), salt: randomBytes(saltBytes) },
  });
  const packet = Buffer.from(randomBytes(PACKET_BYTES).buffer);
  packet.writeUInt16BE(0x8060, 0);
  const into = Buffer.alloc(PACKET_BYTES + sender.overheadBytes);
  const { user, system } = process.cpuUsage();
  for (let count = 0; count < PACKETS; count++) {
    packet.writeUInt16BE(count & 0xffff, 2);
    packet.writeUInt32BE(SSRC, 8);
    sender.protectRtp(packet, into);
  }
  const used = process.cpuUsage();
  return (used.user - user + used.system - system) / PACKETS;
}

const SSRC = 0x1111;

export async function protectionFigure(suite: SrtpSuiteName): Promise<Figure> {
  const primitives = await Promise.all(PRIMITIVES[suite].map(opensslUs));
  const ours = Array.from({ length: ROUNDS }, () => protectUs(suite));
  return {
    name: `${suite}, protection alone, beside openssl speed`,
    unit: 'us per packet',
    value: median(ours),
    beside: primitives.reduce((sum, us) => sum + us, 0),
    ratio: median(ours) / primitives.reduce((sum, us) => sum + us, 0),
  };
}
