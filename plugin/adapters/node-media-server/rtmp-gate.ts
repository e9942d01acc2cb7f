/**
 * In front of one RTMP connection. The host's own answers come too early and its events too late, so its callbacks
 * are held: until the gate has admitted somebody, the host hears of no stream, and no packet gets anywhere.
 */
import type { Socket } from 'node:net';
import { asDenial, Denial, refusalOf, rtmpStatus } from '../../errors.ts';
import type { Gate } from '../../gate.ts';
import { isConfidential, peerAddress } from '../../peer.ts';
import type { Log } from '../../ports.ts';
import type { BoxOffice } from './box-office.ts';
import { isOnAir, type HostConnectRequest, type HostContext, type HostRtmpSession } from './host.ts';
import { rtmpFormat } from './media-kind.ts';
import { rtmpOutlet, type Reset } from './outlets.ts';
import { createPacketGuard, MAX_MESSAGE_BYTES } from './packet-guard.ts';
import { parsePlayRequest, parsePublishRequest } from './rtmp-request.ts';
import type { Claim, Streams } from './streams.ts';
import type { Viewer } from './viewer.ts';

export interface RtmpGateOptions {
  readonly context: HostContext;
  readonly gate: Pick<Gate, 'authorizePublish'>;
  readonly boxOffice: BoxOffice;
  readonly streams: Streams;
  /** A publisher that is silent this long has gone. */
  readonly idleMs: number;
  readonly log: Log;
  readonly reset: Reset;
  /** Called when the connection counts no longer as one that waits for admission. */
  readonly onSettled: () => void;
}

type Command = 'play' | 'publish';

const RTMP_VERSION = 3;
const FLUSH_WITHIN_MS = 1000;
/** Handshake (3,073 bytes) and a few commands. */
const MAX_BYTES_BEFORE_ADMISSION = 64 * 1024;
/** What the host may hold of messages that are not whole: their length times the number of chunk streams. */
const MAX_COMMAND_BYTES = 16 * 1024;
const MAX_CHUNK_STREAMS = 16;
const MAX_UNREAD_ANSWER_BYTES = 256 * 1024;
const KEEP_ALIVE_MS = 15_000;

