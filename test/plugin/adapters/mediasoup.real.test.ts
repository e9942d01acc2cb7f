import { once } from 'node:events';

import { createServer, type Server } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { createWorker, type types } from 'mediasoup';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  createStage,
  type Stage,
  type StageOptions,
  type StageViewing,
} from '../../../plugin/adapters/mediasoup.ts';
import { createWhep } from '../../../plugin/adapters/whep.ts';
import type { EndReason } from '../../../plugin/contract.ts';
import { parseOffer } from '../../../plugin/media/offer.ts';
import { fakeTimerClock, silentLog } from '../../support/doubles.ts';
import { OFFERS } from '../media/offers/index.ts';
import { launchBrowser } from '../../support/browser.ts';
import { play, readStats, statsWhen } from './mediasoup/browser.ts';
import { census } from './mediasoup/census.ts';
import { startSource, type Source, type SourceOptions } from './mediasoup/rtp-source.ts';
import { openGate, type OpenGate } from './whep/open-gate.ts';

const BASELINE = { profile: 'baseline', profileLevelId: '42c01e' };

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
}

describe('a stage with a real worker and Chromium', () => {
  let browser: Browser;
  let page: Page;
  let worker: types.Worker;
  let counts: ReturnType<typeof census>;
  let stage: Stage;
  let gate: OpenGate<StageViewing>;
  let base: string;
  const cleanup: (() => unknown)[] = [];

  // Another origin than WHEP's: everything here goes through CORS.
  const pageServer = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html').end('<!doctype html><title>player</title>');
  });
  let pages: string;

  beforeAll(async () => {
    browser = await launchBrowser();
    pages = await listen(pageServer);
  });
  afterAll(async () => {
    await browser.close();
    pageServer.close();
  });

  beforeEach(async () => {
    worker = await createWorker({ logLevel: 'error' });
    counts = census(worker);
    stage = await createStage({
      workers: [worker],
      listen: { ip: '127.0.0.1', port: 0 },
      clock: fakeTimerClock,
      log: silentLog,
      maxProfiles: 2,
      silenceTimeoutSeconds: 4, // Chromium reports every second.
    });
    gate = openGate<StageViewing>();
    const server = createServer();
    base = await listen(server);
    const whep = createWhep({ gate, stage, publicUrl: new URL(base), log: silentLog, clock: fakeTimerClock });
    const listener = getRequestListener((request) => whep.fetch(request, { peer: '127.0.0.1' }));
    server.on('request', (request, response) => void listener(request, response));
    page = await browser.newPage();
    await page.goto(pages);
    cleanup.push(
      () => worker.close(),
      () => stage.close(),
      () => server.close(),
      () => page.close(),
    );
  });
  afterEach(async () => {
    for (const undo of cleanup.splice(0).reverse()) await undo();
  });

  async function broadcast(options: SourceOptions): Promise<Source> {
    const source = await startSource(stage, '/live/test', options);
    cleanup.push(() => source.stop());
    return source;
  }

  it.each([
    ['constrained baseline', BASELINE],
    ['main', { profile: 'main', profileLevelId: '4d401e' }],
    ['high', { profile: 'high', profileLevelId: '64001e' }],
  ])('shows %s H.264 with Opus as one stream, and counts what the browser counts', async (_name, video) => {
    await broadcast({ video, audio: true });
    await play(page, `${base}/whep/live/test`, ['video', 'audio']);
    const playing = await statsWhen(page, (stats) => stats.framesDecoded > 50 && stats.audioPackets > 50);
    expect(playing.streams).toBe(1);
    expect(stage.stats()).toEqual({ streams: 1, viewings: 1, consumers: 2, profiles: 1, workers: 1 });

    const viewing = gate.last().viewing;
    const counted = await viewing.counters();
    expect(counted.bytes).toBeGreaterThan(playing.bytes * 0.98);
    expect(counted.mediaMs).toBeGreaterThan(1500);
    expect(counted.mediaMs).toBeLessThan(10_000);

    // What is on its way while both are read would blur the comparison: end first, then what left must arrive.
    viewing.close('viewer_left');
    const { bytes } = await viewing.counters();
    const received = await statsWhen(page, (stats) => stats.bytes > bytes * 0.98);
    expect(received.bytes).toBeLessThan(bytes * 1.02);
  });

  it('stops media on DELETE, keeps the last counters, and leaves nothing behind in the worker', async () => {
    await broadcast({ video: BASELINE, audio: true });
    const quiet = { ...counts };
    const session = await play(page, `${base}/whep/live/test`, ['video', 'audio']);
    await statsWhen(page, (stats) => stats.framesDecoded > 20);

    const reply = await page.evaluate(
      async (url) => (await fetch(url, { method: 'DELETE' })).status,
      session,
    );
    expect(reply).toBe(200);
    const final = await gate.last().viewing.counters();
    const ended = await statsWhen(page, ({ connectionState }) => connectionState !== 'connected');
    expect(Math.abs(final.bytes - ended.bytes) / ended.bytes).toBeLessThan(0.02);
    expect(await gate.last().viewing.counters()).toEqual(final);
    expect(stage.stats()).toEqual({ streams: 1, viewings: 0, consumers: 0, profiles: 1, workers: 1 });
    expect(counts).toEqual({ ...quiet, routers: quiet.routers + 1 }); // The profile's router is kept.
  });

  it.each<[string, (page: Page) => Promise<unknown>]>([
    [
      'closes its connection',
      (page) => page.evaluate(() => (globalThis as unknown as { pc: RTCPeerConnection }).pc.close()),
    ],
    ['closes the page', (page) => page.close({ runBeforeUnload: false })],
  ])('tells when a viewer %s', async (_name, leave) => {
    await broadcast({ video: BASELINE });
    await play(page, `${base}/whep/live/test`, ['video']);
    await statsWhen(page, (stats) => stats.framesDecoded > 5);
    await leave(page);
    expect(await gate.last().ended).toBe('viewer_left');
    expect(stage.stats().viewings).toBe(0);
  });

  it('tells the first media packet once, after DTLS', async () => {
    await broadcast({ audio: true });
    let first = 0;
    gate.onSession = ({ viewing }) => viewing.onFirstMedia(() => (first += 1));
    await play(page, `${base}/whep/live/test`, ['video', 'audio']);
    await statsWhen(page, (stats) => stats.audioPackets > 20);
    expect(first).toBe(1);
  });

  it('ends viewings with the source, and frees the path for the next one', async () => {
    const source = await broadcast({ video: BASELINE });
    await play(page, `${base}/whep/live/test`, ['video']);
    await statsWhen(page, (stats) => stats.framesDecoded > 5);
    await source.stop();
    expect(await gate.last().ended).toBe('source_ended');
    expect(stage.isLive('/live/test')).toBe(false);
    expect(stage.stats()).toMatchObject({ streams: 0, viewings: 0 });
    await expect(play(page, `${base}/whep/live/test`, ['video'])).rejects.toThrow('stream_offline');
  });

  it('goes on after an ICE restart', async () => {
    await broadcast({ video: BASELINE });
    const session = await play(page, `${base}/whep/live/test`, ['video']);
    await statsWhen(page, (stats) => stats.framesDecoded > 5);
    const status = await page.evaluate(async (url) => {
      const { pc } = globalThis as unknown as { pc: RTCPeerConnection };
      const before = pc.remoteDescription?.sdp ?? '';
      await pc.setLocalDescription(await pc.createOffer({ iceRestart: true }));
      const offer = pc.localDescription?.sdp ?? '';
      const pick = (sdp: string, name: string): string =>
        sdp.split('\r\n').find((line) => line.startsWith(name)) ?? '';
      const body = ['a=ice-ufrag:', 'a=ice-pwd:'].map((name) => pick(offer, name)).join('\r\n');
      const reply = await fetch(url, {
        method: 'PATCH',
        headers: { 'content-type': 'application/trickle-ice-sdpfrag', 'if-match': '"*"' },
        body,
      });
      const fragment = await reply.text();
      const answer = ['a=ice-ufrag:', 'a=ice-pwd:'].reduce(
        (sdp, name) => sdp.replaceAll(pick(before, name), pick(fragment, name)),
        before,
      );
      await pc.setRemoteDescription({ type: 'answer', sdp: answer });
      return reply.status;
    }, session);
    expect(status).toBe(200);
    const { framesDecoded } = await readStats(page);
    await statsWhen(page, (stats) => stats.framesDecoded > framesDecoded + 30);
  });

  it('carries the burst of a large key frame without loss', async () => {
    const args = [
      '-s',
      '1920x1080',
      '-b:v',
      '20M',
      '-minrate',
      '20M',
      '-bufsize',
      '40M',
      '-vf',
      'noise=alls=60:allf=t',
    ];
    await broadcast({ video: { ...BASELINE, args: [...args, '-r', '5'] } });
    await play(page, `${base}/whep/live/test`, ['video']);
    await statsWhen(page, (stats) => stats.framesDecoded > 15);
    const lost = await page.evaluate(async () => {
      const { pc } = globalThis as unknown as { pc: RTCPeerConnection };
      const report = [...(await pc.getStats()).values()].find(({ type }) => type === 'inbound-rtp');
      return { lost: report.packetsLost, size: report.bytesReceived / report.framesDecoded };
    });
    expect(lost.size).toBeGreaterThan(200_000);
    expect(lost.lost).toBe(0);
  });

  /** Another stage on the same worker, with a stream of sound that is on air. */
  async function quietStage(options: Partial<StageOptions>): Promise<Stage> {
    const other = await createStage({
      workers: [worker],
      listen: { ip: '127.0.0.1', announcedAddress: '192.0.2.1', port: 0 },
      clock: fakeTimerClock,
      log: silentLog,
      ...options,
    });
    cleanup.push(() => other.close());
    await other.openStream('/live/a', () => 0).addAudio({ ssrc: 1, payloadType: 97 });
    return other;
  }

  const goneOf = (viewing: StageViewing): Promise<EndReason> =>
    new Promise((resolve) => viewing.onGone(resolve));

  it('answers in the order of the offer, rejects what it does not send, and names the announced address', async () => {
    const { answer } = await (await quietStage({})).view('/live/a', parseOffer(OFFERS.chromium));
    const lines = answer.split('\r\n');
    expect(
      lines.filter((line) => /^(m=|a=(mid|group|setup|sendonly|inactive|rtpmap|ice-lite|end-of))/.test(line)),
    ).toEqual([
      'a=group:BUNDLE 1',
      'a=ice-lite',
      expect.stringMatching(/^m=video 0 UDP\/TLS\/RTP\/SAVPF 96 97 /),
      'a=mid:0',
      'a=inactive',
      'm=audio 9 UDP/TLS/RTP/SAVPF 111',
      'a=mid:1',
      'a=sendonly',
      'a=setup:passive',
      'a=end-of-candidates',
      'a=rtpmap:111 opus/48000/2',
    ]);
    const candidates = lines.filter((line) => line.startsWith('a=candidate:'));
    expect(candidates).toEqual([
      expect.stringMatching(/ 1 udp \d+ 192\.0\.2\.1 \d+ typ host$/),
      expect.stringMatching(/ 1 tcp \d+ 192\.0\.2\.1 \d+ typ host tcptype passive$/),
    ]);
    expect(answer).not.toContain('a=extmap'); // None of Chromium's ids is mediasoup's.
  });

  it('lets go of a viewer that never connects', async () => {
    const other = await quietStage({ connectTimeoutMs: 50 });
    const viewing = await other.view('/live/a', parseOffer(OFFERS.chromium));
    expect(await goneOf(viewing)).toBe('viewer_left');
    expect(await viewing.counters()).toEqual({ mediaMs: 0, bytes: 0 });
    expect(other.stats()).toEqual({ streams: 1, viewings: 0, consumers: 0, profiles: 1, workers: 1 });
  });

  it('refuses offers of more kinds than it has routers for, until one is free', async () => {
    const other = await quietStage({ maxProfiles: 1 });
    const first = await other.view('/live/a', parseOffer(OFFERS.chromium));
    const second = parseOffer(OFFERS.firefoxLike);
    await expect(other.view('/live/a', second)).rejects.toMatchObject({ code: 'overloaded' });
    first.close('viewer_left');
    await expect(other.view('/live/a', second)).resolves.toBeDefined();
  });

  it('refuses a stream that is not there, or has nothing yet', async () => {
    const offer = parseOffer(OFFERS.chromium);
    await expect(stage.view('/live/none', offer)).rejects.toMatchObject({ code: 'stream_offline' });
    stage.openStream('/live/empty', () => 0);
    await expect(stage.view('/live/empty', offer)).rejects.toMatchObject({ code: 'stream_offline' });
    expect(() => stage.openStream('/live/empty', () => 0)).toThrow(TypeError);
  });

  it('waits for the second kind of a young stream', async () => {
    const stream = stage.openStream('/live/young', () => 0);
    await stream.addVideo({ ssrc: 1, payloadType: 96, codec: { name: 'H264', profileLevelId: '42c01e' } });
    const viewing = stage.view('/live/young', parseOffer(OFFERS.chromium));
    await stream.addAudio({ ssrc: 2, payloadType: 97 });
    expect((await viewing).answer).toContain('a=group:BUNDLE 0 1');
  });

  it('ends its viewings with server_stopped when it closes', async () => {
    const other = await quietStage({});
    const viewing = await other.view('/live/a', parseOffer(OFFERS.chromium));
    other.close();
    expect(await goneOf(viewing)).toBe('server_stopped');
    expect(counts).toEqual({ transports: 0, consumers: 0, producers: 0, routers: 0 });
  });

  it('ends everything when the worker dies, and says so', async () => {
    const died = Promise.withResolvers<Error>();
    const doomed = await createWorker({ logLevel: 'error' });
    const other = await createStage({
      workers: [doomed],
      listen: { ip: '127.0.0.1', port: 0 },
      clock: fakeTimerClock,
      log: silentLog,
      onWorkersGone: died.resolve,
    });
    const stream = other.openStream('/live/a', () => 0);
    const input = await stream.addAudio({ ssrc: 1, payloadType: 97 });
    const gone = Promise.withResolvers<EndReason>();
    const viewing = await other.view('/live/a', parseOffer(OFFERS.chromium));
    viewing.onGone(gone.resolve);
    process.kill(doomed.pid, 'SIGKILL');
    expect(await gone.promise).toBe('server_crashed');
    expect(await died.promise).toBeInstanceOf(Error);
    expect(other.isLive('/live/a')).toBe(false);
    expect(await viewing.counters()).toEqual({ mediaMs: 0, bytes: 0 });
    input.sendRtp(Buffer.alloc(20));
    expect(() => other.openStream('/live/b', () => 0)).toThrow('closed');
  });
});
