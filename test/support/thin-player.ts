/** `media-usher play` as a process, and a proxy that keeps what passes. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Purchase } from './shop.ts';

export interface Outcome {
  readonly code: number;
  /** On standard error. */
  readonly said: string;
  /** The summary, as JSON. */
  readonly told: string;
}

/** @param caFile the certificate that is trusted. @param more of the command's arguments */
export async function runPlay(
  { ticket, clientPart, proofKey, sealKey }: Purchase,
  url: string,
  caFile: string,
  ...more: readonly string[]
): Promise<Outcome> {
  const dir = await mkdtemp(join(tmpdir(), 'usher-tickets-'));
  const file = join(dir, 'tickets.json');
  const entry = { ticket, clientPart, proofKey: proofKey.privateJwk, sealKey: sealKey.privateJwk };
  await writeFile(file, JSON.stringify({ tickets: [entry] }));
  const words = ['admin/cli.ts', 'play', url, '--ticket', file, '--ca', caFile, '--json', ...more];
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, words, { timeout: 40_000 });
    return { code: 0, told: stdout, said: stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, told: stdout, said: stderr };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

export interface Tap {
  readonly port: number;
  /** What the server has sent. */
  readonly captured: readonly Buffer[];
  close(): void;
}

/** Listens before a server on this machine. */
export async function startTap(serverPort: number): Promise<Tap> {
  const captured: Buffer[] = [];
  function passOn(near: Socket): void {
    const far = connect(serverPort, '127.0.0.1');
    far.on('data', (chunk: Buffer) => captured.push(chunk));
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const)
      from.on('error', () => to.destroy()).pipe(to);
  }
  const proxy = createServer(passOn);
  await once(proxy.listen(0, '127.0.0.1'), 'listening');
  return { port: (proxy.address() as AddressInfo).port, captured, close: () => proxy.close() };
}
