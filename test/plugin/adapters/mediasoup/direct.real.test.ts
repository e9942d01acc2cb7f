/** Producers of an app whose packets do not come by this process: real workers, ffmpeg, Chromium. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { types } from 'mediasoup';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Stage } from '../../../../plugin/adapters/mediasoup.ts';
import { parseOffer } from '../../../../plugin/media/offer.ts';
import { openWebRtcReceiver } from '../../../support/webrtc-receiver.ts';
import { startAppStage, untilSilent, useAppWorkers } from './app-stage.ts';
import { startApp, type App } from './app.ts';
import { readStats, statsWhen } from './browser.ts';
import type { Watching } from './watching.ts';

const PATH = '/live/app';

const workers = useAppWorkers();
let stage: Stage;
let watching: Watching;
let app: App;
/** The stage's consumers on the app's router that bring packets into this process, by kind. */
let here: Map<types.MediaKind, types.Consumer>;

beforeEach(async () => {
  ({ stage, watching } = await startAppStage(workers, { graceSeconds: 2 }));
  app = await startApp(workers.theirs, {
    video: { profile: 'baseline', profileLevelId: '42e01f' },
    audio: true,
  });
  here = new Map();
  app.router.observer.on('newtransport', (transport) => {
    if (transport.type !== 'direct') return;
    transport.observer.on('newconsumer', (consumer) => here.set(consumer.kind, consumer));
  });
  await stage.attach(PATH, { ...app, direct: true });
});
afterEach(async () => {
  await watching.close();
  stage.close();
  await app.stop();
});

const isHeard = (kind: types.MediaKind): boolean => here.get(kind)?.paused === false;
const untilUnheard = (): Promise<void> =>
  expect.poll(() => isHeard('video') || isHeard('audio'), { timeout: 10_000 }).toBe(false);

it('are seen, heard, metered and paused as others are, while no packet comes by this process', async () => {
  const page = await watching.watch(PATH);
  await untilUnheard();
  const before = await readStats(page);
  const stats = await statsWhen(
    page,
    (now) => now.framesDecoded > before.framesDecoded + 50 && now.audioPackets > before.audioPackets + 50,
  );
  const { viewing } = watching.gate.last();
  const counted = await viewing.counters();
  expect(counted.bytes).toBeGreaterThan(stats.bytes * 0.98);
  expect(counted.mediaMs).toBeGreaterThan(1500);
  expect(counted.mediaMs).toBeLessThan(30_000);
  const [status] = stage.attachedStreams();
  expect(status?.health).toMatchObject({ video: { codec: 'H.264' }, audio: { codec: 'Opus' } });
  expect(status?.health.video?.bitsPerSecond).toBeGreaterThan(10_000);
  expect(status?.health.video?.framesPerSecond).toBeGreaterThan(10);

  await Promise.all([app.video?.pause(), app.audio?.pause()]);
  await untilSilent(stage);
  const paused = await viewing.counters();
  await sleep(1500); // No event says that nothing is counted: more than a reading of the counters.
  expect((await viewing.counters()).mediaMs).toBe(paused.mediaMs);
  const { framesDecoded } = await readStats(page);
  await Promise.all([app.video?.resume(), app.audio?.resume()]);
  await statsWhen(page, (now) => now.framesDecoded > framesDecoded + 20);
});

it('that others take the place of have their viewers ask for media anew, as after the death of a worker', async () => {
  const page = await watching.watch(PATH);
  await statsWhen(page, ({ framesDecoded }) => framesDecoded > 5);
  await stage.attach(PATH, { ...app, direct: true });
  expect(await watching.gate.last().ended).toBe('server_crashed');
  await statsWhen(await watching.watch(PATH), ({ framesDecoded }) => framesDecoded > 5);
  expect(stage.stats()).toMatchObject({ streams: 1, viewings: 1 });
});

it('leave nothing behind on any router', async () => {
  const count = async (): Promise<number> =>
    ((await app.router.dump()) as { transportIds: string[] }).transportIds.length;
  const attached = await count();
  await watching.watch(PATH);
  expect(await count()).toBe(attached + 2);
  await watching.gate.last().end('viewer_left');
  expect(await count()).toBe(attached);
  app.video?.close();
  app.audio?.close();
  await expect.poll(count).toBe(attached - 2);
});

it('come by this process for a tap, and for the height of the pictures that a tier limits', async () => {
  await untilUnheard();
  const tap = await stage.tap(PATH, () => true);
  const came = Promise.withResolvers<Buffer>();
  const stop = tap.audio?.listen({
    rtp: (packet) => came.resolve(Buffer.from(packet)),
    rtcp: () => undefined,
    ended: () => undefined,
  });
  expect((await came.promise).length).toBeGreaterThan(12);
  expect([isHeard('audio'), isHeard('video')]).toEqual([true, false]);
  stop?.();
  await untilUnheard();

  const receiver = await openWebRtcReceiver();
  const offer = parseOffer(receiver.offer);
  await expect(stage.view(PATH, offer, { maxHeight: 359 })).rejects.toMatchObject({
    code: 'rights_insufficient',
  });
  expect(isHeard('video')).toBe(true);
  (await stage.view(PATH, offer, { maxHeight: 360 })).close('viewer_left');
  receiver.close();
});
