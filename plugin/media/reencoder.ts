/** Video that WebRTC viewers cannot be shown, made anew by one ffmpeg child that runs while somebody watches. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import type { ReencoderStatus } from '../contract.ts';
import type { Clock, Log } from '../ports.ts';
import { matroskaHeader, matroskaPicture, type MatroskaTrack } from '../rtp/index.ts';
import type { GopCache, SourcePicture } from './gop.ts';
import { trackPicture } from './source-formats.ts';
import { createStartLimit } from './start-limit.ts';
import {
  ffmpegArguments,
  FORMATS,
  KEYFRAME_INTERVAL_MS,
  type ReencodedCodec,
  type ReencodedPicture,
} from './reencoder-formats.ts';
import { createPace } from './reencoder-pace.ts';
import { encodingBits, isOutgrown } from './reencoder-rate.ts';

export interface ReencoderOptions {
  /** Stream path, for the log. */
  readonly path: string;
  readonly codec: ReencodedCodec;
  /** Name or path of ffmpeg. */
  readonly ffmpegPath: string;
  readonly clock: Clock;
  readonly log: Log;
  /** What a child that starts in the middle is given first. */
  readonly gop: GopCache;
  /** The most bits a second that the source has had so far; 0: not known yet. */
  readonly peakBits: () => number;
  /** The most bits a second that are made. */
  readonly maxBits: number;
  /** How far ahead of the group that it is given a child that starts in the middle begins to make pictures. Default 0. */
  readonly leadMs?: () => number;
  readonly onParameterSets: (sets: readonly Buffer[]) => void;
  readonly onPicture: (picture: ReencodedPicture) => void;
  /** First pause before a child that ended is started again; it doubles up to 10 s. Default 250 ms. */
  readonly retryMs?: number;
  /** How long the child outlives its last viewer. Default 10 s. */
  readonly lingerMs?: number;
}

export interface Reencoder {
  /** What is coming in; another object than before takes another child. */
  configure(track: MatroskaTrack): void;
  /**
   * Takes the picture that the cache has been given last. A child that does not keep up is replaced by one that makes
   * less; where there is no less, whole groups are dropped. One whose group is longer than the cache goes on as it is,
   * unless it is too full: without it there would be no picture until the publisher's next keyframe.
   */
  push(picture: SourcePicture): void;
  /** Somebody watches, or nobody any more. */
  want(wanted: boolean): void;
  /** `null` while it is not needed. */
  status(): ReencoderStatus | null;
  /** Media time from which on the child's next keyframe is to be expected; `undefined` when there is no child. */
  nextKeyframeMs(): number | undefined;
  /** Ends the child at once. Idempotent. */
  close(): void;
  /** Process id of the child; `undefined` when there is none. */
  pid(): number | undefined;
}

/** Viewers may be this far behind the publisher. */
const MAX_LAG_MS = 1000;
/** A child that has just started has its own start to catch up with. */
const CATCH_UP_MS = 5000;
/** More pictures than any decoder holds back. */
const CAUGHT_UP_PICTURES = 20;
const MAX_OUTSTANDING = 1000;
/** More than the cache holds, so that what a child starts with does not count as a jam. */
const MAX_QUEUED_BYTES = 12 * 1024 * 1024;
const MAX_RETRY_MS = 10_000;
/** A child that ran this long was not at fault from the start: the pause starts anew. */
const STEADY_MS = 30_000;
/** A child that gives nothing for so much, and so long, is stuck. */
const STALL_PICTURES = 30;
const STALL_MS = 10_000;
/** FLV timestamps are read as signed 32-bit numbers: a child is replaced before 24 days. */
const MAX_CHILD_MS = 2 ** 31 - 60_000;
const MAX_STDERR_CHARS = 4000;

interface Child {
  readonly process: ChildProcessWithoutNullStreams;
  /** Media time of its 0. */
  readonly startMs: number;
  readonly startedAtMs: number;
  readonly track: MatroskaTrack;
  readonly maxBits: number;
  /** When it last made a picture, and how many it was given since. */
  madeAtMs: number;
  hasMade: boolean;
  unanswered: number;
  nextKeyframeMs: number;
  /** When it was given the pictures that it has not made yet, by their presentation time. */
  readonly givenAtMs: Map<number, number>;
  /** How long the latest picture took. */
  lagMs: number;
}

