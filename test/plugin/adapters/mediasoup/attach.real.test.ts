/** Producers of an app's own router, on the stage: real workers, ffmpeg, Chromium. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { types } from 'mediasoup';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Stage } from '../../../../plugin/adapters/mediasoup.ts';
import { streamStatusSchema } from '../../../../plugin/contract.ts';
import { startAppStage, untilSilent, useAppWorkers } from './app-stage.ts';
import { startApp, type App } from './app.ts';
import { readStats, statsWhen } from './browser.ts';
import type { SourceOptions } from './rtp-source.ts';
import type { Watching } from './watching.ts';

const PATH = '/live/app';
const BOTH: SourceOptions = { video: { profile: 'baseline', profileLevelId: '42e01f' }, audio: true };

const workers = useAppWorkers();
let stage: Stage;
let watching: Watching;
const apps: App[] = [];

beforeEach(async () => {
  ({ stage, watching } = await startAppStage(workers, { graceSeconds: 2 }));
});
afterEach(async () => {
  await watching.close();
  stage.close();
  for (const app of apps.splice(0)) await app.stop();
});

async function runApp(options: SourceOptions = BOTH): Promise<App> {
  const app = await startApp(workers.theirs, options);
  apps.push(app);
  return app;
}

describe('attached producers', () => {
  it('are seen and heard, as one stream that is metered like any other', async () => {
    await stage.attach(PATH, await runApp());
    expect(stage.isLive(PATH)).toBe(true);
    const page = await watching.watch(PATH);
    const stats = await statsWhen(page, (now) => now.framesDecoded > 50 && now.audioPackets > 50);
    expect(stats.streams).toBe(1);
    const counted = await watching.gate.last().viewing.counters();
    expect(counted.bytes).toBeGreaterThan(stats.bytes * 0.98);
    expect(counted.mediaMs).toBeGreaterThan(1500);
    expect(counted.mediaMs).toBeLessThan(20_000);
    const [status, ...others] = stage.attachedStreams();
    expect(others).toEqual([]);
    expect(streamStatusSchema.parse(status)).toMatchObject({
      uri: PATH,
      viewers: 1,
      health: { video: { codec: 'H.264', profileLevelId: '42e01f' }, audio: { codec: 'Opus' } },
    });
    expect(status?.health.video?.bitsPerSecond).toBeGreaterThan(10_000);
    expect(status?.health.video?.framesPerSecond).toBeGreaterThan(10);
    expect(status?.health.audio?.bitsPerSecond).toBeGreaterThan(10_000);
  });

  it('are asked for a keyframe when a viewer comes, so that nobody waits for the next', async () => {
    const video = { profile: 'baseline', profileLevelId: '42e01f', args: ['-g', '25'] };
    const app = await runApp({ video });
    await stage.attach(PATH, app);
    const first = await watching.watch(PATH, ['video']);
    await statsWhen(first, ({ framesDecoded }) => framesDecoded > 5);
    // The way there is longer than a keyframe of its own accord may take.
    await expect.poll(app.keyframeRequests, { timeout: 10_000 }).toBeGreaterThan(0);
    const asked = app.keyframeRequests();
    const second = await watching.watch(PATH, ['video']);
    await statsWhen(second, ({ framesDecoded }) => framesDecoded > 5);
    await expect.poll(app.keyframeRequests, { timeout: 10_000 }).toBeGreaterThan(asked);
  });

  it('can be replaced: who watches goes on watching, in the same session', async () => {
    const [one, two] = [await runApp(), await runApp()];
    await stage.attach(PATH, one);
    const page = await watching.watch(PATH);
    const before = await statsWhen(page, (now) => now.framesDecoded > 20 && now.audioPackets > 20);
    const replaced = await stage.attach(PATH, two);
    await one.stop();
    await statsWhen(
      page,
      (now) => now.framesDecoded > before.framesDecoded + 50 && now.audioPackets > before.audioPackets + 50,
    );
    expect(watching.gate.sessions).toHaveLength(1);
    replaced.detach();
    expect(await watching.gate.last().ended).toBe('source_ended');
  });

  it('may go and come back within the grace time', async () => {
    const app = await runApp();
    await stage.attach(PATH, app);
    const page = await watching.watch(PATH);
    const before = await statsWhen(page, (now) => now.framesDecoded > 20);
    await app.stop();
    await expect.poll(() => stage.attachedStreams()).toEqual([]); // The grace time runs.
    expect(stage.isLive(PATH)).toBe(true);
    await stage.attach(PATH, await runApp());
    await statsWhen(page, ({ framesDecoded }) => framesDecoded > before.framesDecoded + 30);
    expect(watching.gate.sessions).toHaveLength(1);
  });

  it('that stay away end the stream', async () => {
    const app = await runApp();
    await stage.attach(PATH, app);
    await watching.watch(PATH);
    const startMs = performance.now();
    app.video?.close();
    app.audio?.close();
    expect(await watching.gate.last().ended).toBe('source_ended');
    expect(performance.now() - startMs).toBeGreaterThan(1900);
    expect(stage.isLive(PATH)).toBe(false);
  });

  it('that are paused are not billed, and go on when they are resumed', async () => {
    const app = await runApp();
    await stage.attach(PATH, app);
    const page = await watching.watch(PATH);
    await statsWhen(page, ({ framesDecoded }) => framesDecoded > 20);
    await Promise.all([app.video?.pause(), app.audio?.pause()]);
    const { viewing } = watching.gate.last();
    await untilSilent(stage);
    const paused = await viewing.counters();
    await sleep(1500); // No event says that nothing is counted: longer than the longest gap that is media.
    expect((await viewing.counters()).mediaMs - paused.mediaMs).toBeLessThan(200);
    const { framesDecoded } = await readStats(page);
    await Promise.all([app.video?.resume(), app.audio?.resume()]);
    await statsWhen(page, (now) => now.framesDecoded > framesDecoded + 20);
  });
});

describe('detaching', () => {
  it('ends the viewings at once, leaves the producers alone and frees the path', async () => {
    const app = await runApp();
    const attachment = await stage.attach(PATH, app);
    await watching.watch(PATH);
    attachment.detach();
    attachment.detach();
    expect(await watching.gate.last().ended).toBe('source_ended');
    expect([stage.isLive(PATH), app.video?.closed]).toEqual([false, false]);
    await expect(stage.attach(PATH, app)).resolves.toBeDefined();
  });

  it('of those that were replaced changes nothing', async () => {
    const app = await runApp();
    const first = await stage.attach(PATH, app);
    await stage.attach(PATH, app);
    first.detach();
    expect(stage.isLive(PATH)).toBe(true);
  });

  it('leaves nothing behind on the router of the app', async () => {
    const app = await runApp();
    const transports = async (): Promise<number> =>
      ((await app.router.dump()) as { transportIds: string[] }).transportIds.length;
    const before = await transports();
    const attachment = await stage.attach(PATH, app);
    expect(await transports()).toBe(before + 2);
    attachment.detach();
    expect(await transports()).toBe(before);
  });
});

describe('what cannot be attached', () => {
  it.each<[string, (app: App, router: types.Router) => Parameters<Stage['attach']>[1], string]>([
    ['nothing', ({ router }) => ({ router }), 'no producer'],
    [
      'a producer of another router',
      ({ video }, router) => ({ router, video }),
      'the video producer is not on this router',
    ],
    [
      'sound as a picture',
      ({ router, audio }) => ({ router, video: audio }),
      'the video producer makes audio',
    ],
  ])('%s', async (_name, media, message) => {
    const app = await runApp();
    const other = await workers.theirs.createRouter({
      mediaCodecs: [{ kind: 'video', mimeType: 'video/VP8', clockRate: 90_000 }],
    });
    const attaching = stage.attach(PATH, media(app, other));
    await expect(attaching).rejects.toThrow(TypeError);
    await expect(attaching).rejects.toThrow(message);
    expect(stage.stats().streams).toBe(0);
    other.close();
  });

  it('a producer that has been closed', async () => {
    const { router, video } = await runApp();
    video?.close();
    await expect(stage.attach(PATH, { router, video })).rejects.toThrow('the video producer is closed');
  });

  it('a codec that no viewer gets', async () => {
    const router = await workers.theirs.createRouter({
      mediaCodecs: [{ kind: 'audio', mimeType: 'audio/PCMU', clockRate: 8000 }],
    });
    const transport = await router.createDirectTransport();
    const audio = await transport.produce({
      kind: 'audio',
      rtpParameters: {
        codecs: [{ mimeType: 'audio/PCMU', clockRate: 8000, payloadType: 0 }],
        encodings: [{ ssrc: 1 }],
      },
    });
    await expect(stage.attach(PATH, { router, audio })).rejects.toThrow('carries Opus, not audio/PCMU');
    router.close();
  });

  it('anything at a path that another source has', async () => {
    stage.openStream(PATH, () => 0);
    await expect(stage.attach(PATH, await runApp())).rejects.toThrow('on the stage already');
  });
});
