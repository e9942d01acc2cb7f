/** What HTTP and WebSocket have in common: who may play and who may publish FLV, and their sessions at the host. */
import type { Protocol } from '../../contract.ts';
import { Denial } from '../../errors.ts';
import type { Gate } from '../../gate.ts';
import { readCredentials } from '../../http/credentials.ts';
import type { Log } from '../../ports.ts';
import type { Admitted, BoxOffice } from './box-office.ts';
import { startFlvPublisher } from './flv-publisher.ts';
import type { FlvTarget } from './flv-request.ts';
import type { Host, HostSession } from './host.ts';
import { flvFormat } from './media-kind.ts';
import { isStreamKeyShape } from './rtmp-request.ts';
import type { Streams } from './streams.ts';
import type { Outlet } from './viewer.ts';

export interface FlvDeskOptions {
  readonly host: Host;
  readonly gate: Pick<Gate, 'authorizePublish'>;
  readonly boxOffice: BoxOffice;
  readonly streams: Streams;
  /** A publisher that is silent this long has gone. */
  readonly publisherIdleMs: number;
  readonly log: Log;
}

/** Who asks, as the listener sees it. */
export interface Client {
  readonly peer: string;
  readonly port: number;
  readonly confidential: boolean;
}

export interface PublishingClient {
  /** Takes what he sent; what is not FLV, or too large, or nothing for too long, ends the connection. */
  push(chunk: Buffer): void;
  /** He has gone. Idempotent. */
  leave(): void;
}

export interface FlvDesk {
  /**
   * @param baseUrl of the listener as viewers see it, for the proof
   * @throws Denial
   */
  admit(
    protocol: Extract<Protocol, 'http-flv' | 'ws-flv'>,
    target: FlvTarget,
    credentials: { readonly baseUrl: string; readonly headers: Request },
    client: Client,
  ): Promise<Admitted>;
  /** Lets media out, after `open` has answered the request. @throws Denial `stream_offline` */
  join(admitted: Admitted, target: FlvTarget, client: Client, outlet: Outlet, open: () => void): void;
  /**
   * Puts a publisher on the air.
   * @param cut ends his connection
   * @throws Denial
   */
  publish(target: FlvTarget, client: Client, cut: () => void): Promise<() => PublishingClient>;
}

export function createFlvDesk(options: FlvDeskOptions): FlvDesk {
  const { host, gate, boxOffice, streams, publisherIdleMs, log } = options;

  /** No query: the host shows it in its admin API and webhooks, and passes and stream keys are secrets. */
  function createSession(uri: string, { peer, port }: Client): HostSession {
    const [, app = '', name = ''] = uri.split('/');
    const ip = `${peer}:${String(port)}`;
    const session = {
      ip,
      protocol: 'flv',
      streamApp: app,
      streamName: name,
      streamPath: uri,
      streamQuery: {},
    };
    return Object.assign(host.createSession(), session);
  }

  function start(uri: string, client: Client, cut: () => void): PublishingClient {
    const session = createSession(uri, client);
    session.close = cut;
    const publisher = startFlvPublisher(host, streams, session);
    log.info({ uri, peer: client.peer }, 'publisher admitted');
    const idle = setTimeout(end, publisherIdleMs);
    function leave(): void {
      clearTimeout(idle);
      publisher.leave();
    }
    /** The stream becomes free even if his connection closed before anybody listened for that. */
    function end(): void {
      cut();
      leave();
    }
    return {
      push(chunk) {
        idle.refresh();
        try {
          publisher.push(chunk);
        } catch (error) {
          log.info({ uri, peer: client.peer, error: String(error) }, 'publisher cut off');
          end();
        }
      },
      leave,
    };
  }

  return {
    admit(protocol, { uri, pass, key }, { baseUrl, headers }, { peer, confidential }) {
      if (key !== undefined) throw new Denial('request_malformed', { detail: 'query' });
      const request = {
        protocol,
        uri,
        method: 'GET',
        url: `${baseUrl}${uri}.flv`,
        bodyHash: '',
        peer,
        confidential,
      };
      return boxOffice.admit(
        pass === undefined
          ? { ...request, ...readCredentials(headers) }
          : { ...request, pass, authorization: undefined, proof: undefined },
        flvFormat,
      );
    },
    join(admitted, { uri }, client, outlet, open) {
      const session = createSession(uri, client);
      admitted.join(outlet, session, (broadcast) => {
        open();
        host.context.sessions.set(session.id, session);
        void admitted.session.ended.then(() => {
          host.context.sessions.delete(session.id);
          broadcast.donePlay(session);
        });
        broadcast.postPlay(session);
      });
    },
    async publish({ uri, pass, key }, client, cut) {
      if (pass !== undefined) throw new Denial('request_malformed', { detail: 'query' });
      if (key === undefined || !isStreamKeyShape(key)) throw new Denial('stream_key_invalid');
      await gate.authorizePublish({ uri, streamKey: key, peer: client.peer });
      return () => start(uri, client, cut);
    },
  };
}
