/** The two hosts of the sessions bench, each with the servers and viewers of its own bench. */
import type { Encoder } from '../test/support/stack.ts';
import { ask, startChild, withChildren, type ServedSide } from './children.ts';
import type { Holder } from './flv-readers.ts';
import { PATH as FLV_PATH, type ServerReady as FlvReady } from './flv-server.ts';
import { publishTo } from './flv.ts';
import type { ProcessState } from './process-state.ts';
import type { ReadersCount } from './viewers-readers.ts';
import type { ServerReady as ViewersReady } from './viewers-server.ts';
import { encodeTo } from './viewers.ts';

/** A server with its viewers, each in a process of its own. */
export interface Side extends ServedSide {
  readonly ready: unknown;
}

export interface Host {
  readonly name: string;
  readonly server: string;
  readonly readers: string;
  /** Name of the server's mode with sessions; the other is `bare`. */
  readonly mode: string;
  /** Numbers of sessions: those of the larger come on top of those of the smaller. */
  readonly sizes: readonly [fewer: number, more: number];
  readonly renews: boolean;
  /** One encoder feeds all. */
  feed(sides: readonly Side[]): Encoder;
  /** Resolves when the server has let all of them in. */
  connect(side: Side, holders: readonly (Holder | null)[]): Promise<unknown>;
  /** Bytes that have come to all viewers together. */
  bytes(side: Side): Promise<number>;
}

const readyOf = <T>(sides: readonly Side[]): { ready: T }[] =>
  sides.map(({ ready }) => ({ ready: ready as T }));

export const HOSTS: readonly Host[] = [
  {
    name: 'mediasoup',
    server: './viewers-server.ts',
    readers: './viewers-readers.ts',
    mode: 'gated',
    sizes: [40, 120],
    renews: true,
    feed: (sides) => encodeTo(readyOf<ViewersReady>(sides)),
    connect({ readers, ready }, holders) {
      const { port } = ready as ViewersReady;
      return ask(readers, { ask: 'connect', port, holders });
    },
    bytes: async ({ readers }) => (await ask<ReadersCount>(readers, { ask: 'count' })).bytes,
  },
  {
    name: 'node-media-server, HTTP-FLV',
    server: './flv-server.ts',
    readers: './flv-readers.ts',
    mode: 'metered',
    sizes: [60, 200],
    renews: false, // A connection is for one pass: there is no request that could bring another ticket.
    feed: (sides) => publishTo(readyOf<FlvReady>(sides)),
    connect({ readers, ready }, holders) {
      const { http: port } = ready as FlvReady;
      return ask(readers, { ask: 'connect', port, path: FLV_PATH, holders });
    },
    bytes: ({ readers }) => ask<number>(readers, { ask: 'bytes' }),
  },
];

/** Viewers with tickets, or as many `null` where none are asked for. */
export const holdersOf = ({ child }: Side, count: number, renewals = 0): Promise<(Holder | null)[]> =>
  ask<(Holder | null)[]>(child, { ask: 'holders', count, renewals });

/** Collects garbage first. */
export const stateOf = ({ child }: Side): Promise<ProcessState> => ask<ProcessState>(child, { ask: 'state' });

export const cpuSecondsOf = async ({ child }: Side): Promise<number> =>
  (await ask<{ cpuSeconds: number }>(child, { ask: 'usage' })).cpuSeconds;

/** Starts a server and its viewers' process, for as long as `use` runs. */
export async function withSide<T>(host: Host, mode: string, use: (side: Side) => Promise<T>): Promise<T> {
  const started = {
    child: startChild(host.server, [mode], ['--expose-gc']),
    readers: startChild(host.readers),
  };
  return withChildren(started, async (side) => use({ ...side, ready: await ask(side.child) }));
}
