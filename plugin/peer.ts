import { isIP } from 'node:net';

/**
 * Address of the client behind `trustedProxies` reverse proxies: each appends the address that it saw to
 * X-Forwarded-For, so the last `trustedProxies` entries are theirs and everything before is the client's own word.
 */
export function peerAddress(
  socketAddress: string | undefined,
  forwardedFor: string | null | undefined,
  trustedProxies: number,
): string {
  const direct = plain(socketAddress ?? '');
  if (trustedProxies === 0 || !forwardedFor) return direct;
  const hops = forwardedFor.split(',').map((hop) => plain(hop.trim()));
  const client = hops.at(-trustedProxies);
  return client !== undefined && isIP(client) !== 0 ? client : direct;
}

/** An IPv4 address that came in over an IPv6 socket, in its own spelling. */
const plain = (address: string): string => address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '');

/** True for an address of this machine only. */
export function isLoopback(address: string): boolean {
  const own = plain(address);
  return own === '::1' || (isIP(own) === 4 && own.startsWith('127.'));
}