/** Readies a re-encoder; a child starts with the first picture after `want(true)`. */
export function createReencoder(options: ReencoderOptions): Reencoder {
  const { path, codec, clock, log, gop } = options;
  const { retryMs: firstRetryMs = 250, lingerMs = 10_000, maxBits, leadMs = () => 0 } = options;
  const format = FORMATS[codec];
  const mayStart = createStartLimit();
  let track: MatroskaTrack | undefined;
  let pace = createPace();
  let child: Child | undefined;
  let needed = false;
  let lingerTimer: NodeJS.Timeout | undefined;
  let retryMs = firstRetryMs;
  let retryTimer: NodeJS.Timeout | undefined;
  let restarts = 0;
  let droppedPictures = 0;
  let dropping = false;
  let closed = false;

  function stopChild(): void {
    const old = child;
    child = undefined;
    if (old === undefined) return;
    old.process.stdout.removeAllListeners('data');
    // One that could not be spawned has no id, and Node would signal process 0: this process and its whole group.
    if (old.process.pid !== undefined) old.process.kill('SIGKILL');
  }

  function fail(failed: Child, error: unknown, message: string): void {
    if (child !== failed) return;
    if (clock.monotonicMs() - failed.startedAtMs > STEADY_MS) retryMs = firstRetryMs;
    // One line per trouble: an ffmpeg that is missing stays missing.
    const level = retryMs === firstRetryMs ? 'warn' : 'debug';
    log[level](
      { path, codec, error: error instanceof Error ? error.message : String(error), retryMs },
      message,
    );
    stopChild();
    restarts += 1;
    retryTimer = setTimeout(() => (retryTimer = undefined), retryMs);
    retryTimer.unref();
    retryMs = Math.min(retryMs * 2, MAX_RETRY_MS);
  }

  function listen(to: Child): void {
    const { process: started, startMs } = to;
    const output = format.createOutput({
      onParameterSets: options.onParameterSets,
      onPicture(picture) {
        const presentationMs = startMs + picture.presentationMs;
        noteMade(to, presentationMs, picture.keyframe);
        options.onPicture({ ...picture, presentationMs });
      },
    });
    let stderr = '';
    started.on('error', (error) =>
      fail(to, error, 'ffmpeg does not start: viewers miss the re-encoded video'),
    );
    started.on('close', (code, signal) => {
      if (stderr !== '') log.debug({ path, codec, stderr }, 'ffmpeg said');
      fail(to, `exit ${code ?? signal}`, 'ffmpeg ended: the re-encoded video goes on with another child');
    });
    started.stdin.on('error', () => undefined); // Its end is seen by `close`.
    started.stdout.on('data', (chunk: Buffer) => {
      if (child !== to) return;
      try {
        output.push(chunk);
      } catch (error) {
        fail(to, error, `ffmpeg wrote what is not ${format.label}`);
      }
    });
    started.stderr.on('data', (chunk: Buffer) => {
      stderr = (stderr + chunk.toString('latin1')).slice(-MAX_STDERR_CHARS);
    });
  }

  function noteMade(by: Child, presentationMs: number, keyframe: boolean): void {
    by.madeAtMs = clock.monotonicMs();
    by.hasMade = true;
    by.unanswered = 0;
    by.lagMs = by.madeAtMs - (by.givenAtMs.get(presentationMs) ?? by.madeAtMs);
    if (keyframe) by.nextKeyframeMs = presentationMs + KEYFRAME_INTERVAL_MS;
    // What was before it and has not come is left out: it comes in the order in which it is shown.
    for (const givenMs of by.givenAtMs.keys()) if (givenMs <= presentationMs) by.givenAtMs.delete(givenMs);
  }

  function noteGiven(to: Child, presentationMs: number): void {
    to.givenAtMs.set(presentationMs, clock.monotonicMs());
    const [oldest] = to.givenAtMs.keys();
    if (to.givenAtMs.size > MAX_OUTSTANDING && oldest !== undefined) to.givenAtMs.delete(oldest);
  }

  function write(to: Child, { presentationMs, keyframe, units }: SourcePicture): void {
    // Pictures that lead an open group's first keyframe cannot be decoded without the group before.
    if (presentationMs < to.startMs) return;
    to.unanswered += 1;
    const data = trackPicture(to.track, units);
    to.process.stdin.write(matroskaPicture(presentationMs - to.startMs, keyframe, data));
  }

  /** Some pictures it may hold for as long as no other comes. */
  function isStuck({ madeAtMs, unanswered }: Child): boolean {
    return unanswered > STALL_PICTURES && clock.monotonicMs() - madeAtMs > STALL_MS;
  }

  /** Gives a new child the whole group; of what came before this moment it makes nothing. */
  function startChild(current: MatroskaTrack, pictures: readonly SourcePicture[]): void {
    const startMs = pictures[0]?.presentationMs;
    if (startMs === undefined || !mayStart(clock.monotonicMs())) return;
    const latestMs = Math.max(...pictures.map(({ presentationMs }) => presentationMs));
    const firstMs = pictures.length === 1 ? 0 : latestMs - startMs + 1 + leadMs();
    const bits = encodingBits(current.codecId, options.peakBits(), maxBits);
    const making = { firstMs, maxBits: bits, reduction: pace.reduction() };
    const started: Child = {
      process: spawn(options.ffmpegPath, ffmpegArguments(codec, making), { stdio: 'pipe' }),
      startMs,
      startedAtMs: clock.monotonicMs(),
      track: current,
      maxBits: bits,
      madeAtMs: clock.monotonicMs(),
      hasMade: false,
      nextKeyframeMs: startMs + firstMs,
      unanswered: 0,
      givenAtMs: new Map(),
      lagMs: 0,
    };
    child = started;
    dropping = false;
    listen(started);
    started.process.stdin.write(matroskaHeader(current));
    for (const picture of pictures) write(started, picture);
    log.debug(
      { path, codec, pid: started.process.pid, pictures: pictures.length, ...making },
      're-encoding starts',
    );
  }

  /** How long the pictures wait now: the latest that was made, or one that has not been made yet. */
  function lagMsOf({ lagMs, givenAtMs }: Child): number {
    const [oldestAtMs] = givenAtMs.values();
    const isWaiting = givenAtMs.size > CAUGHT_UP_PICTURES && oldestAtMs !== undefined;
    return isWaiting ? Math.max(lagMs, clock.monotonicMs() - oldestAtMs) : lagMs;
  }

  /** One that has made nothing yet is not slow, but stuck. */
  function isSlow(one: Child): boolean {
    const isOld = clock.monotonicMs() - one.startedAtMs > CATCH_UP_MS;
    return isOld && one.hasMade && lagMsOf(one) > MAX_LAG_MS;
  }

  /** Another child goes on with the cached group; it is past what the old one is behind with. */
  function replaceChild(current: MatroskaTrack): void {
    stopChild();
    startChild(current, gop.pictures());
  }

  /** True if the child has been replaced by one that makes less, or, with a keyframe, by one that may make more. */
  function adapts(to: Child, keyframe: boolean): boolean {
    const nowMs = clock.monotonicMs();
    if (isSlow(to) && gop.pictures().length > 0 && pace.slow(nowMs)) {
      const fields = { path, codec, lagMs: Math.round(lagMsOf(to)), reduction: pace.reduction() };
      log.warn(fields, 'ffmpeg does not keep up: another child makes less');
    } else {
      const bits = encodingBits(to.track.codecId, options.peakBits(), maxBits);
      if (!keyframe || !(isOutgrown(to.maxBits, bits) || pace.tryMore(nowMs))) return false;
    }
    replaceChild(to.track);
    return true;
  }

  /** Too late once, or too full, it is given nothing until it has caught up; then the next group. */
  function drops(to: Child, keyframe: boolean): boolean {
    const full = to.process.stdin.writableLength > MAX_QUEUED_BYTES;
    // Of a group that is no longer cached there would be nothing until the next one.
    if (!dropping && (full || (isSlow(to) && gop.pictures().length > 0))) {
      dropping = true;
      log.warn(
        { path, codec, lagMs: Math.round(lagMsOf(to)) },
        'ffmpeg does not keep up: groups of pictures are dropped',
      );
    }
    if (dropping && keyframe && !full && to.givenAtMs.size <= CAUGHT_UP_PICTURES) {
      dropping = false;
      to.lagMs = 0;
    }
    return dropping;
  }

  return {
    configure(next) {
      if (track === next) return;
      track = next;
      pace = createPace();
      stopChild();
    },
    push(picture) {
      if (closed || !needed || track === undefined || retryTimer !== undefined) return;
      if (child !== undefined && picture.presentationMs - child.startMs > MAX_CHILD_MS) stopChild();
      if (child === undefined) return startChild(track, gop.pictures());
      if (isStuck(child)) {
        return fail(child, 'no output', 'ffmpeg is stuck: the re-encoded video goes on with another child');
      }
      if (adapts(child, picture.keyframe)) return;
      if (drops(child, picture.keyframe)) {
        droppedPictures += 1;
        return;
      }
      noteGiven(child, picture.presentationMs);
      write(child, picture);
    },
    want(wanted) {
      if (wanted) {
        needed = true;
        clearTimeout(lingerTimer);
        lingerTimer = undefined;
        return;
      }
      // It is said again whenever anything changes; the time runs from the first.
      if (!needed || lingerTimer !== undefined) return;
      lingerTimer = setTimeout(() => {
        lingerTimer = undefined;
        needed = false;
        clearTimeout(retryTimer);
        retryTimer = undefined;
        stopChild();
      }, lingerMs);
      lingerTimer.unref();
    },
    status() {
      if (!needed) return null;
      const lagMs = child === undefined ? 0 : Math.round(lagMsOf(child));
      const reduction = pace.reduction();
      return {
        codec: format.label,
        running: child !== undefined,
        restarts,
        droppedPictures,
        lagMs,
        reduction,
      };
    },
    nextKeyframeMs: () => child?.nextKeyframeMs,
    close() {
      closed = true;
      clearTimeout(lingerTimer);
      clearTimeout(retryTimer);
      stopChild();
    },
    pid: () => child?.process.pid,
  };
}
