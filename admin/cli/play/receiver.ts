/** A line's packets as they come: opened, put in order, counted. */
import { createReorderBuffer, saysBye } from '../../../plugin/rtp/index.ts';
import { createSrtpReceiver, type SrtpRejection } from '../../../plugin/srtp/index.ts';
import type { MikeySession } from '../../../plugin/srtp/mikey/index.ts';
import type { PlayedLine } from './dialogue.ts';

export interface Counts {
  packets: number;
  /** Of RTP with its headers, opened: what receipts count. */
  bytes: number;
  /** That did not come in time. */
  lost: number;
  /** That could not be opened, by why; replays are what a network does as well. */
  refused: Partial<Record<SrtpRejection, number>>;
}

export interface LineReceiver {
  readonly line: PlayedLine;
  readonly counts: Counts;
  rtp(packet: Buffer): void;
  rtcp(packet: Buffer): void;
}

export interface LineSink {
  rtp(line: PlayedLine, packet: Buffer): void;
  rtcp(line: PlayedLine, packet: Buffer): void;
  /** The sender says that it was all. */
  bye(): void;
}

export function createLineReceiver(line: PlayedLine, keys: MikeySession, sink: LineSink): LineReceiver {
  const srtp = createSrtpReceiver(keys);
  const order = createReorderBuffer();
  const counts: Counts = { packets: 0, bytes: 0, lost: 0, refused: {} };
  const refuse = (why: SrtpRejection): void => void (counts.refused[why] = (counts.refused[why] ?? 0) + 1);
  return {
    line,
    counts,
    rtp(packet) {
      const opened = srtp.unprotectRtp(packet);
      if (typeof opened === 'string') return refuse(opened);
      if ((opened.readUInt8(1) & 0x7f) !== line.payloadType) return;
      counts.packets += 1;
      counts.bytes += opened.length;
      for (const next of order.push(opened, performance.now())) sink.rtp(line, next);
      counts.lost = order.lost();
    },
    rtcp(packet) {
      const opened = srtp.unprotectRtcp(packet);
      if (typeof opened === 'string') return refuse(opened);
      sink.rtcp(line, opened);
      if (saysBye(opened)) sink.bye();
    },
  };
}
