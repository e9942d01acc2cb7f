/** One viewer's media by RTSP, as the session sees it: what is sent, when some must be left out, and what is counted. */
import type { EndReason } from '../../contract.ts';
import type { Clock, Log, MediaCounters, StreamTap, TapListener, Viewing } from '../../ports.ts';
import type { DescribedLine } from '../../rtsp/description.ts';
import type { LineKind } from '../../rtsp/url.ts';
import { createSendingLine, type SendingLine } from './line.ts';
import type { LineOutlet, Link } from './outlets.ts';

export interface RtspViewing extends Viewing {
  /** Adds a line, or gives the one that there is another way; not while it plays. */
  setUp(line: DescribedLine, outlet: LineOutlet, link: Link): void;
  /** Of each line's next packet. */
  sequences(): { readonly kind: LineKind; readonly sequence: number }[];
  /** Lets media out. */
  play(): void;
  /** Holds media back; what passes meanwhile is not sent, and not counted. */
  pause(): void;
  isPlaying(): boolean;
  /** The viewer or the source has gone. */
  gone(reason: EndReason): void;
}

export interface RtspViewingOptions {
  readonly tap: StreamTap;
  readonly clock: Clock;
  readonly log: Log;
  /** Told once that it is over. */
  readonly onClosed: (reason: EndReason) => void;
  /** Milliseconds without taking anything after which a viewer is not there any more. Default 10,000. */
  readonly stalledAfterMs?: number;
}

interface Line {
  readonly kind: LineKind;
  readonly sending: SendingLine;
  link: Link;
  stop: (() => void) | undefined;
  ended: boolean;
}

/** Media that may wait in this process. */
const MAX_WAIT_MS = 1000;
const MAX_PENDING_BYTES = 4 * 1024 * 1024;
const STALLED_AFTER_MS = 10_000;

export function createRtspViewing(options: RtspViewingOptions): RtspViewing {
  const { tap, clock, log, onClosed, stalledAfterMs = STALLED_AFTER_MS } = options;
  const firstMedia = Promise.withResolvers<undefined>();
  const wentAway = Promise.withResolvers<EndReason>();
  const lines: Line[] = [];
  let state: 'ready' | 'playing' | 'closed' = 'ready';
  /** Too much waits: nothing is sent until all of it has left. */
  let isSkipping = false;
  /** While it is so: the least that has waited, and since when. */
  let least = { pendingBytes: 0, atMs: 0 };

  let sentBytes = 0;
  let carriedMs = 0;
  /** What the stream had carried when this viewer's media began, or went on, and when he was last sent any. */
  let [sinceMs, sentMs]: [number | undefined, number] = [undefined, 0];
  let last: MediaCounters = { mediaMs: 0, bytes: 0 };

  const runningMs = (): number => (sinceMs === undefined ? 0 : Math.max(0, sentMs - sinceMs));

  /** Counting stops where sending does. */
  function halt(): void {
    carriedMs += runningMs();
    sinceMs = undefined;
    for (const { sending } of lines) sending.interrupt();
  }

  function read(): MediaCounters {
    // Both lines of a viewer share one link.
    const pendingBytes = lines[0]?.link.pendingBytes() ?? 0;
    last = {
      mediaMs: Math.max(last.mediaMs, Math.round(carriedMs + runningMs())),
      bytes: Math.max(last.bytes, sentBytes - pendingBytes),
    };
    return last;
  }

  /** True while nothing may be sent to who reads too slowly. */
  function isHeldBack({ link }: Line): boolean {
    const [pendingBytes, nowMs] = [link.pendingBytes(), clock.monotonicMs()];
    if (!isSkipping) {
      if (pendingBytes <= MAX_PENDING_BYTES && link.waitedMs() <= MAX_WAIT_MS) return false;
      isSkipping = true;
      least = { pendingBytes, atMs: nowMs };
      halt();
      return true;
    }
    if (pendingBytes > 0) {
      // He reads, if slowly.
      if (pendingBytes < least.pendingBytes) least = { pendingBytes, atMs: nowMs };
      if (nowMs - least.atMs > stalledAfterMs) gone('viewer_stalled');
      return true;
    }
    isSkipping = false;
    tap.video?.requestKeyframe();
    return false;
  }

  function take(line: Line, packet: Buffer): void {
    if (state !== 'playing' || isHeldBack(line)) return;
    const bytes = line.sending.rtp(packet);
    if (bytes === 0) return;
    sentBytes += bytes;
    sentMs = tap.mediaMs();
    sinceMs ??= sentMs;
    firstMedia.resolve(undefined);
  }

  /** Pictures begin anew: what passes until the next keyframe is not counted, unless there is sound. */
  function onBroken(): void {
    halt();
    tap.video?.requestKeyframe();
  }

  /** The stage goes on with its other listeners, whatever happens here. */
  function guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      log.error({ error: String(error) }, 'a packet could not be sent to an RTSP viewer');
      gone('server_stopped');
    }
  }

  function listenerOf(line: Line): TapListener {
    return {
      rtp: (packet) => guarded(() => take(line, packet)),
      rtcp(packet) {
        if (state === 'playing' && !isSkipping) guarded(() => line.sending.rtcp(packet));
      },
      ended() {
        line.ended = true;
        if (lines.every(({ ended }) => ended)) gone('source_ended');
      },
    };
  }

  function stop(): void {
    halt();
    for (const line of lines) {
      line.stop?.();
      line.stop = undefined;
    }
  }

  function gone(reason: EndReason): void {
    wentAway.resolve(reason);
  }

  return {
    setUp(line, outlet, link) {
      const known = lines.find(({ kind }) => kind === line.kind);
      if (known !== undefined) {
        known.sending.reroute(outlet);
        known.link = link;
        return;
      }
      const sending = createSendingLine(line, outlet, onBroken);
      lines.push({ kind: line.kind, sending, link, stop: undefined, ended: false });
    },
    sequences: () => lines.map(({ kind, sending }) => ({ kind, sequence: sending.nextSequence() })),
    play() {
      if (state !== 'ready') return;
      state = 'playing';
      for (const line of lines) line.stop = tap[line.kind]?.listen(listenerOf(line));
    },
    pause() {
      if (state !== 'playing') return;
      state = 'ready';
      stop();
    },
    isPlaying: () => state === 'playing',
    gone,
    onFirstMedia: (listener) => void firstMedia.promise.then(listener),
    onGone: (listener) => void wentAway.promise.then(listener),
    counters: () => Promise.resolve(state === 'closed' ? last : read()),
    close(reason) {
      if (state === 'closed') return;
      stop();
      read();
      state = 'closed';
      for (const { sending } of lines) guarded(sending.bye);
      onClosed(reason);
    },
  };
}
