/** Where viewers' media arrives: one port for each worker over UDP and TCP, on one address or on several. */
import { isIPv6 } from 'node:net';
import type { types } from 'mediasoup';

export interface StageListen {
  /** IPv4 or IPv6 address. `0.0.0.0` and `::` are all of their own family, and need an `announcedAddress`. */
  readonly ip: string;
  /** What viewers are told when it differs from `ip` (NAT, containers): an address or a name. */
  readonly announcedAddress?: string;
  /** The first worker's; each further one takes the next. A list has one for each worker. 0: any that is free. */
  readonly port: number | readonly number[];
}

/**
 * The port of a worker.
 * @param worker 0 is the first
 * @throws TypeError when a list has none for it
 */
export function portOf({ port }: Pick<StageListen, 'port'>, worker: number): number {
  if (typeof port === 'number') return port === 0 ? 0 : port + worker;
  const own = port[worker];
  if (own === undefined) throw new TypeError(`there is no port for worker ${worker + 1}`);
  return own;
}

/**
 * A worker's listeners, as mediasoup is told of them. Of several addresses viewers prefer the first, and on each UDP to
 * TCP.
 */
export function listenInfos(
  listen: StageListen | readonly StageListen[],
  worker: number,
): types.TransportListenInfo[] {
  return [listen].flat().flatMap(({ ip, announcedAddress, port }) =>
    (['udp', 'tcp'] as const).map((protocol) => ({
      protocol,
      ip,
      port: portOf({ port }, worker),
      ...(announcedAddress === undefined ? {} : { announcedAddress }),
      // Else `::` would take the port of `0.0.0.0` too, and show IPv4 peers in IPv6 spelling.
      ...(isIPv6(ip) ? { flags: { ipv6Only: true } } : {}),
    })),
  );
}
