import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createOpusTranscoder, type OpusTranscoder } from '../../../plugin/media/opus-transcoder.ts';
import { parseFlvTag, type AacConfig } from '../../../plugin/rtp/index.ts';
import { clipTags, tagsOf, timeOf } from '../rtp/flv-clip.ts';
import { createRecordedLog, type RecordedLog } from './fakes.ts';
import { oggOpus, onsetSeconds, runFfmpeg } from './ffmpeg.ts';

interface Sound {
  readonly config: AacConfig;
  readonly frames: readonly { data: Buffer; timeMs: number }[];
}

function soundOf(tags: readonly Buffer[]): Sound {
  const parsed = tags.map((tag) => ({ tag, parsed: parseFlvTag(tag) }));
  const config = parsed.map((each) => each.parsed).find((each) => each.kind === 'aac-config')!.config;
  const frames = parsed.flatMap(({ tag, parsed: each }) =>
    each.kind === 'aac-frame' ? [{ data: each.data, timeMs: timeOf(tag) }] : [],
  );
  return { config, frames };
}

/** AAC in FLV: silence, and a beep of 1 kHz from `beepAt` on. */
async function encodeBeep(beepAt: number, sampleRateHz: number): Promise<{ file: Buffer; sound: Sound }> {
  const signal = `aevalsrc='if(gte(t,${beepAt}),0.8*sin(2*PI*1000*t),0)':s=${sampleRateHz}:d=${beepAt + 0.5}`;
  const file = await runFfmpeg([
    '-f',
    'lavfi',
    '-i',
    signal,
    '-c:a',
    'aac',
    '-b:a',
    '128k',
    '-f',
    'flv',
    '-',
  ]);
  return { file, sound: soundOf(tagsOf(file)) };
}

interface Collected {
  readonly transcoder: OpusTranscoder;
  readonly packets: { packet: Buffer; ticks: number }[];
  readonly log: RecordedLog;
  /** Resolves when `count` packets are there. */
  arrived(count: number): Promise<void>;
  readonly ready: Promise<void>;
}

function start(options: { ffmpegPath?: string; retryMs?: number } = {}): Collected {
  const packets: Collected['packets'] = [];
  const log = createRecordedLog();
  let wake = (): void => undefined;
  const ready = Promise.withResolvers<void>();
  const transcoder = createOpusTranscoder({
    path: '/live/test',
    ffmpegPath: 'ffmpeg',
    log,
    ...options,
    onReady: ready.resolve,
    onPacket(packet, ticks) {
      packets.push({ packet: Buffer.from(packet), ticks });
      wake();
    },
  });
  onTestFinished(() => transcoder.close());
  return {
    transcoder,
    packets,
    log,
    ready: ready.promise,
    async arrived(count) {
      while (packets.length < count) await new Promise<void>((resolve) => (wake = resolve));
    },
  };
}

/** As many Opus packets as the pushed sound must give at least; the last frames stay inside ffmpeg. */
function expectedPackets(sound: Sound): number {
  return Math.floor((sound.frames.at(-1)!.timeMs - sound.frames[0]!.timeMs - 100) / 20);
}

function pushAll({ transcoder }: Collected, sound: Sound, offsetMs = 0): void {
  for (const { data, timeMs } of sound.frames) transcoder.push(data, timeMs + offsetMs);
}

