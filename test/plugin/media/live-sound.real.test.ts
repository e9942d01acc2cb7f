/** Sound that changes under way, through the real encoder: where a viewer hears each beep. */
import { expect, onTestFinished, test } from 'vitest';
import { createLiveFeed } from '../../../plugin/media/live.ts';
import { encodeOpus } from '../../support/enhanced-publisher.ts';
import { atTime, avcConfigTag, avcTag, makeTag, tagsOf, timeOf } from '../rtp/flv-clip.ts';
import { depacketizeH264, type RtpPacket } from '../rtp/rtp-reader.ts';
import {
  createManualClock,
  createRecordedLog,
  createRecordingStage,
  trackOf,
  type RecordedTrack,
} from './fakes.ts';
import { oggOpus, onsetSeconds, runFfmpeg } from './ffmpeg.ts';

const PHASE_MS = 2000;
const BEEP_MS = 1000;
const AVC_CONFIG = avcConfigTag(Buffer.from('6742c00bd9', 'hex'), Buffer.from('68ce3c80', 'hex'));
const beep = (sampleRateHz: number): string =>
  `aevalsrc='if(gte(t,${BEEP_MS / 1000}),0.8*sin(2*PI*1000*t),0)':s=${sampleRateHz}:d=${PHASE_MS / 1000}`;

async function aacTags(sampleRateHz: number, channels: number): Promise<Buffer[]> {
  const encoder = ['-ac', String(channels), '-c:a', 'aac', '-b:a', '128k', '-f', 'flv', '-'];
  const tags = tagsOf(await runFfmpeg(['-f', 'lavfi', '-i', beep(sampleRateHz), ...encoder]));
  return tags.filter((tag) => tag[0] === 8);
}

async function opusTags(): Promise<Buffer[]> {
  const messages = await encodeOpus(PHASE_MS / 1000, { sound: beep(48_000) });
  return messages.map(({ type, timeMs, body }) => makeTag(type, body, timeMs));
}

/** Milliseconds from an RTP timestamp to a later one. */
const msBetween = (from: number, to: number, clockRate: number): number =>
  ((to - from) | 0) / (clockRate / 1000);

/** Wall clock of an RTP timestamp, by the track's last sender report. */
const wallMs = ({ reports }: RecordedTrack, timestamp: number, clockRate: number): number =>
  reports.at(-1)!.ntpMs + msBetween(reports.at(-1)!.rtpTimestamp, timestamp, clockRate);

async function onsetMs(track: RecordedTrack, packets: readonly RtpPacket[]): Promise<number> {
  const opus = oggOpus(packets.map(({ payload }) => payload));
  const pcm = await runFfmpeg(['-i', 'pipe:0', '-f', 'f32le', '-ac', '1', '-ar', '48000', '-'], opus);
  return wallMs(track, packets[0]!.timestamp, 48_000) + onsetSeconds(pcm, 48_000) * 1000;
}

test('another AAC, Opus in its place and AAC again are one track to viewers, each beep where it was', async () => {
  const phases = [
    await aacTags(44_100, 1),
    await aacTags(48_000, 2),
    await opusTags(),
    await aacTags(44_100, 1),
  ];
  const stage = createRecordingStage();
  const clock = createManualClock();
  const log = createRecordedLog();
  const feed = createLiveFeed({ path: '/live/test', stage, clock, log });
  onTestFinished(() => feed.close());
  feed.pushTag(AVC_CONFIG);
  const video = await stage.until(() => trackOf(stage, 'video'));
  const audio = await stage.until(() => trackOf(stage, 'audio'));

  const beepsMs: number[] = [];
  for (const [phase, tags] of phases.entries()) {
    const startMs = phase * (PHASE_MS + 500);
    const before = audio.rtp.length;
    feed.pushTag(avcTag([Buffer.from([0x65, 1])], { key: true, timeMs: startMs }));
    const pictureMs = wallMs(video, depacketizeH264(video.rtp).at(-1)!.timestamp, 90_000);
    let elapsedMs = 0;
    for (const tag of tags) {
      clock.advance(timeOf(tag) - elapsedMs);
      elapsedMs = timeOf(tag);
      feed.pushTag(atTime(tag, startMs + elapsedMs));
    }
    const expected = Math.floor((timeOf(tags.at(-1)!) - 100) / 20);
    await stage.until(() => (audio.rtp.length - before >= expected ? true : undefined));
    beepsMs.push((await onsetMs(audio, audio.rtp.slice(before))) - pictureMs);
    clock.advance(PHASE_MS + 500 - elapsedMs);
  }

  expect(stage.streams).toHaveLength(1);
  expect(stage.streams[0]!.tracks.filter(({ kind }) => kind === 'audio')).toHaveLength(1);
  expect(new Set(audio.rtp.map(({ ssrc }) => ssrc))).toEqual(new Set([audio.ssrc]));
  const steps = audio.rtp
    .slice(1)
    .map(({ sequence }, index) => (sequence - audio.rtp[index]!.sequence) & 0xffff);
  expect(new Set(steps)).toEqual(new Set([1]));
  // AAC's encoder begins with 1,024 samples of its own, which FLV does not tell of.
  const primingMs = [1024 / 44.1, 1024 / 48, 0, 1024 / 44.1];
  beepsMs.forEach((ms, phase) => expect(Math.abs(ms - BEEP_MS - primingMs[phase]!)).toBeLessThan(8));
  expect(log.lines.filter(({ level }) => level === 'warn')).toEqual([]);
});
