/** Admitting a viewer of whatever protocol, and joining him to the host's stream. */
import type { AccessRequest } from '../../contract.ts';
import { Denial } from '../../errors.ts';
import type { Gate } from '../../gate.ts';
import type { Clock } from '../../ports.ts';
import type { Session } from '../../session.ts';
import { isOnAir, type Host, type HostBroadcast, type HostSession } from './host.ts';
import type { MessageFormat } from './media-kind.ts';
import type { LiveStream, Streams } from './streams.ts';
import { createViewer, type Outlet, type Viewer } from './viewer.ts';

export interface Admitted {
  readonly viewer: Viewer;
  readonly session: Session;
  /**
   * Lets media out. `subscribe` hands `hostSession` to the broadcast, which sends what it has cached.
   * @throws Denial `stream_offline` when the stream has gone meanwhile; the access goes back
   */
  join(outlet: Outlet, hostSession: HostSession, subscribe: (broadcast: HostBroadcast) => void): void;
}

export interface BoxOffice {
  /** @throws Denial */
  admit(request: AccessRequest, format: MessageFormat): Promise<Admitted>;
}

export interface BoxOfficeOptions {
  readonly host: Pick<Host, 'context'>;
  readonly gate: Pick<Gate, 'admit'>;
  readonly streams: Streams;
  /** As `ViewerOptions` has it. */
  readonly stalledAfterMs: number | undefined;
  readonly clock: Clock;
}

/** Where tickets and passes are taken. */
export function createBoxOffice(options: BoxOfficeOptions): BoxOffice {
  const { gate, streams, stalledAfterMs, clock } = options;
  const { context } = options.host;

  function findLive(uri: string): { broadcast: HostBroadcast; stream: LiveStream } | undefined {
    const broadcast = context.broadcasts.get(uri);
    const stream = streams.find(uri);
    return isOnAir(broadcast) && stream !== undefined ? { broadcast, stream } : undefined;
  }

  /** The host's own figures, which its admin API shows. */
  function counted(outlet: Outlet, hostSession: HostSession): Outlet {
    const { networkStats } = context;
    return {
      ...outlet,
      write(data) {
        hostSession.outBytes += data.length;
        if (networkStats !== undefined) networkStats.outBytes += data.length;
        return outlet.write(data);
      },
    };
  }

  return {
    async admit(request, format) {
      const { uri } = request;
      let opened: LiveStream | undefined;
      const viewer = createViewer({ format, clock, stalledAfterMs, mediaMs: () => opened?.mediaMs() ?? 0 });
      const session = await gate.admit(request, {
        isLive: () => findLive(uri) !== undefined,
        open() {
          opened = findLive(uri)?.stream;
          return opened === undefined
            ? Promise.reject(new Denial('stream_offline'))
            : Promise.resolve(viewer);
        },
      });
      // The attempt has its session already, and that its connection; here a lost reply is a lost connection.
      if (session.viewing !== viewer) throw new Denial('proof_replayed', { detail: 'attempt' });
      return {
        viewer,
        session,
        join(outlet, hostSession, subscribe) {
          const live = session.isEnded() ? undefined : findLive(uri);
          // Another broadcast by now is another timeline: its media time starts anew.
          if (live === undefined || live.stream !== opened) {
            viewer.gone('source_ended');
            throw new Denial('stream_offline');
          }
          const { broadcast, stream } = live;
          hostSession.sendBuffer = viewer.send;
          hostSession.close = () => viewer.gone('kicked');
          stream.add(viewer);
          void session.ended.then(() => stream.remove(viewer));
          viewer.start(counted(outlet, hostSession), () => subscribe(broadcast));
        },
      };
    },
  };
}
