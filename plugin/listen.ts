import { createSocket } from 'node:dgram';
import { createServer, isIPv6, type Server } from 'node:net';

/** The one line that a person needs when a port is taken. */
export function portTaken(port: number, setting: string, cause?: unknown): Error {
  return new Error(`port ${String(port)} is taken; set ${setting} to another one`, { cause });
}

/**
 * Listens, or says which port and setting is in the way.
 * @throws Error naming port and setting
 */
export function listen(server: Server, port: number, host: string, setting: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'EADDRINUSE' ? portTaken(port, setting, error) : error);
    });
    server.listen(port, host, resolve);
  });
}

/**
 * For ports that a host library opens itself, and whose loss it answers by ending the process.
 * @throws Error naming port and setting
 */
export async function requireFreePort(port: number, host: string, setting: string): Promise<void> {
  const probe = createServer();
  await listen(probe, port, host, setting);
  await new Promise((resolve) => probe.close(resolve));
}

/**
 * The same for UDP: what another program has bound, a worker could not, and would say so without a name.
 * @param ip the address that will be listened on
 * @throws Error naming port and setting
 */
export function requireFreeUdpPort(port: number, ip: string, setting: string): Promise<void> {
  const probe = createSocket(isIPv6(ip) ? 'udp6' : 'udp4');
  return new Promise((resolve, reject) => {
    probe.once('error', (error: NodeJS.ErrnoException) => {
      probe.close();
      reject(
        error.code === 'EADDRINUSE'
          ? new Error(`UDP ${portTaken(port, setting).message}`, { cause: error })
          : error,
      );
    });
    probe.bind(port, ip, () => probe.close(() => resolve()));
  });
}
