/** Where a click is in AAC, and where it is in the RTP that viewers get: measured in decoded samples. */
import { expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../../plugin/clock.ts';
import { createOpusTranscoder } from '../../../plugin/media/opus-transcoder.ts';
import { createAudioTrack } from '../../../plugin/media/rtp-tracks.ts';
import { createTimeline } from '../../../plugin/media/timeline.ts';
import type { RtpInput } from '../../../plugin/ports.ts';
import { opusPacketSamples, parseFlvTag, type AacConfig } from '../../../plugin/rtp/index.ts';
import { tagsOf } from '../rtp/flv-clip.ts';
import { readRtp, readSenderReport } from '../rtp/rtp-reader.ts';
import { createRecordedLog } from './fakes.ts';
import { oggOpus, runFfmpeg } from './ffmpeg.ts';

const RATE_HZ = 48_000;
const CLICK_EVERY_MS = 500;
const PCM = ['-f', 'f32le', '-ac', '1', '-ar', String(RATE_HZ), '-'];

interface Frame {
  readonly data: Buffer;
  readonly timeMs: number;
}

/** Clicks of 4 ms of 2 kHz each half second, the first one after a quarter, as AAC in FLV. */
async function encodeClicks(seconds: number, sampleRateHz: number): Promise<Buffer> {
  const click = `0.9*sin(2*PI*2000*t)*lt(mod(t+${CLICK_EVERY_MS / 2000},${CLICK_EVERY_MS / 1000}),0.004)`;
  const source = `aevalsrc='${click}':s=${sampleRateHz}:d=${seconds}`;
  return runFfmpeg(['-f', 'lavfi', '-i', source, '-c:a', 'aac', '-b:a', '160k', '-f', 'flv', '-']);
}

function readAac(file: Buffer): { config: AacConfig; frames: Frame[] } {
  const tags = tagsOf(file).map((tag) => parseFlvTag(tag));
  const config = tags.find((tag) => tag.kind === 'aac-config')!.config;
  const frames = tags.flatMap((tag) =>
    tag.kind === 'aac-frame' ? [{ data: tag.data, timeMs: tag.dtsMs }] : [],
  );
  return { config, frames };
}

/** Milliseconds at which clicks are strongest: the centre of the energy of each. */
function clicksMs(pcm: Buffer): number[] {
  const windowSamples = (CLICK_EVERY_MS / 1000) * RATE_HZ;
  const found: number[] = [];
  for (let start = 0; start + windowSamples <= pcm.length / 4; start += windowSamples) {
    let energy = 0;
    let moment = 0;
    for (let index = start; index < start + windowSamples; index++) {
      const square = pcm.readFloatLE(index * 4) ** 2;
      energy += square;
      moment += square * index;
    }
    if (energy > 1) found.push(moment / energy / (RATE_HZ / 1000));
  }
  return found;
}

interface Packet {
  readonly packet: Buffer;
  /** Media time in samples at 48 kHz, read from the RTP timestamp. */
  readonly ticks: number;
}

/** An audio track, and what leaves it as viewers get it. */
function recordTrack() {
  const sent: { packet: Buffer; timestamp: number }[] = [];
  let zero = 0;
  let wake = (): void => undefined;
  const input: RtpInput = {
    sendRtp(bytes) {
      const { payload, timestamp } = readRtp(Buffer.from(bytes));
      sent.push({ packet: payload, timestamp });
      wake();
    },
    sendRtcp: (bytes) => void (zero = readSenderReport(bytes).rtpTimestamp),
    close: () => undefined,
  };
  // This moment is always -3 s, and reports say that it was captured 3 s before: so they say where 0 is.
  const timeline = { ...createTimeline(systemClock), nowMs: () => -3000 };
  const track = createAudioTrack(
    { cname: 'clicks', timeline, clock: systemClock, log: createRecordedLog(), ntpMs: () => 0 },
    () => Promise.resolve(input),
  );
  const ticksOf = (timestamp: number): number => (timestamp - zero) | 0;
  return {
    track,
    packets: (): Packet[] => sent.map(({ packet, timestamp }) => ({ packet, ticks: ticksOf(timestamp) })),
    async arrived(ticks: number): Promise<void> {
      while (sent.length < 2 || ticksOf(sent.at(-1)!.timestamp) < ticks)
        await new Promise<void>((resolve) => (wake = resolve));
    },
  };
}

/** Packets that follow each other without a gap. */
function runsOf(packets: readonly Packet[]): Packet[][] {
  const runs: Packet[][] = [];
  packets.forEach((packet, index) => {
    const before = packets[index - 1];
    if (before === undefined || packet.ticks - before.ticks !== 960) runs.push([]);
    runs.at(-1)!.push(packet);
  });
  return runs;
}

/** The clicks of a run of Opus packets that follow each other, on the media's time. */
async function opusClicksMs(packets: readonly Packet[]): Promise<number[]> {
  const pcm = await runFfmpeg(['-i', 'pipe:0', ...PCM], oggOpus(packets.map(({ packet }) => packet)));
  const startMs = packets[0]!.ticks / 48;
  // So that windows begin where those of the source do.
  const leadSamples = Math.round((((startMs % CLICK_EVERY_MS) + CLICK_EVERY_MS) % CLICK_EVERY_MS) * 48);
  const padded = Buffer.concat([Buffer.alloc(leadSamples * 4), pcm]);
  return clicksMs(padded).map((ms) => ms + startMs - leadSamples / 48);
}

const nearest = (list: readonly number[], ms: number): number =>
  list.reduce((best, each) => (Math.abs(each - ms) < Math.abs(best - ms) ? each : best), Infinity);

test.each([48_000, 44_100])(
  'clicks in Opus are within 2 ms of their place in AAC, after pauses of the publisher too (%i Hz)',
  async (sampleRateHz) => {
    const file = await encodeClicks(5, sampleRateHz);
    const { config, frames } = readAac(file);
    const inAac = clicksMs(await runFfmpeg(['-i', 'pipe:0', ...PCM], file));
    expect(inAac.length).toBeGreaterThanOrEqual(9);

    const { track, packets, arrived } = recordTrack();
    const transcoder = createOpusTranscoder({
      path: '/live/clicks',
      ffmpegPath: 'ffmpeg',
      log: createRecordedLog(),
      onReady: () => undefined,
      onPacket: (packet, ticks) => track.send(packet, ticks, opusPacketSamples(packet)),
    });
    onTestFinished(() => transcoder.close());
    transcoder.configure(config);
    // Pauses of 3 s, of 40 s, and one that ends between two milliseconds of a frame.
    const offsetsMs = [0, 8000, 53_000, 61_007];
    for (const offsetMs of offsetsMs) {
      for (const { data, timeMs } of frames) transcoder.push(data, timeMs + offsetMs);
    }
    const endMs = offsetsMs.at(-1)! + frames.at(-1)!.timeMs;
    await arrived((endMs - 100) * 48);

    const inOpus = (await Promise.all(runsOf(packets()).map(opusClicksMs))).flat();
    const errors = offsetsMs.flatMap((offsetMs) =>
      inAac.slice(0, -1).map((ms) => nearest(inOpus, ms + offsetMs) - ms - offsetMs),
    );
    expect(errors.length).toBeGreaterThanOrEqual(32);
    expect(Math.max(...errors.map(Math.abs))).toBeLessThan(2);
  },
);
