/** WHEP of a stage on a port of its own, with a gate that lets everyone in, and pages to watch in. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, Page } from 'playwright-core';
import type { Stage, StageViewing } from '../../../../plugin/adapters/mediasoup.ts';
import { createWhep } from '../../../../plugin/adapters/whep.ts';
import { createNodeHandler } from '../../../../plugin/http/node-handler.ts';
import { fakeTimerClock, silentLog } from '../../../support/doubles.ts';
import { openGate, type OpenGate } from '../whep/open-gate.ts';
import { play } from './browser.ts';

export interface Watching {
  readonly gate: OpenGate<StageViewing>;
  /** A page that plays the stream at `path`; `prepare` is run in it before. */
  watch(path: string, kinds?: readonly string[], prepare?: (page: Page) => Promise<unknown>): Promise<Page>;
  close(): Promise<void>;
}

export async function startWatching(stage: Stage, browser: Browser): Promise<Watching> {
  const gate = openGate<StageViewing>();
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const whep = createWhep({ gate, stage, publicUrl: new URL(base), log: silentLog, clock: fakeTimerClock });
  const handler = createNodeHandler({
    fetch: whep.fetch,
    owns: (path) => path !== '/',
    trustedProxies: 0,
  });
  server.on('request', (request, response) =>
    handler(request, response, () => response.setHeader('content-type', 'text/html').end('<!doctype html>')),
  );
  const pages: Page[] = [];
  return {
    gate,
    async watch(path, kinds = ['video', 'audio'], prepare) {
      const page = await browser.newPage();
      pages.push(page);
      await page.goto(base);
      await prepare?.(page);
      await play(page, `${base}/whep${path}`, kinds);
      return page;
    },
    async close() {
      await Promise.all(pages.map((page) => page.close()));
      server.close();
      server.closeAllConnections();
    },
  };
}
