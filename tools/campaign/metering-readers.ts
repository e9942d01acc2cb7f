/** Readers of the metering campaign: each watches once, and counts by itself what it has got. */
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser } from 'playwright-core';
import { framesDecoded, inboundTotals } from '../../test/support/browser.ts';
import { createFlvParser } from '../../test/support/media-parsers.ts';
import { mintPass, sendWithTicket } from '../../test/support/plain-viewers.ts';
import { useRelay } from '../../test/support/relayed-viewer.ts';
import { connectRtsp } from '../../test/support/rtsp-client.ts';
import { buy } from '../../test/support/shop.ts';
import { runFfmpeg, type Stack } from '../../test/support/stack.ts';
import { startUdpRelay } from '../../test/support/udp-relay.ts';
import { openWhepPlayer } from '../../test/support/whep-player.ts';

export interface Counted {
  /** Milliseconds with media; what is longer than a second without any is a pause. */
  readonly mediaMs: number;
  readonly bytes: number;
}

export interface Viewing {
  readonly counted: Counted;
  readonly orderId: string;
}

export interface ReaderWorld {
  readonly stack: Stack;
  readonly browser: Browser;
  readonly path: string;
  readonly offerId: string;
  /** How long each viewing takes. */
  readonly viewingMs: number;
  /** Of the network's losses. */
  readonly seed: number;
}

declare global {
  /** In the page: milliseconds with media so far. */
  var mediaMs: () => number;
}

const LOSS = 0.02;
export const PAUSE_MS = 6000;
const LONGEST_SILENCE_MS = 1000;
/** What is on its way when a viewer leaves. */
const LAST_PACKETS_MS = 300;

/** Adds up the time from one moment with media to the next, without the pauses. */
export function createTally() {
  let lastMs: number | undefined;
  let sumMs = 0;
  return {
    at(momentMs: number): void {
      const passedMs = momentMs - (lastMs ?? momentMs);
      if (passedMs > 0 && passedMs <= LONGEST_SILENCE_MS) sumMs += passedMs;
      lastMs = Math.max(momentMs, lastMs ?? momentMs);
    },
    sumMs: () => sumMs,
  };
}

