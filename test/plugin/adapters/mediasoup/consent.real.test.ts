/** Who is still there and who is not: Chromium through a relay that lets only some of its packets through. */
import { createWorker, type types } from 'mediasoup';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createStage, type Stage } from '../../../../plugin/adapters/mediasoup.ts';
import { systemClock } from '../../../../plugin/clock.ts';
import { launchBrowser } from '../../../support/browser.ts';
import { silentLog } from '../../../support/doubles.ts';
import { useRelay } from '../../../support/relayed-viewer.ts';
import { freePorts } from '../../../support/stack.ts';
import { startUdpRelay, type UdpRelay } from '../../../support/udp-relay.ts';
import { readStats, statsWhen } from './browser.ts';
import { startSource, type Source } from './rtp-source.ts';
import { startWatching, type Watching } from './watching.ts';

const PATH = '/live/test';
const SILENCE_SECONDS = 3;

/** RFC 7983 section 7: the first byte tells STUN; RFC 5761 section 4: the second one tells RTCP. */
const isStun = (datagram: Buffer): boolean => (datagram[0] ?? 0) < 4;
const isRtcp = (datagram: Buffer): boolean =>
  (datagram[0] ?? 0) >= 128 && (datagram[1] ?? 0) >= 192 && (datagram[1] ?? 0) <= 223;

let browser: Browser;
let worker: types.Worker;
let stage: Stage;
let watching: Watching;
let source: Source;
let relay: UdpRelay;

beforeAll(async () => {
  browser = await launchBrowser();
  worker = await createWorker({ logLevel: 'none' });
});
afterAll(async () => {
  worker.close();
  await browser.close();
});
beforeEach(async () => {
  const [port = 0] = await freePorts(1);
  stage = await createStage({
    workers: [worker],
    listen: { ip: '127.0.0.1', port },
    clock: systemClock,
    log: silentLog,
    silenceTimeoutSeconds: SILENCE_SECONDS,
  });
  relay = await startUdpRelay({ server: { address: '127.0.0.1', port } });
  watching = await startWatching(stage, browser);
  source = await startSource(stage, PATH, { video: { profile: 'baseline', profileLevelId: '42e01f' } });
});
afterEach(async () => {
  await watching.close();
  await source.stop();
  stage.close();
  relay.close();
});

async function watchThroughRelay(): Promise<Page> {
  const page = await watching.watch(PATH, ['video'], (opened) => opened.evaluate(useRelay, relay.port));
  await statsWhen(page, ({ framesDecoded }) => framesDecoded > 5);
  return page;
}

/** Sees pictures for longer than a viewer may be silent and that may go unseen. */
async function goesOn(page: Page): Promise<void> {
  const { framesDecoded } = await readStats(page);
  await statsWhen(page, (now) => now.framesDecoded > framesDecoded + (SILENCE_SECONDS + 7) * 25);
  expect(stage.stats().viewings).toBe(1);
}

describe('a viewer', () => {
  it('who sends no connectivity checks after the first stays for his reports, as GStreamer', async () => {
    const page = await watchThroughRelay();
    relay.change({ towardsServer: { blocks: isStun } });
    await goesOn(page);
  });

  it('who has vanished is ended soon, and billed no more than that', async () => {
    await watchThroughRelay();
    const { ended, viewing } = watching.gate.last();
    const vanishedMs = performance.now();
    const { mediaMs } = await viewing.counters();
    relay.change({ towardsServer: { loss: 1 } });
    expect(await ended).toBe('viewer_left');
    expect(performance.now() - vanishedMs).toBeGreaterThan(SILENCE_SECONDS * 900);
    expect((await viewing.counters()).mediaMs - mediaMs).toBeLessThan((SILENCE_SECONDS + 7) * 1000);
  });

  it('who goes on with checks, but not with reports, is ended all the same', async () => {
    await watchThroughRelay();
    relay.change({ towardsServer: { blocks: isRtcp } });
    expect(await watching.gate.last().ended).toBe('viewer_left');
  });
});
