/** Streams that are on the air, as a media server reports them. */
import type { PublisherHealth, StreamStatus } from '../../plugin/contract.ts';

export const HEALTHY: PublisherHealth = {
  video: {
    codec: 'H.264',
    profileLevelId: '42c01f',
    width: 1280,
    height: 720,
    hasBFrames: false,
    keyframeIntervalMs: 2000,
    framesPerSecond: 25,
    bitsPerSecond: 2_500_000,
  },
  audio: { codec: 'AAC', sampleRateHz: 48_000, channels: 2, bitsPerSecond: 128_000 },
  malformedTags: 0,
  warnings: [],
};

export const ON_AIR_SINCE = 1_777_636_800;

export function streamStatus(uri: string, changes: Partial<StreamStatus> = {}): StreamStatus {
  return { uri, onAirSince: ON_AIR_SINCE, viewers: 0, health: HEALTHY, ...changes };
}