/** Puts the gate in front of a connection that the host has just taken. */
export function guardRtmpConnection(
  socket: Socket,
  session: HostRtmpSession,
  options: RtmpGateOptions,
): void {
  const { context, gate, boxOffice, streams, idleMs, log, reset } = options;
  const { rtmp } = session;
  const hostConnect = rtmp.onConnectCallback;
  const hostPush = rtmp.onPushCallback;
  const hostPlay = rtmp.onPlayCallback;
  const hostAlloc = rtmp.packetAlloc.bind(rtmp);
  const hostRespondPublish = rtmp.respondPublish.bind(rtmp);
  const hostRespondPlay = rtmp.respondPlay.bind(rtmp);
  const peer = peerAddress(socket.remoteAddress, null, 0);
  let state: 'connecting' | 'deciding' | 'publishing' | 'playing' | 'ended' = 'connecting';
  let request: HostConnectRequest | undefined;
  let claim: Claim | undefined;
  let viewer: Viewer | undefined;
  let receivedBytes = 0;

  /** The host has heard of this connection, and must hear of its end. */
  let isKnownToHost = false;

  /** Tells the peer why and goes on discarding what it sends, so that a reset does not overtake the answer. */
  function deny(command: Command, denial: Denial): void {
    if (state === 'ended') return;
    state = 'ended';
    const text = `${denial.code}: ${refusalOf(denial.code).title}`;
    rtmp.sendStatusMessage(rtmp.streamId ?? 0, 'error', rtmpStatus(denial.code, command), text);
    socket.end();
    socket.resume();
    const timer = setTimeout(() => socket.destroy(), FLUSH_WITHIN_MS).unref();
    // The host's session has a buffer of 1 MiB: it is not to be held for a second longer than its connection.
    socket.once('close', () => clearTimeout(timer));
  }

  function abort(reason: string): void {
    log.info({ peer, reason, state }, 'RTMP connection ended');
    state = 'ended';
    socket.destroy();
  }

  function settle(next: 'publishing' | 'playing'): void {
    state = next;
    options.onSettled();
    socket.resume();
  }

  /** The host keeps the query and shows it in its admin API and webhooks: no pass and no stream key in it. */
  function connectHost({ app, name, host }: HostConnectRequest): void {
    hostConnect({ app, name, host, query: {} });
    isKnownToHost = true;
  }

  /** Hands an authorized publisher to the host. Synchronous: nobody can come between the check and the claim. */
  function publish(uri: string, named: HostConnectRequest): void {
    if (isOnAir(context.broadcasts.get(uri))) throw new Denial('stream_busy');
    claim = streams.claim(uri);
    connectHost(named);
    hostPush();
    if (session.streamPath !== uri || session.broadcast.publisher !== session) {
      throw new Error('node-media-server refused the publisher');
    }
    const guard = createPacketGuard(session.broadcast);
    claim.listen(session.broadcast, guard.timeOf);
    rtmp.onPacketCallback = guard.take;
    socket.setTimeout(idleMs, () => abort('the publisher fell silent'));
    hostRespondPublish();
    settle('publishing');
    log.info({ uri, peer }, 'publisher admitted');
  }

  /** False once the peer has gone or was told no. */
  function isDeciding(): boolean {
    return state === 'deciding' && !socket.destroyed;
  }

  async function decidePublish(named: HostConnectRequest): Promise<void> {
    const { uri, streamKey } = parsePublishRequest(named);
    await gate.authorizePublish({ uri, streamKey, peer });
    if (isDeciding()) publish(uri, named);
  }

  async function decidePlay(named: HostConnectRequest): Promise<void> {
    const { uri, pass } = parsePlayRequest(named);
    const encrypted = 'encrypted' in socket && socket.encrypted === true;
    const confidential = isConfidential({ encrypted, address: peer, trustedProxies: 0 });
    const admitted = await boxOffice.admit(
      {
        protocol: 'rtmp',
        uri,
        pass,
        authorization: undefined,
        proof: undefined,
        method: 'play',
        url: '',
        bodyHash: '',
        peer,
        confidential,
      },
      rtmpFormat,
    );
    ({ viewer } = admitted);
    if (!isDeciding()) return viewer.gone('viewer_left');
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on('drain', viewer.drain).on('drain', () => socket.resume());
    const outlet = rtmpOutlet(socket, reset, (level, code, text) =>
      rtmp.sendStatusMessage(rtmp.streamId ?? 0, level, code, text),
    );
    admitted.join(outlet, session, () => {
      hostRespondPlay();
      connectHost(named);
      hostPlay();
    });
    settle('playing');
  }

  async function decide(command: Command, run: (named: HostConnectRequest) => Promise<void>): Promise<void> {
    // One command per connection; a second one ends it.
    if (state !== 'connecting' || request === undefined) return abort('a second command');
    state = 'deciding';
    socket.pause();
    try {
      await run(request);
    } catch (error) {
      const denial = asDenial(error);
      if (denial.code === 'internal') log.error({ error: String(error), peer }, 'an RTMP command failed');
      else log.info({ code: denial.code, peer, command }, 'RTMP command refused');
      if (!socket.destroyed) deny(command, denial);
    }
  }

  function onData(chunk: Buffer): void {
    if (state === 'ended') return;
    if (receivedBytes === 0 && chunk[0] !== RTMP_VERSION) return abort('not RTMP');
    receivedBytes += chunk.length;
    const isAdmitted = state === 'publishing' || state === 'playing';
    if (!isAdmitted && receivedBytes > MAX_BYTES_BEFORE_ADMISSION) return abort('too much before admission');
    try {
      session.onData(chunk);
    } catch (error) {
      abort(error instanceof Error ? error.message : 'malformed');
    }
    if (state === 'playing') {
      // Who reads nothing is not listened to either: each command has an answer.
      if (socket.writableNeedDrain) socket.pause();
    } else if (socket.writableLength > MAX_UNREAD_ANSWER_BYTES) {
      abort('the peer does not read');
    }
  }

  function onClose(): void {
    state = 'ended';
    viewer?.gone('viewer_left');
    // Whom the host was never told of, it must not tell the end of.
    if (isKnownToHost) session.onClose();
    context.sessions.delete(session.id);
    claim?.leave();
    options.onSettled();
  }

  rtmp.onConnectCallback = (named) => {
    request = named;
    rtmp.streamQuery = {};
  };
  rtmp.onPushCallback = () => void decide('publish', decidePublish);
  rtmp.onPlayCallback = () => void decide('play', decidePlay);
  rtmp.onPacketCallback = () => undefined;
  rtmp.respondPublish = () => undefined;
  rtmp.respondPlay = () => undefined;
  rtmp.packetAlloc = () => {
    const limit = state === 'publishing' ? MAX_MESSAGE_BYTES : MAX_COMMAND_BYTES;
    if (rtmp.parserPacket.header.length > limit) throw new Error('message is too long');
    if (rtmp.inPackets.size > MAX_CHUNK_STREAMS) throw new Error('too many chunk streams');
    hostAlloc();
  };
  socket.off('data', session.onData).off('close', session.onClose);
  socket.on('data', onData).on('close', onClose);
}
