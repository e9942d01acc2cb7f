/** Who is at the other end of a connection, and whether anybody between could listen. */
import type { IncomingMessage } from 'node:http';
import { BlockList, isIP, isIPv6 } from 'node:net';

/** An IPv4 address that came in over an IPv6 socket, in its own spelling. */
const plain = (address: string): string => address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '');

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

/**
 * What limits by address count as one: of an IPv6 address its first four groups, as who has one address of a /64 has all
 * of them; anything else as it is.
 */
export function network(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = '', tail = ''] = address.split('%')[0]?.split('::') ?? [];
  const left = head === '' ? [] : head.split(':');
  const right = tail === '' ? [] : tail.split(':');
  const groups = address.includes('::')
    ? [...left, ...Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => '0'), ...right]
    : left;
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':');
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** True for an address of this machine's loopback: 127.0.0.0/8 or ::1. */
export function isLoopback(address: string): boolean {
  const own = plain(address);
  const version = isIP(own);
  return version !== 0 && loopback.check(own, version === 4 ? 'ipv4' : 'ipv6');
}

export interface ConnectionFacts {
  /** True for a TLS socket. */
  readonly encrypted: boolean;
  /** `remoteAddress` of the socket. */
  readonly address: string | undefined;
  readonly forwardedFor?: string | null | undefined;
  readonly forwardedProto?: string | null | undefined;
  /** Reverse proxies in front; 0 where there can be none (RTMP has no header fields). */
  readonly trustedProxies: number;
}

/**
 * True when nobody between client and server can read along: a TLS socket, or a peer on this machine. Behind trusted
 * proxies the socket is theirs and says nothing of the client, so their X-Forwarded-Proto counts: the outermost proxy
 * must set it itself, whatever the client sent, and the others must leave or append. A request without both fields did
 * not come through a proxy.
 */
export function isConfidential(connection: ConnectionFacts): boolean {
  const { encrypted, address, forwardedFor, forwardedProto, trustedProxies } = connection;
  if (trustedProxies === 0 || (!forwardedFor && !forwardedProto)) {
    return encrypted || isLoopback(address ?? '');
  }
  const schemes = (forwardedProto ?? '').split(',').map((scheme) => scheme.trim().toLowerCase());
  return (schemes.at(-trustedProxies) ?? schemes[0]) === 'https';
}

/** The client of an HTTP request, as `AccessRequest` wants it. HTTP/1 and HTTP/2. */
export function clientOf(
  request: Pick<IncomingMessage, 'headers' | 'socket'>,
  trustedProxies: number,
): { peer: string; confidential: boolean } {
  const { socket, headers } = request;
  const [forwardedFor, forwardedProto] = [headers['x-forwarded-for'], headers['x-forwarded-proto']].map(
    (value) => (Array.isArray(value) ? value.join(',') : value),
  );
  const encrypted = 'encrypted' in socket && socket.encrypted === true;
  const address = socket.remoteAddress;
  return {
    peer: peerAddress(address, forwardedFor, trustedProxies),
    confidential: isConfidential({ encrypted, address, forwardedFor, forwardedProto, trustedProxies }),
  };
}
