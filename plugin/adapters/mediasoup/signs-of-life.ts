/**
 * Whether a viewer is still there. ICE-lite sends no connectivity checks, so that there is no consent of RFC 7675
 * section 5.1 to wait for, and not everybody who plays goes on sending checks of his own (libnice does not). But who
 * gets RTP reports on it (RFC 3550 section 6.4.2): authenticated, and not to be replayed (RFC 3711 section 3.4).
 */
import type { Clock } from '../../ports.ts';

export interface SignsOfLifeOptions {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** Milliseconds without any sign after which a viewer has gone. */
  readonly silenceMs: number;
}

export interface SignsOfLife {
  /**
   * Counters have been read.
   * @param feedback what the viewer has reported, as a text; another one after each report
   * @param sentBytes of media, so far
   */
  note(feedback: string, sentBytes: number): void;
  /** Bytes of any kind that have come from the viewer's address, so far; to be read while he is silent. */
  noteArrivals(receivedBytes: number): void;
  /** True when the counters should be read. */
  isDue(): boolean;
  /** True when he had nothing new to report at the last reading. */
  isSilent(): boolean;
  /** True when the viewer has gone, as far as is known from what was read. */
  isGone(): boolean;
}

/** Whoever meters the viewing reads its counters every 5 s: then nothing is read for this. */
const LOOK_EVERY_MS = 6000;
const LOOK_AT_SILENT_EVERY_MS = 2500;
/**
 * Reports may be lost, and of sound alone there is only one in 5 s (RFC 3550 section 6.2). While anything else comes
 * from the viewer's address, he gets that much more time. It is not enough for ever: those bytes are not authenticated.
 */
const BENEFIT_OF_DOUBT = 2;

export function createSignsOfLife({ clock, silenceMs }: SignsOfLifeOptions): SignsOfLife {
  let readMs = clock.monotonicMs();
  let reportedMs = readMs;
  let arrivedMs = readMs;
  /** The last look, or the first reading that found him silent: whoever else reads his counters does not look. */
  let lookedMs = readMs;
  let hasReported = false;
  let last: { readonly feedback: string; readonly sentBytes: number } | undefined;
  let arrivals: number | undefined;
  const isSilent = (): boolean => reportedMs < readMs;

  return {
    note(feedback, sentBytes) {
      const wasSilent = isSilent();
      const passedMs = clock.monotonicMs() - readMs;
      readMs += passedMs;
      const before = last;
      last = { feedback, sentBytes };
      const reports = before !== undefined && feedback !== before.feedback;
      hasReported ||= reports;
      if (before === undefined || reports) {
        reportedMs = arrivedMs = readMs;
        arrivals = undefined;
      } else if (sentBytes === before.sentBytes) {
        // Nothing to report on, and nothing that could go to the wrong place: not counted, and nothing forgotten.
        reportedMs += passedMs;
        arrivedMs += passedMs;
      } else if (!wasSilent) {
        lookedMs = readMs;
      }
    },
    noteArrivals(receivedBytes) {
      lookedMs = readMs;
      if (arrivals !== undefined && receivedBytes !== arrivals) arrivedMs = readMs;
      arrivals = receivedBytes;
    },
    isDue() {
      if (last === undefined) return true; // What all else is compared with.
      const nowMs = clock.monotonicMs();
      return isSilent() ? nowMs - lookedMs >= LOOK_AT_SILENT_EVERY_MS : nowMs - readMs >= LOOK_EVERY_MS;
    },
    isSilent,
    isGone: () =>
      readMs - arrivedMs >= silenceMs || (hasReported && readMs - reportedMs >= silenceMs * BENEFIT_OF_DOUBT),
  };
}
