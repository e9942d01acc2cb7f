/** A viewer behind a bad network: the demo player, whose media goes through a UDP relay. */
import type { Browser, Page } from 'playwright-core';
import { framesDecoded } from './browser.ts';
import type { Stack } from './stack.ts';
import { startUdpRelay, type Impairment, type UdpRelay } from './udp-relay.ts';

export interface RelayedViewer {
  readonly page: Page;
  readonly relay: UdpRelay;
  close(): Promise<void>;
}

/** Runs in the page: the one candidate of each answer is the relay, so that nothing goes another way. */
export function useRelay(port: number): void {
  globalThis.RTCPeerConnection = class extends RTCPeerConnection {
    override setRemoteDescription({ type, sdp = '' }: RTCSessionDescriptionInit): Promise<void> {
      const relayed = sdp
        .replace(/^a=candidate:\S+ 1 tcp .*\r\n/gm, '')
        .replace(/^(a=candidate:\S+ 1 udp \d+ )\S+ \d+ /gm, `$1127.0.0.1 ${String(port)} `);
      return super.setRemoteDescription({ type, sdp: relayed });
    }
  };
}

/**
 * Opens the player on a title, takes its first offer (which must be free) and waits for the first pictures.
 * @param stack its media server's port is where the relay leads
 */
export async function openRelayedViewer(
  browser: Browser,
  stack: Stack,
  titleId: string,
  impairment: {
    readonly towardsServer?: Impairment;
    readonly towardsClients?: Impairment;
    readonly seed?: number;
  },
): Promise<RelayedViewer> {
  const server = { address: '127.0.0.1', port: Number(stack.env['USHER_RTC_PORT']) };
  const relay = await startUdpRelay({ server, ...impairment });
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
  const page = await context.newPage();
  const viewer: RelayedViewer = {
    page,
    relay,
    async close() {
      await context.close();
      relay.close();
    },
  };
  try {
    await page.addInitScript(useRelay, relay.port);
    await page.goto(`${stack.orderUrl}/#/title/${titleId}`);
    await page.getByTestId('buy').first().click();
    await framesDecoded(page, 5);
  } catch (error) {
    await viewer.close();
    throw new Error(`seed ${String(relay.seed)}`, { cause: error });
  }
  return viewer;
}
