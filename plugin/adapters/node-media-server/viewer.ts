/**
 * One viewer of a live stream: which messages go out, when some must be left out, and what is counted. A viewer that
 * reads too slowly loses whole groups of pictures; neither memory nor the other viewers feel it.
 */
import type { EndReason } from '../../contract.ts';
import type { Clock, Viewing } from '../../ports.ts';
import type { MessageFormat, MediaKind } from './media-kind.ts';

/** Where the bytes of one viewer go. */
export interface Outlet {
  /** Takes bytes in any case; false: no more until the next `drain`. The memory is not written to afterwards. */
  write(data: Buffer): boolean;
  /** Bytes that were taken and have not left this process. */
  pendingBytes(): number;
  /** Tells the viewer why, where the protocol can, and cuts the connection: nothing leaves 500 ms later. */
  close(reason: EndReason): void;
}

export interface ViewerOptions {
  readonly format: MessageFormat;
  /** Milliseconds of media that the stream has carried so far. */
  readonly mediaMs: () => number;
  /** Milliseconds without taking anything after which a viewer is not there any more. Default 10,000. */
  readonly stalledAfterMs?: number | undefined;
  readonly clock: Clock;
}

export interface Viewer extends Viewing {
  /** Lets messages out. `prime` sends what is cached, which may be more than would be queued. */
  start(outlet: Outlet, prime: () => void): void;
  /** One message of the host. */
  send(message: Buffer): void;
  /** The outlet takes more. */
  drain(): void;
  /** It is over: the viewer has gone, or the source. */
  gone(reason: EndReason): void;
}

/** Media that may wait in this process, beyond what the socket has taken. */
const MAX_QUEUED_MS = 1000;
const MAX_QUEUED_BYTES = 8 * 1024 * 1024;
const MAX_PRIMER_BYTES = 16 * 1024 * 1024;
const STALLED_AFTER_MS = 10_000;

interface Waiting {
  readonly message: Buffer;
  /** What the stream had carried when it came. */
  readonly mediaMs: number;
}

const isHead = (kind: MediaKind): boolean => kind !== 'picture' && kind !== 'sound' && kind !== 'keyframe';

/** Makes a viewer that holds everything back until `start`. */
export function createViewer(options: ViewerOptions): Viewer {
  const { format, mediaMs, clock, stalledAfterMs = STALLED_AFTER_MS } = options;
  const firstMedia = Promise.withResolvers<undefined>();
  const wentAway = Promise.withResolvers<EndReason>();
  let outlet: Outlet | undefined;
  let closed = false;
  let priming = false;
  let primerBytes = 0;

  /** Until a keyframe comes; heads wait for it too. */
  let skipping = true;
  let hasMedia = false;
  let hasVideo = false;
  /** A keyframe has left: pictures that come before any are of no use, even where sound may go out. */
  let hasKeyframe = false;
  const heads = new Map<MediaKind, Buffer>();
  /** Messages that the outlet has no room for. */
  let queue: Waiting[] = [];
  let queuedBytes = 0;
  let blockedSinceMs: number | undefined;

  let sentBytes = 0;
  let startedMs: number | undefined;
  let skippedMs = 0;
  let skippingFromMs = 0;
  let last = { mediaMs: 0, bytes: 0 };

  /** Heads may carry any timestamp, such as that of the start. */
  const isMedia = (message: Buffer): boolean => !isHead(format.kindOf(message));

  const oldestMedia = (): Waiting | undefined => queue.find(({ message }) => isMedia(message));

  /** Media time up to which everything has left. */
  const leftUntilMs = (): number => oldestMedia()?.mediaMs ?? mediaMs();

  /** What has left so far; never less than was said before. */
  function read(): { mediaMs: number; bytes: number } {
    if (startedMs === undefined || outlet === undefined) return last;
    const untilMs = skipping ? skippingFromMs : leftUntilMs();
    last = {
      mediaMs: Math.max(last.mediaMs, Math.round(untilMs - startedMs - skippedMs)),
      bytes: Math.max(last.bytes, sentBytes - outlet.pendingBytes()),
    };
    return last;
  }

  function write(message: Buffer): void {
    sentBytes += message.length;
    if (outlet?.write(message) === false) blockedSinceMs ??= clock.monotonicMs();
  }

  /** Forgets what waits, and all that comes before the next keyframe. */
  function skip(): void {
    skippingFromMs = leftUntilMs();
    for (const { message } of queue) {
      const kind = format.kindOf(message);
      if (isHead(kind)) heads.set(kind, message);
    }
    queue = [];
    queuedBytes = 0;
    skipping = true;
  }

  const isBlocked = (): boolean => blockedSinceMs !== undefined;

  function isFull(message: Buffer): boolean {
    if (queue.length === 0) return false;
    if (queuedBytes + message.length > MAX_QUEUED_BYTES) return true;
    const oldest = oldestMedia();
    if (oldest === undefined || !isMedia(message)) return false;
    // Signed: tracks are interleaved, so a message may be a little older than the one before.
    const waitedMs = (format.timeOf(message) - format.timeOf(oldest.message)) | 0;
    return Math.abs(waitedMs) > MAX_QUEUED_MS;
  }

  function put(message: Buffer): void {
    if (!isBlocked() || priming) return write(message);
    queue.push({ message, mediaMs: mediaMs() });
    queuedBytes += message.length;
  }

  function resume(): void {
    skipping = false;
    if (startedMs === undefined) startedMs = mediaMs();
    else skippedMs += mediaMs() - skippingFromMs;
    for (const head of heads.values()) put(head);
    heads.clear();
  }

  function take(message: Buffer): void {
    const kind = format.kindOf(message);
    hasVideo ||= kind === 'video-head' || kind === 'keyframe';
    if (!skipping && isFull(message)) skip();
    if (skipping) {
      if (isHead(kind)) return void heads.set(kind, message);
      if (kind !== 'keyframe' && (hasVideo || kind !== 'sound')) return;
      resume();
    }
    if (kind === 'keyframe') hasKeyframe = true;
    else if (kind === 'picture' && !hasKeyframe) return;
    put(message);
    if (hasMedia || isHead(kind)) return;
    hasMedia = true;
    firstMedia.resolve(undefined);
  }

  function gone(reason: EndReason): void {
    wentAway.resolve(reason);
  }

  return {
    start(to, prime) {
      if (closed) return to.close('viewer_left');
      outlet = to;
      priming = true;
      prime();
      priming = false;
    },
    send(message) {
      if (closed || outlet === undefined) return;
      if (priming) {
        primerBytes += message.length;
        if (primerBytes > MAX_PRIMER_BYTES) {
          if (!skipping) skip();
          return;
        }
      } else if (blockedSinceMs !== undefined && clock.monotonicMs() - blockedSinceMs > stalledAfterMs) {
        return gone('viewer_stalled');
      }
      take(message);
    },
    drain() {
      blockedSinceMs = undefined;
      // A second of messages at most: what `shift` moves is little.
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        queuedBytes -= next.message.length;
        write(next.message);
        if (isBlocked()) return;
      }
    },
    gone,
    onFirstMedia: (listener) => void firstMedia.promise.then(listener),
    onGone: (listener) => void wentAway.promise.then(listener),
    counters: () => Promise.resolve(closed ? last : read()),
    close(reason) {
      if (closed) return;
      last = read();
      closed = true;
      queue = [];
      heads.clear();
      outlet?.close(reason);
    },
  };
}
