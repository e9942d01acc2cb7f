/** A live feed for tests of its video. */
import { onTestFinished } from 'vitest';
import { createLiveFeed, type LiveFeed } from '../../../plugin/media/live.ts';
import type { Reencoding } from '../../../plugin/media/live-video.ts';
import {
  createManualClock,
  createRecordedLog,
  createRecordingStage,
  type ManualClock,
  type RecordedStream,
  type RecordedTrack,
  type RecordingStage,
} from './fakes.ts';

export interface LiveSetup {
  readonly feed: LiveFeed;
  readonly stage: RecordingStage;
  readonly clock: ManualClock;
  stream(): RecordedStream;
  /** The rendition of what is published, once it is open. */
  published(): Promise<RecordedTrack>;
  /** Lets promises settle. */
  settle(): Promise<void>;
  push(...tags: readonly Buffer[]): void;
}

/** A feed onto a recorded stage. No ffmpeg: what it would make is missing. */
export function createLive(reencode: Reencoding = 'auto'): LiveSetup {
  const stage = createRecordingStage();
  const clock = createManualClock();
  const feed = createLiveFeed({
    path: '/live/test',
    stage,
    clock,
    log: createRecordedLog(),
    ffmpegPath: '/nonexistent/ffmpeg',
    reencode,
  });
  onTestFinished(() => feed.close());
  const stream = (): RecordedStream => stage.streams[0]!;
  return {
    feed,
    stage,
    clock,
    stream,
    published: () =>
      stage.until(() =>
        stage.streams
          .at(-1)
          ?.tracks.find((track) => track.kind === 'video' && !track.onDemand && !track.closed),
      ),
    settle: () => new Promise((resolve) => setImmediate(resolve)),
    push(...tags) {
      for (const tag of tags) {
        clock.advance(40);
        feed.pushTag(tag);
      }
    },
  };
}

/** The renditions that are open, with their profiles. */
export const codecsOf = ({ tracks }: RecordedStream): string[] =>
  tracks
    .filter(({ kind, closed }) => kind === 'video' && !closed)
    .map(({ codec, onDemand }) => {
      const { name = '', ...profile } = codec ?? {};
      return `${[name, ...Object.values(profile)].join(' ')}${onDemand ? ' on demand' : ''}`;
    });

/** What is made anew for who can take nothing else. */
export const REENCODED = ['H264 42e01f on demand', 'VP8 on demand'];
/** The re-encoders that run. */
export const needed = ({ feed }: LiveSetup): string[] => feed.reencoders().map(({ codec }) => codec);
