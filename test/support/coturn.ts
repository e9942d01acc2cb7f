/** A real TURN server of our own on loopback: coturn, with credentials that end by themselves, as docs/deployment.md has it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const STARTS_WITHIN_MS = 10_000;

export interface Coturn {
  stop(): Promise<void>;
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/**
 * Starts it; UDP and TCP on the same port.
 * @param folder takes its files
 * @throws Error with what it wrote, where it does not start
 */
export async function startCoturn(port: number, secret: string, folder: string): Promise<Coturn> {
  const args = [
    ...['-n', '--listening-ip', '127.0.0.1', '--relay-ip', '127.0.0.1', '--listening-port', String(port)],
    ...['--use-auth-secret', '--static-auth-secret', secret, '--realm', 'turn.example', '--fingerprint'],
    // Here the media server is on loopback too, which coturn relays to nobody unless told.
    ...['--allow-loopback-peers', '--no-tls', '--no-dtls', '--no-cli', '--log-file', 'stdout'],
    ...['--userdb', join(folder, 'turn.sqlite'), '--pidfile', join(folder, 'turn.pid')],
  ];
  const child = spawn('turnserver', args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output = (output + chunk.toString()).slice(-20_000)));
  const exited = once(child, 'exit');
  const deadlineMs = Date.now() + STARTS_WITHIN_MS;
  while (!(await accepts(port))) {
    if (child.exitCode !== null || Date.now() > deadlineMs) {
      child.kill('SIGKILL');
      throw new Error(`coturn does not start: ${output}`);
    }
    await sleep(50);
  }
  return {
    async stop() {
      child.kill('SIGTERM');
      await exited;
    },
  };
}
