/** ffmpeg for tests: its output as bytes. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

export async function runFfmpeg(args: readonly string[], input: Buffer = Buffer.alloc(0)): Promise<Buffer> {
  const child = spawn('ffmpeg', ['-hide_banner', '-loglevel', 'error', ...args]);
  const chunks: Buffer[] = [];
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`ffmpeg: ${stderr}`);
  return Buffer.concat(chunks);
}

/** Seconds at which a mono 32-bit float signal first leaves silence. */
export function onsetSeconds(pcm: Buffer, sampleRateHz: number, threshold = 0.1): number {
  for (let index = 0; index < pcm.length / 4; index++) {
    if (Math.abs(pcm.readFloatLE(index * 4)) > threshold) return index / sampleRateHz;
  }
  return Number.NaN;
}

/** An Ogg/Opus file of packets that follow each other, with no pre-skip: every decoded sample counts. */
export function oggOpus(packets: readonly Buffer[]): Buffer {
  const head = Buffer.from('4f707573486561640102000080bb0000000000', 'hex');
  const tags = Buffer.concat([Buffer.from('OpusTags'), Buffer.alloc(8)]);
  const all = [head, tags, ...packets];
  return Buffer.concat(
    all.map((packet, index) => {
      const lacing = [...Array<number>(Math.floor(packet.length / 255)).fill(255), packet.length % 255];
      const page = Buffer.alloc(27 + lacing.length);
      page.write('OggS', 0, 'latin1');
      page[5] = index === 0 ? 2 : index === all.length - 1 ? 4 : 0;
      page.writeBigInt64LE(BigInt(Math.max(0, index - 1) * 960), 6);
      page.writeUInt32LE(1, 14);
      page.writeUInt32LE(index, 18);
      page[26] = lacing.length;
      Buffer.from(lacing).copy(page, 27);
      const whole = Buffer.concat([page, packet]);
      whole.writeUInt32LE(crc(whole), 22);
      return whole;
    }),
  );
}

/** CRC of RFC 3533 section 6: polynomial 0x04c11db7, not reflected, starting at 0. */
function crc(bytes: Buffer): number {
  let register = 0;
  for (const byte of bytes) {
    register = (register ^ (byte << 24)) >>> 0;
    for (let bit = 0; bit < 8; bit++) {
      register =
        (register & 0x8000_0000) !== 0 ? ((register << 1) ^ 0x04c1_1db7) >>> 0 : (register << 1) >>> 0;
    }
  }
  return register;
}
