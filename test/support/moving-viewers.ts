/** Many bare WHEP viewers in one page, that ask for their media anew when the server says that it was lost. */
import { randomUUID } from 'node:crypto';
import type { Browser } from 'playwright-core';
import { buy, fetchNonce, fingerprintOf, proofFor } from './shop.ts';
import type { Stack } from './stack.ts';

export interface ViewerLog {
  /** Session URLs that it was given, in order. */
  readonly sessions: readonly string[];
  /** Unix milliseconds of the first picture of the newest connection; 0 before it. */
  readonly playingSinceMs: number;
  readonly pictures: number;
  /** Why it has given up; empty while it has not. */
  readonly failure: string;
}

export interface MovingViewers {
  read(): Promise<ViewerLog[]>;
  close(): Promise<void>;
}

declare global {
  var movingViewers: ViewerLog[];
  var movingProof: (viewer: number, sdp: string) => Promise<string>;
}

/** Runs in the page: plays all, for as long as the page is there. */
function watchAll(viewers: readonly { url: string; ticket: string }[]): void {
  const LOOK_EVERY_MS = 100;
  const SILENT_AFTER_MS = 300;
  const logs = viewers.map(() => ({
    sessions: [] as string[],
    playingSinceMs: 0,
    pictures: 0,
    failure: '',
  }));
  globalThis.movingViewers = logs;

  async function connect(index: number): Promise<RTCPeerConnection> {
    const { url, ticket } = viewers[index]!;
    const connection = new RTCPeerConnection();
    connection.addTransceiver('video', { direction: 'recvonly' });
    connection.addTransceiver('audio', { direction: 'recvonly' });
    await connection.setLocalDescription(await connection.createOffer());
    const sdp = connection.localDescription?.sdp ?? '';
    const response = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/sdp',
        authorization: `DPoP ${ticket}`,
        dpop: await globalThis.movingProof(index, sdp),
      },
      body: sdp,
    });
    if (response.status !== 201) throw new Error(`${String(response.status)} ${await response.text()}`);
    await connection.setRemoteDescription({ type: 'answer', sdp: await response.text() });
    logs[index]!.sessions.push(response.headers.get('location') ?? '');
    logs[index]!.playingSinceMs = 0;
    return connection;
  }

  async function watch(index: number): Promise<never> {
    const log = logs[index]!;
    let connection = await connect(index);
    let [decoded, bytes] = [0, 0];
    let quietSinceMs = Infinity;
    for (;;) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
      let [now, received] = [0, 0];
      (await connection.getStats()).forEach((stat: RTCInboundRtpStreamStats) => {
        if (stat.type !== 'inbound-rtp') return;
        now += stat.framesDecoded ?? 0;
        received += stat.bytesReceived ?? 0;
      });
      // Sound comes every 20 ms.
      if (received > bytes) quietSinceMs = Date.now();
      bytes = received;
      if (now > decoded) {
        log.pictures += now - decoded;
        decoded = now;
        if (log.playingSinceMs === 0) log.playingSinceMs = Date.now();
      }
      if (Date.now() - quietSinceMs < SILENT_AFTER_MS) continue;
      quietSinceMs = Date.now();
      const { status } = await fetch(log.sessions.at(-1) ?? '');
      if (status !== 409) continue;
      connection.close();
      connection = await connect(index);
      decoded = bytes = 0;
      quietSinceMs = Infinity;
    }
  }
  viewers.forEach((_viewer, index) => {
    watch(index).catch((error: unknown) => (logs[index]!.failure = String(error)));
  });
}

/** Each buys the offer by itself, and makes one attempt for good. */
export async function openMovingViewers(
  browser: Browser,
  stack: Stack,
  offerId: string,
  count: number,
  token: string,
): Promise<MovingViewers> {
  const purchases = await Promise.all(
    Array.from({ length: count }, async () => ({
      purchase: await buy(stack.orderUrl, offerId, token),
      attempt: randomUUID(),
    })),
  );
  const page = await browser.newPage();
  await page.goto(`${stack.mediaUrl}/healthz`);
  await page.exposeFunction('movingProof', async (viewer: number, sdp: string) => {
    const bought = purchases[viewer];
    if (bought === undefined) throw new Error('no such viewer');
    const { purchase, attempt } = bought;
    const nonce = await fetchNonce(purchase.whepUrl);
    return proofFor(
      purchase,
      { method: 'POST', url: purchase.whepUrl, nonce },
      { fingerprint: fingerprintOf(sdp), attempt },
    );
  });
  await page.evaluate(
    watchAll,
    purchases.map(({ purchase: { whepUrl: url, ticket } }) => ({ url, ticket })),
  );
  return {
    read: () => page.evaluate(() => globalThis.movingViewers),
    close: () => page.close(),
  };
}
