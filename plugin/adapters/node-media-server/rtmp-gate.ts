/**
 * In front of one RTMP connection. The host's own answers come too early and its events too late, so its callbacks
 * are held: until the gate has admitted a publisher, the host hears of no stream, and no packet gets anywhere.
 */
import type { Socket } from 'node:net';
import { asDenial, Denial, refusalOf } from '../../errors.ts';
import type { Log } from '../../ports.ts';
import { createRefusalDelay } from '../../refusal-delay.ts';
import type { HostConnectRequest, HostContext, HostPacket, HostSession } from './host.ts';
import { parsePublishRequest } from './publish-request.ts';
import type { Publishers, PublisherTap } from './publishers.ts';

const delayRefusal = createRefusalDelay();

/** The gate as this adapter sees it. */
export interface PublishGate {
  /**
   * Decides on a request to publish.
   * @throws Denial
   */
  authorizePublish(request: { uri: string; streamKey: string; peer: string }): Promise<void>;
}

export interface RtmpLimits {
  /** From connecting to publishing. */
  readonly admitWithinMs: number;
  /** A publisher that is silent this long has gone. */
  readonly idleMs: number;
}

export interface RtmpGateOptions {
  readonly context: HostContext;
  readonly gate: PublishGate;
  readonly publishers: Publishers;
  readonly limits: RtmpLimits;
  readonly log: Log;
  /** Called when the connection counts no longer as one that waits for admission. */
  readonly onSettled: () => void;
}

const RTMP_VERSION = 3;
const FLUSH_WITHIN_MS = 1000;
/** Handshake (3,073 bytes) and a few commands. */
const MAX_BYTES_BEFORE_ADMISSION = 64 * 1024;
/** What the host may hold of messages that are not whole: their length times the number of chunk streams. */
const MAX_COMMAND_BYTES = 16 * 1024;
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
const MAX_CHUNK_STREAMS = 16;
/** The host keeps all packets since the last keyframe, twice, up to 4,096 of them and of any size. */
const MAX_GROUP_BYTES = 32 * 1024 * 1024;
const MAX_UNREAD_ANSWER_BYTES = 256 * 1024;
const FLAG_KEYFRAME = 3;

