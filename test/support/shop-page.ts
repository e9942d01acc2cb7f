/** An order server and a browser for a file of tests of the player's pages. Nothing is played. */
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll } from 'vitest';
import { launchBrowser } from './browser.ts';
import { startOrderServer, type TestOrderServer } from './order-server.ts';
import { freePorts } from './stack.ts';

export interface ShopSite {
  readonly server: TestOrderServer;
  /** Without a slash at its end. */
  readonly url: string;
  readonly browser: Browser;
}

/** Starts both before the first test of the file, and ends them after the last; `undefined` members until then. */
export function useShopSite(): ShopSite {
  const used = {} as { -readonly [Name in keyof ShopSite]: ShopSite[Name] };
  beforeAll(async () => {
    const [port = 0] = await freePorts(1);
    used.url = `http://localhost:${String(port)}`;
    [used.server, used.browser] = await Promise.all([
      startOrderServer({ port, publicUrl: used.url }),
      launchBrowser(),
    ]);
  });
  afterAll(async () => {
    await used.browser.close();
    await used.server.close();
  });
  return used;
}