/** Stands between a reader of HTTP-FLV and its server, and counts what passes; it holds back what the reader does not take. */
async function startFlvCounter(serverPort: number) {
  /** What comes at once is what the server had kept: it was carried before this viewer came. */
  const KEPT_MS = 150;
  const tally = createTally();
  const sockets: Socket[] = [];
  let bytes = 0;
  let firstAtMs: number | undefined;
  const parse = createFlvParser(({ type, timeMs }) => {
    if (type !== 8 && type !== 9) return;
    firstAtMs ??= performance.now();
    if (performance.now() - firstAtMs > KEPT_MS) tally.at(timeMs);
  });
  const server = createServer((reader) => {
    const upstream = connect(serverPort, '127.0.0.1');
    sockets.push(reader, upstream);
    let head: Buffer | undefined = Buffer.alloc(0);
    reader.on('error', () => upstream.destroy()).pipe(upstream);
    upstream
      .on('error', () => reader.destroy())
      .on('data', (chunk: Buffer) => {
        if (!reader.write(chunk)) {
          upstream.pause();
          reader.once('drain', () => upstream.resume());
        }
        let body = chunk;
        if (head !== undefined) {
          head = Buffer.concat([head, chunk]);
          const end = head.indexOf('\r\n\r\n');
          if (end === -1) return;
          body = head.subarray(end + 4);
          head = undefined;
        }
        bytes += body.length;
        parse(body);
      });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    counted: (): Counted => ({ mediaMs: tally.sumMs() + (firstAtMs === undefined ? 0 : KEPT_MS), bytes }),
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** ffmpeg decodes HTTP-FLV, and is stopped (SIGSTOP) for a while in the middle. */
export async function readByFfmpeg({ stack, path, offerId, viewingMs }: ReaderWorld): Promise<Viewing> {
  const purchase = await buy(stack.orderUrl, offerId);
  const pass = await mintPass(stack.mediaUrl, path, purchase);
  const counter = await startFlvCounter(stack.httpFlvPort);
  const url = `http://127.0.0.1:${String(counter.port)}${path}.flv?pass=${pass}`;
  const reader = runFfmpeg(['-i', url, '-f', 'null', '-']);
  try {
    await sleep(viewingMs / 2);
    reader.child.kill('SIGSTOP');
    await sleep(PAUSE_MS);
    reader.child.kill('SIGCONT');
    await sleep(viewingMs / 2);
  } finally {
    await reader.stop();
    counter.close();
  }
  return { counted: counter.counted(), orderId: purchase.orderId };
}

/** Runs in the page: adds up the time from packet to packet, as the browser says when they came. */
function countHere(longestSilenceMs: number): void {
  let lastMs: number | undefined;
  let sumMs = 0;
  globalThis.mediaMs = () => sumMs;
  setInterval(() => {
    void globalThis.usher.peerConnection?.getStats().then((stats) => {
      let nowMs = lastMs ?? 0;
      stats.forEach((stat: RTCInboundRtpStreamStats) => {
        if (stat.type === 'inbound-rtp') nowMs = Math.max(nowMs, stat.lastPacketReceivedTimestamp ?? 0);
      });
      if (nowMs === 0) return;
      const passedMs = nowMs - (lastMs ?? nowMs);
      if (passedMs <= longestSilenceMs) sumMs += passedMs;
      lastMs = nowMs;
    });
  }, 50);
}

/** Chromium by WHEP, its media over a network that loses packets each way. */
export async function readInChromium(world: ReaderWorld): Promise<Viewing> {
  const { stack, browser, offerId, viewingMs, seed } = world;
  const impairment = { loss: LOSS, delayMs: 10 };
  const relay = await startUdpRelay({
    server: { address: '127.0.0.1', port: Number(stack.env['USHER_RTC_PORT']) },
    ...{ seed, towardsServer: impairment, towardsClients: impairment },
  });
  const context = await browser.newContext();
  try {
    const relayed = {
      async newPage() {
        const page = await context.newPage();
        await page.addInitScript(useRelay, relay.port);
        await page.addInitScript(() => Object.assign(globalThis, { usher: { peerConnection: null } }));
        await page.addInitScript(countHere, LONGEST_SILENCE_MS);
        return page;
      },
    };
    const { page, status, session, purchase } = await openWhepPlayer(relayed, stack, offerId);
    if (status !== 201) throw new Error(`WHEP: ${String(status)}`);
    await framesDecoded(page, 5);
    await sleep(viewingMs + PAUSE_MS);
    await sendWithTicket(purchase, 'DELETE', session);
    await sleep(LAST_PACKETS_MS);
    const { bytes } = await inboundTotals(page);
    return {
      counted: { mediaMs: await page.evaluate(() => globalThis.mediaMs()), bytes },
      orderId: purchase.orderId,
    };
  } finally {
    await context.close();
    relay.close();
  }
}

/** A client of RTSP that pauses (RFC 2326 section 10.6) for a while in the middle. */
export async function readByRtsp({ stack, path, offerId, viewingMs }: ReaderWorld): Promise<Viewing> {
  /** SRTP's authentication tag (RFC 3711 section 4.2.1), which is no part of the packet. */
  const TAG_BYTES = 10;
  const purchase = await buy(stack.orderUrl, offerId);
  const pass = await mintPass(stack.mediaUrl, path, purchase);
  const client = await connectRtsp(stack.rtspPort);
  try {
    const tally = createTally();
    const url = `rtsp://localhost:${String(stack.rtspPort)}${path}`;
    let session = '';
    async function ask(method: string, to: string, headers: Record<string, string> = {}): Promise<void> {
      const fields = session === '' ? headers : { ...headers, Session: session };
      const answer = await client.ask(method, to, fields);
      if (answer.status !== 200) throw new Error(`${method}: ${String(answer.status)} ${answer.body}`);
      session = answer.headers.get('session')?.split(';')[0] ?? session;
    }
    await ask('DESCRIBE', `${url}?pass=${pass}`);
    for (const [index, line] of ['video', 'audio'].entries()) {
      const channels = `${String(index * 2)}-${String(index * 2 + 1)}`;
      await ask('SETUP', `${url}/track=${line}`, {
        Transport: `RTP/AVP/TCP;unicast;interleaved=${channels}`,
      });
    }
    client.socket.on('data', () => tally.at(performance.now()));
    await ask('PLAY', url);
    await sleep(viewingMs / 2);
    await ask('PAUSE', url);
    await sleep(PAUSE_MS);
    await ask('PLAY', url);
    await sleep(viewingMs / 2);
    await ask('TEARDOWN', url);
    // Odd channels are RTCP's.
    const packets = client.frames.filter(({ channel }) => channel % 2 === 0);
    const bytes = packets.reduce((sum, { data }) => sum + data.length - TAG_BYTES, 0);
    return { counted: { mediaMs: tally.sumMs(), bytes }, orderId: purchase.orderId };
  } finally {
    client.socket.destroy();
  }
}
