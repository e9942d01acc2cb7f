/** Where the packets of one viewer go: UDP ports, or between the messages of his connection. */
import type { Writable } from 'node:stream';
import type { Clock } from '../../ports.ts';

/** The packets of one line of one viewer. */
export interface LineOutlet {
  /** Bytes that a packet's buffer has in front for the outlet's own use. */
  readonly headroomBytes: number;
  /** Takes a buffer that nobody writes to afterwards; false when it is lost here, and so is not the viewer's to pay. */
  rtp(buffer: Buffer): boolean;
  rtcp(buffer: Buffer): void;
}

/** What all lines of a viewer share. */
export interface Link {
  /** Bytes that were taken and have not left this process. */
  pendingBytes(): number;
  /** Milliseconds that the oldest of them has been waiting. */
  waitedMs(): number;
}

/** UDP: what the system does not take at once is lost, as on the way. */
export const DATAGRAMS: Link = { pendingBytes: () => 0, waitedMs: () => 0 };

const INTERLEAVED_HEAD_BYTES = 4;

/** RTP and RTCP on two channels of a connection (RFC 2326 section 10.12). */
export function interleavedOutlet(
  write: (data: Buffer) => void,
  [rtpChannel, rtcpChannel]: readonly [number, number],
): LineOutlet {
  function send(channel: number, buffer: Buffer): void {
    buffer[0] = 0x24;
    buffer[1] = channel;
    buffer.writeUInt16BE(buffer.length - INTERLEAVED_HEAD_BYTES, 2);
    write(buffer);
  }
  return {
    headroomBytes: INTERLEAVED_HEAD_BYTES,
    rtp(buffer) {
      send(rtpChannel, buffer);
      return true;
    },
    rtcp: (buffer) => send(rtcpChannel, buffer),
  };
}

const MARK_EVERY_MS = 50;

export interface SocketLink extends Link {
  write(data: Buffer): void;
}

/** Measures how long what was written waits in the process, by marks of how much had been written when. */
export function createSocketLink(
  socket: Pick<Writable, 'write' | 'writableLength'>,
  clock: Pick<Clock, 'monotonicMs'>,
): SocketLink {
  let writtenBytes = 0;
  let marks: { readonly atMs: number; readonly writtenBytes: number }[] = [];
  return {
    write(data) {
      // Nothing waits: what the marks say is over, whether anybody asks or not.
      if (socket.writableLength === 0) marks = [];
      socket.write(data);
      writtenBytes += data.length;
      const atMs = clock.monotonicMs();
      const last = marks.at(-1);
      if (last === undefined || atMs - last.atMs >= MARK_EVERY_MS) marks.push({ atMs, writtenBytes });
    },
    pendingBytes: () => socket.writableLength,
    waitedMs() {
      const leftBytes = writtenBytes - socket.writableLength;
      const waiting = marks.findIndex((mark) => mark.writtenBytes > leftBytes);
      marks = waiting < 0 ? [] : marks.slice(waiting);
      const [oldest] = marks;
      return oldest === undefined ? 0 : clock.monotonicMs() - oldest.atMs;
    },
  };
}
