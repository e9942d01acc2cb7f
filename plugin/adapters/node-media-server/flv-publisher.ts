/** A publisher over HTTP or WebSocket: FLV in, parsed by the host's own parser under our limits. */
import { Denial } from '../../errors.ts';
import { isOnAir, type Host, type HostSession } from './host.ts';
import { createPacketGuard, MAX_MESSAGE_BYTES } from './packet-guard.ts';
import type { Streams } from './streams.ts';

export interface FlvPublisher {
  /** Takes what he sent. @throws Error when it is not FLV, or too large */
  push(chunk: Buffer): void;
  /** He has gone. Idempotent. */
  leave(): void;
}

const SIGNATURE = Buffer.from('FLV');

/**
 * Puts an authorized publisher on the air. Synchronous: nobody can come between the check and the claim.
 * @param session the host's view of the connection
 * @throws Denial `stream_busy`
 */
export function startFlvPublisher(host: Host, streams: Streams, session: HostSession): FlvPublisher {
  const { context } = host;
  const { streamPath: uri } = session;
  if (isOnAir(context.broadcasts.get(uri))) throw new Denial('stream_busy');
  const claim = streams.claim(uri);
  const broadcast = context.broadcasts.get(uri) ?? host.createBroadcast(uri);
  context.broadcasts.set(uri, broadcast);
  session.isPublisher = true;
  try {
    // Its event listeners are the operator's, and may throw.
    if (broadcast.postPublish(session) !== null) throw new Error('node-media-server refused the publisher');
  } catch (error) {
    claim.leave();
    throw error;
  }
  context.sessions.set(session.id, session);

  const parser = host.createFlvParser();
  const hostAlloc = parser.parserTagAlloc.bind(parser);
  parser.parserTagAlloc = (sizeBytes) => {
    if (sizeBytes > MAX_MESSAGE_BYTES) throw new Error('tag is too long');
    hostAlloc(sizeBytes);
  };
  const guard = createPacketGuard(broadcast);
  parser.onPacketCallback = guard.take;
  claim.listen(broadcast, guard.timeOf);
  let head = Buffer.alloc(0);
  let left = false;

  return {
    push(chunk) {
      // A WebSocket hands out what it still holds after its socket has closed; the stream may be another's by then.
      if (left) return;
      if (head.length < SIGNATURE.length) {
        head = Buffer.concat([head, chunk.subarray(0, SIGNATURE.length - head.length)]);
        if (!SIGNATURE.subarray(0, head.length).equals(head)) throw new Error('not FLV');
      }
      session.inBytes += chunk.length;
      if (context.networkStats !== undefined) context.networkStats.inBytes += chunk.length;
      const wrong = parser.parserData(chunk);
      if (wrong !== null) throw new Error(wrong);
    },
    leave() {
      if (left) return;
      left = true;
      broadcast.donePublish(session);
      context.sessions.delete(session.id);
      claim.leave();
    },
  };
}