async function gone(pid: number): Promise<void> {
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

describe('where the sound is', () => {
  test.each([44_100, 48_000])('a beep is where the publisher put it, within 15 ms (%i Hz)', async (rate) => {
    const { file, sound } = await encodeBeep(1.5, rate);
    // What the tags say: the decoded FLV on its own timeline, the encoder's delay included.
    const plain = ['-f', 'f32le', '-ac', '1', '-ar', '48000', '-'];
    const tagOnsetMs = onsetSeconds(await runFfmpeg(['-i', 'pipe:0', ...plain], file), 48_000) * 1000;
    const collected = start();
    collected.transcoder.configure(sound.config);
    pushAll(collected, sound, 60_000);
    await collected.arrived(expectedPackets(sound));
    const opus = oggOpus(collected.packets.map(({ packet }) => packet));
    const decodedOnsetMs = onsetSeconds(await runFfmpeg(['-i', 'pipe:0', ...plain], opus), 48_000) * 1000;
    const mappedOnsetMs = collected.packets[0]!.ticks / 48 + decodedOnsetMs - 60_000;
    expect(Math.abs(mappedOnsetMs - tagOnsetMs)).toBeLessThan(15);
    expect(Math.abs(tagOnsetMs - 1500)).toBeLessThan(30);
  });

  test('packets of 20 ms follow each other, but for the rounding of the tags to milliseconds', async () => {
    const { sound } = await encodeBeep(1, 44_100);
    const collected = start();
    collected.transcoder.configure(sound.config);
    pushAll(collected, sound);
    await collected.arrived(expectedPackets(sound));
    const steps = collected.packets
      .slice(1)
      .map(({ ticks }, index) => ticks - collected.packets[index]!.ticks);
    expect(steps.every((step) => step >= 930 && step <= 990)).toBe(true);
    expect(steps.reduce((sum, step) => sum + step, 0) / steps.length).toBeCloseTo(960, 0);
  });

  test('after a gap in the tags the packets are where the tags are', async () => {
    const sound = soundOf(clipTags());
    const collected = start();
    collected.transcoder.configure(sound.config);
    pushAll(collected, sound);
    pushAll(collected, sound, 21_000);
    await collected.arrived(1);
    while (collected.packets.at(-1)!.ticks < 21_850 * 48)
      await collected.arrived(collected.packets.length + 1);
    const ms = collected.packets.map(({ ticks }) => ticks / 48);
    // The packet that the gap falls into is on one side of it; nothing is in between.
    expect(ms.filter((each) => each > 1060 && each < 20_980)).toEqual([]);
    expect(ms.filter((each) => each >= 20_980).length).toBeGreaterThanOrEqual(
      Math.floor((21_850 - 21_000) / 20) - 1,
    );
  });
});

describe('the child', () => {
  test('a child that is killed is followed by another, and the time goes on', async () => {
    const sound = soundOf(clipTags());
    const collected = start({ retryMs: 1 });
    collected.transcoder.configure(sound.config);
    pushAll(collected, sound);
    await collected.arrived(expectedPackets(sound));
    const first = collected.transcoder.pid()!;
    process.kill(first, 'SIGKILL');
    await gone(first);
    const had = collected.packets.length;
    for (let offsetMs = 10_000; collected.packets.length < had + 5; offsetMs += 1000) {
      pushAll(collected, sound, offsetMs);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(collected.transcoder.pid()).not.toBe(first);
    expect(collected.packets[had]!.ticks).toBeGreaterThan(9_000 * 48);
    expect(collected.log.lines.some(({ level, message }) => level === 'warn' && /ended/.test(message))).toBe(
      true,
    );
  });

  test('another AAC configuration starts another child', async () => {
    const first = soundOf(clipTags());
    const { sound: second } = await encodeBeep(0.5, 48_000);
    const collected = start();
    collected.transcoder.configure(first.config);
    pushAll(collected, first);
    await collected.arrived(expectedPackets(first));
    const pid = collected.transcoder.pid();
    collected.transcoder.configure(first.config);
    expect(collected.transcoder.pid()).toBe(pid);
    const had = collected.packets.length;
    collected.transcoder.configure(second.config);
    pushAll(collected, second, 5000);
    await collected.arrived(had + expectedPackets(second));
    expect(collected.transcoder.pid()).not.toBe(pid);
    expect(collected.packets[had]!.ticks).toBeGreaterThan(4_900 * 48);
  });

  test('changes without end start five children, and then one a second', () => {
    const sound = soundOf(clipTags());
    const { transcoder } = start({ ffmpegPath: new URL('./fixtures/sleeps.sh', import.meta.url).pathname });
    const pids = new Set<number>();
    const startMs = performance.now();
    for (let index = 0; index < 200; index++) {
      transcoder.configure({ ...sound.config, bytes: Buffer.from([index, 0]) });
      transcoder.push(sound.frames[0]!.data, index);
      const pid = transcoder.pid();
      if (pid !== undefined) pids.add(pid);
    }
    const allowed = 5 + Math.floor((performance.now() - startMs) / 1000);
    expect(pids.size).toBeGreaterThanOrEqual(5);
    expect(pids.size).toBeLessThanOrEqual(allowed);
  });

  test('rest ends the child, and the next frame starts another with the same configuration', async () => {
    const sound = soundOf(clipTags());
    const collected = start();
    const { transcoder, packets } = collected;
    transcoder.configure(sound.config);
    pushAll(collected, sound);
    await collected.arrived(expectedPackets(sound));
    const pid = transcoder.pid()!;
    transcoder.rest();
    await gone(pid);
    const had = packets.length;
    pushAll(collected, sound, 5000);
    await collected.arrived(had + expectedPackets(sound));
    expect(transcoder.pid()).not.toBe(pid);
    expect(packets[had]!.ticks).toBeGreaterThan(4_900 * 48);
  });

  test('close ends it at once', async () => {
    const sound = soundOf(clipTags());
    const { transcoder, ready } = start();
    transcoder.configure(sound.config);
    transcoder.push(sound.frames[0]!.data, 0);
    await ready;
    const pid = transcoder.pid()!;
    transcoder.close();
    await gone(pid);
    transcoder.push(sound.frames[0]!.data, 0);
    expect(transcoder.pid()).toBeUndefined();
  });

  test('without ffmpeg there is a clear line in the log and no sound', async () => {
    const sound = soundOf(clipTags());
    const { transcoder, log, packets } = start({ ffmpegPath: '/nonexistent/ffmpeg' });
    transcoder.configure(sound.config);
    transcoder.push(sound.frames[0]!.data, 0);
    while (log.lines.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    transcoder.push(sound.frames[1]!.data, 23);
    expect(log.lines).toHaveLength(1);
    expect(log.lines[0]).toMatchObject({
      level: 'warn',
      message: expect.stringContaining('ffmpeg does not start'),
    });
    expect(packets).toHaveLength(0);
  });

  test('a child that does not read takes 256 KiB and a little, not more', async () => {
    const sound = soundOf(clipTags());
    // `sleep` ignores its input.
    const collected = start({ ffmpegPath: new URL('./fixtures/sleeps.sh', import.meta.url).pathname });
    collected.transcoder.configure(sound.config);
    collected.transcoder.push(sound.frames[0]!.data, 0);
    await collected.ready;
    const frame = Buffer.alloc(10_000);
    for (let index = 0; index < 200; index++) collected.transcoder.push(frame, index * 23);
    const dropped = collected.log.lines.filter(({ message }) => message.includes('dropped'));
    expect(dropped).toHaveLength(1);
  });

  test('it does not outlive this process, however that ends', async () => {
    const program = `
      import { createOpusTranscoder } from ${JSON.stringify(new URL('../../../plugin/media/opus-transcoder.ts', import.meta.url).href)};
      const log = { debug() {}, info() {}, warn() {}, error() {} };
      const transcoder = createOpusTranscoder({ path: '/a/b', ffmpegPath: 'ffmpeg', log, onPacket() {},
        onReady() { console.log(transcoder.pid()); } });
      transcoder.configure({ objectType: 2, sampleRateHz: 44100, channels: 1, bytes: Buffer.from('1208', 'hex') });
      transcoder.push(Buffer.alloc(10), 0);
      setInterval(() => undefined, 1000);`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    parent.kill('SIGKILL');
    await gone(Number(line.toString()));
  });
});
