/** What is kept for inputs that the stage does not open. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { createAudioTrack, createVideoTrack, type TrackContext } from '../../../plugin/media/rtp-tracks.ts';
import { createTimeline } from '../../../plugin/media/timeline.ts';
import { createManualClock, createRecordedLog } from './fakes.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function createContext(): TrackContext {
  const clock = createManualClock();
  return { cname: 'c', timeline: createTimeline(clock), clock, log: createRecordedLog(), ntpMs: clock.nowMs };
}

/** How many of the tags whose views `send` was given are still in memory. */
async function keptOf(send: (view: Buffer) => void): Promise<number> {
  const tags = Array.from({ length: 3 }, () => {
    const tag = Buffer.alloc(1024 * 1024);
    send(tag.subarray(0, 1));
    return new WeakRef(tag.buffer);
  });
  await settle();
  collectGarbage();
  return tags.filter((tag) => tag.deref() !== undefined).length;
}

const frame = (unit: Buffer) => ({ units: [unit], presentationMs: 0, keyframe: false, heldBytes: 1024 });
const keyframe = { ...frame(Buffer.from([0])), keyframe: true };

test.each<[string, () => Promise<never>, number]>([
  ['that is opening keeps its pictures', () => new Promise(() => undefined), 3],
  ['that was refused keeps nothing', () => Promise.reject(new Error('full')), 0],
])('a video track %s', async (_name, open, kept) => {
  const track = createVideoTrack(createContext(), 'VP8', open);
  track.send(keyframe);
  expect(await keptOf((unit) => track.send(frame(unit)))).toBe(kept);
  expect(await keptOf((unit) => track.send(frame(unit)))).toBe(kept);
  track.close();
});

test.each<[string, () => Promise<never>]>([
  ['is opening', () => new Promise(() => undefined)],
  ['was refused', () => Promise.reject(new Error('full'))],
])('an audio track that %s keeps no tag', async (_name, open) => {
  const track = createAudioTrack(createContext(), open);
  expect(await keptOf((packet) => track.send(packet, 0, 960))).toBe(0);
  track.close();
});