/** Puts the gate in front of a connection that the host has just taken. */
export function guardRtmpConnection(socket: Socket, session: HostSession, options: RtmpGateOptions): void {
  const { context, gate, publishers, limits, log } = options;
  const { rtmp } = session;
  const hostPacket = rtmp.onPacketCallback;
  const hostConnect = rtmp.onConnectCallback;
  const hostPush = rtmp.onPushCallback;
  const hostAlloc = rtmp.packetAlloc.bind(rtmp);
  const hostRespondPublish = rtmp.respondPublish.bind(rtmp);
  const peer = socket.remoteAddress ?? '';
  let state: 'connecting' | 'deciding' | 'publishing' | 'ended' = 'connecting';
  let request: HostConnectRequest | undefined;
  let publishedPath: string | undefined;
  let receivedBytes = 0;
  let groupBytes = 0;
  let packetTimeMs = 0;
  const tapId = `usher-${session.id}`;
  const admitTimer = setTimeout(() => socket.destroy(), limits.admitWithinMs);

  /** Tells the peer why and goes on discarding what it sends, so that a reset does not overtake the answer. */
  function deny(denial: Denial): void {
    if (state === 'ended') return;
    state = 'ended';
    const row = refusalOf(denial.code);
    rtmp.sendStatusMessage(rtmp.streamId ?? 0, 'error', row.rtmp, `${denial.code}: ${row.title}`);
    socket.end();
    socket.resume();
    setTimeout(() => socket.destroy(), FLUSH_WITHIN_MS).unref();
  }

  function abort(reason: string): void {
    log.info({ peer, reason, published: publishedPath ?? null }, 'RTMP connection ended');
    state = 'ended';
    socket.destroy();
  }

  function onPacket(packet: HostPacket): void {
    if (packet.size > packet.data.length) throw new Error('message changed its length midway');
    groupBytes = packet.flags === FLAG_KEYFRAME ? packet.size : groupBytes + packet.size;
    if (groupBytes > MAX_GROUP_BYTES) {
      session.broadcast.flvGopCache?.clear();
      session.broadcast.rtmpGopCache?.clear();
      groupBytes = 0;
    }
    packetTimeMs = packet.dts;
    hostPacket(packet);
  }

  /**
   * Nothing that the host has cached is needed: the subscriber is there before the first packet of this publisher, who
   * waits for the answer and then sends his configuration first.
   */
  function subscribe(tap: PublisherTap): void {
    session.broadcast.subscribers.set(tapId, {
      id: tapId,
      ip: '',
      protocol: 'flv',
      sendBuffer: (tag) => tap.pushTag(tag, packetTimeMs),
      close: () => undefined,
    });
  }

  /** Hands an authorized publisher to the host. Synchronous: nobody can come between the check and the claim. */
  function admit(uri: string, publish: HostConnectRequest): void {
    if (context.broadcasts.get(uri)?.getPublishStatus() === 'publishing') throw new Denial('stream_busy');
    const tap = publishers.claim(uri);
    publishedPath = uri;
    hostConnect(publish);
    hostPush();
    if (session.streamPath !== uri || session.broadcast.publisher !== session) {
      throw new Error('node-media-server refused the publisher');
    }
    subscribe(tap);
    rtmp.onPacketCallback = onPacket;
    state = 'publishing';
    clearTimeout(admitTimer);
    options.onSettled();
    socket.setTimeout(limits.idleMs, () => abort('the publisher fell silent'));
    hostRespondPublish();
    log.info({ uri, peer }, 'publisher admitted');
    socket.resume();
  }

  function isDeciding(): boolean {
    return state === 'deciding';
  }

  async function decide(publish: HostConnectRequest): Promise<void> {
    state = 'deciding';
    socket.pause();
    try {
      const { uri, streamKey } = parsePublishRequest(publish);
      await gate.authorizePublish({ uri, streamKey, peer });
      if (isDeciding() && !socket.destroyed) admit(uri, publish);
    } catch (error) {
      const denial = asDenial(error);
      if (denial.code === 'internal') log.error({ error: String(error), peer }, 'publishing failed');
      else log.info({ code: denial.code, peer }, 'publishing refused');
      if (denial.code === 'stream_key_invalid') await delayRefusal();
      if (!socket.destroyed) deny(denial);
    }
  }

  /** One command per connection; a second one ends it. */
  function onCommand(run: (named: HostConnectRequest) => void): void {
    if (state !== 'connecting' || request === undefined) return abort('a second command');
    run(request);
  }

  function onData(chunk: Buffer): void {
    if (state === 'ended') return;
    if (receivedBytes === 0 && chunk[0] !== RTMP_VERSION) return abort('not RTMP');
    receivedBytes += chunk.length;
    if (state !== 'publishing' && receivedBytes > MAX_BYTES_BEFORE_ADMISSION) {
      return abort('too much before admission');
    }
    try {
      session.onData(chunk);
    } catch (error) {
      abort(error instanceof Error ? error.message : 'malformed');
    }
    if (socket.writableLength > MAX_UNREAD_ANSWER_BYTES) abort('the peer does not read');
  }

  function onClose(): void {
    clearTimeout(admitTimer);
    state = 'ended';
    if (publishedPath === undefined) {
      // The host has told nobody of this connection, so it must not tell of its end.
      context.sessions.delete(session.id);
    } else {
      session.broadcast.subscribers.delete(tapId);
      session.onClose();
      publishers.leave(publishedPath);
      publishedPath = undefined;
    }
    options.onSettled();
  }

  rtmp.onConnectCallback = (named) => (request = named);
  rtmp.onPushCallback = () => onCommand((named) => void decide(named));
  rtmp.onPlayCallback = () => onCommand(() => deny(new Denial('play_closed')));
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
