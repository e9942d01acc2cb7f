/** Doubles of the ports that media meets. */
import type {
  AacCodec,
  Clock,
  Log,
  RtpInput,
  StageEntrance,
  VideoCodec,
  VideoParameters,
} from '../../../plugin/ports.ts';
import { readRtp, readSenderReport, type ReadSenderReport, type RtpPacket } from '../rtp/rtp-reader.ts';

export interface ManualClock extends Clock {
  advance(ms: number): void;
}

export function createManualClock(): ManualClock {
  let elapsedMs = 0;
  return {
    nowMs: () => 1_800_000_000_000 + elapsedMs,
    monotonicMs: () => 5_000 + elapsedMs,
    advance(ms) {
      elapsedMs += ms;
    },
  };
}

export interface RecordedLog extends Log {
  readonly lines: { level: string; fields: object; message: string }[];
}

export function createRecordedLog(): RecordedLog {
  const lines: RecordedLog['lines'] = [];
  const at = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, fields, message });
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

export interface RecordedTrack {
  /** `aac`: what taps hear in the place of `audio`. */
  readonly kind: 'audio' | 'video' | 'aac';
  readonly ssrc: number;
  readonly payloadType: number;
  /** `undefined` for audio, which is Opus. */
  readonly codec: VideoCodec | AacCodec | undefined;
  readonly onDemand: boolean;
  /** Tells the source that viewers have come to this rendition, or have left it. */
  watch(watched: boolean): void;
  /** A viewer of this rendition needs a keyframe; `undefined` where the source does not want to know. */
  readonly askKeyframe: VideoParameters['onKeyframeRequest'] | undefined;
  readonly rtp: RtpPacket[];
  readonly reports: ReadSenderReport[];
  closed: boolean;
}

export interface RecordedStream {
  readonly path: string;
  readonly mediaMs: () => number;
  readonly tracks: RecordedTrack[];
  /** Why viewers are refused video. */
  refusal: string | null;
  closed: boolean;
}

export interface RecordingStage extends StageEntrance {
  readonly streams: RecordedStream[];
  /** Resolves with the first value of `pick` that is not `undefined`; asked again after each packet and opening. */
  until<T>(pick: () => T | undefined): Promise<T>;
}

/** A stage that records. It refuses what a real one would: packets into closed inputs. */
export function createRecordingStage(opened: Promise<void> = Promise.resolve()): RecordingStage {
  const streams: RecordedStream[] = [];
  const waiters = new Set<() => void>();
  const changed = (): void => waiters.forEach((check) => check());

  async function addTrack(
    stream: RecordedStream,
    kind: RecordedTrack['kind'],
    parameters: Omit<VideoParameters, 'codec'> & { codec?: VideoCodec | AacCodec },
  ): Promise<RtpInput> {
    await opened;
    const track: RecordedTrack = {
      kind,
      ssrc: parameters.ssrc,
      payloadType: parameters.payloadType,
      codec: parameters.codec,
      onDemand: parameters.onDemand ?? false,
      watch: (watched) => parameters.onWatched?.(watched),
      askKeyframe: parameters.onKeyframeRequest,
      rtp: [],
      reports: [],
      closed: false,
    };
    stream.tracks.push(track);
    queueMicrotask(changed);
    return {
      sendRtp(packet) {
        if (track.closed) throw new Error('packet into a closed input');
        track.rtp.push(readRtp(Buffer.from(packet)));
        changed();
      },
      sendRtcp(packet) {
        if (track.closed) throw new Error('report into a closed input');
        track.reports.push(readSenderReport(packet));
      },
      close() {
        track.closed = true;
        changed();
      },
    };
  }

  return {
    streams,
    openStream(path, mediaMs) {
      const stream: RecordedStream = { path, mediaMs, tracks: [], refusal: null, closed: false };
      streams.push(stream);
      changed();
      return {
        addVideo: (parameters) => addTrack(stream, 'video', parameters),
        addAudio: (parameters) => addTrack(stream, 'audio', parameters),
        addAac: (parameters) => addTrack(stream, 'aac', parameters),
        refuseVideo: (reason) => void (stream.refusal = reason),
        close() {
          stream.closed = true;
          changed();
        },
      };
    },
    until(pick) {
      return new Promise((resolve) => {
        function check(): void {
          const value = pick();
          if (value === undefined) return;
          waiters.delete(check);
          resolve(value);
        }
        waiters.add(check);
        check();
      });
    },
  };
}

export function trackOf(
  stage: RecordingStage,
  kind: RecordedTrack['kind'],
  stream = 0,
): RecordedTrack | undefined {
  return stage.streams[stream]?.tracks.find((track) => track.kind === kind);
}
