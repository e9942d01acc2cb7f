/** Headless Chromium for WebRTC on loopback. */
import { existsSync } from 'node:fs';
import { chromium, type Browser, type Page } from 'playwright-core';

const EXECUTABLES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** The Chromium of this machine. */
export function findBrowser(): string {
  const found = EXECUTABLES.find((path) => existsSync(path));
  if (found === undefined) throw new Error('no Chromium; `npm test` installs it');
  return found;
}

export function launchBrowser(executablePath = findBrowser()): Promise<Browser> {
  return chromium.launch({
    executablePath,
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--allow-loopback-in-peer-connection',
      '--autoplay-policy=no-user-gesture-required',
    ],
  });
}

declare global {
  // The player's debugging aid.
  var usher: { readonly peerConnection: RTCPeerConnection | null };
}

export interface InboundTotals {
  readonly framesDecoded: number;
  readonly width: number;
  readonly height: number;
  /** `bytesReceived + headerBytesReceived` of audio and video. */
  readonly bytes: number;
  readonly audioBytes: number;
}

/** What the page's peer connection has received so far. */
export function inboundTotals(page: Page): Promise<InboundTotals> {
  return page.evaluate(async () => {
    const totals = { framesDecoded: 0, width: 0, height: 0, bytes: 0, audioBytes: 0 };
    const stats = await globalThis.usher.peerConnection?.getStats();
    stats?.forEach((stat: RTCInboundRtpStreamStats & { headerBytesReceived?: number }) => {
      if (stat.type !== 'inbound-rtp') return;
      const bytes = (stat.bytesReceived ?? 0) + (stat.headerBytesReceived ?? 0);
      totals.bytes += bytes;
      if (stat.kind === 'audio') totals.audioBytes += bytes;
      else {
        totals.framesDecoded = stat.framesDecoded ?? 0;
        totals.width = stat.frameWidth ?? 0;
        totals.height = stat.frameHeight ?? 0;
      }
    });
    return totals;
  });
}

export interface MediaWay {
  /** Of the candidate pair in use. */
  readonly protocol: string;
  readonly remoteAddress: string;
  /** `relay`: by TURN. */
  readonly localType: string;
}

/** How media reaches the page's peer connection; `null` before there is a way. */
export function mediaWay(page: Page): Promise<MediaWay | null> {
  return page.evaluate(async () => {
    const stats = await globalThis.usher.peerConnection?.getStats();
    const byId = new Map<string, Record<string, string>>();
    stats?.forEach((stat: Record<string, string>) => byId.set(String(stat['id']), stat));
    const transport = [...byId.values()].find((stat) => stat['selectedCandidatePairId'] !== undefined);
    const pair = byId.get(transport?.['selectedCandidatePairId'] ?? '');
    const local = byId.get(pair?.['localCandidateId'] ?? '');
    const remote = byId.get(pair?.['remoteCandidateId'] ?? '');
    if (local === undefined || remote === undefined) return null;
    const [protocol = '', remoteAddress = ''] = [remote['protocol'], remote['address']];
    return { protocol, remoteAddress, localType: local['candidateType'] ?? '' };
  });
}

/** Buys the demo's first title for a day, as a customer of the demo, and presses play. */
export async function buyAndWatch(
  page: Page,
  shopUrl: string,
  login: { readonly email: string; readonly password: string },
): Promise<void> {
  await page.goto(`${shopUrl}/#/sign-in`);
  await page.getByLabel(/e-?mail/i).fill(login.email);
  await page.getByLabel(/password/i).fill(login.password);
  await page.getByRole('button', { name: /sign in/i }).click();
  await page.getByTestId('title-card').filter({ hasText: 'Usher One' }).click();
  await page.getByRole('button', { name: /24 hours/ }).click();
}

/** Ends what plays, and frees its place. */
export async function stopWatching(page: Page): Promise<void> {
  await page.mouse.move(400, 400); // The controls hide while nobody moves.
  await page.getByTestId('stop').click();
}

/** Waits until that many frames have been decoded. */
export async function framesDecoded(page: Page, count: number, withinMs = 30_000): Promise<void> {
  const deadline = Date.now() + withinMs;
  while ((await inboundTotals(page)).framesDecoded < count) {
    if (Date.now() > deadline) throw new Error(`not ${String(count)} frames within ${String(withinMs)} ms`);
    await page.waitForTimeout(100);
  }
}

/** The colours (red, green, blue; 0..255) in the middle of the four quadrants of the picture on show. */
export function quadrantColours(page: Page): Promise<[number, number, number][]> {
  return page.evaluate(() => {
    const video = document.querySelector('video');
    if (video === null) throw new Error('no video');
    const canvas = document.createElement('canvas');
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    const context = canvas.getContext('2d');
    if (context === null) throw new Error('no canvas');
    context.drawImage(video, 0, 0);
    const at = (x: number, y: number): [number, number, number] => {
      const { data } = context.getImageData(canvas.width * x, canvas.height * y, 1, 1);
      return [data[0] ?? 0, data[1] ?? 0, data[2] ?? 0];
    };
    return [at(0.15, 0.25), at(0.85, 0.25), at(0.15, 0.75), at(0.85, 0.75)];
  });
}

/**
 * Flash against beep over some seconds, in milliseconds: for each flash, when the beep began minus when the flash was
 * shown. Pixels are read per presented frame, sound by a WebAudio analyser on the remote track.
 */
export function flashAgainstBeep(page: Page, seconds: number): Promise<number[]> {
  return page.evaluate(async (forSeconds) => {
    const video = document.querySelector('video');
    const stream = video?.srcObject;
    if (!video || !(stream instanceof MediaStream)) throw new Error('nothing is playing');
    const audio = new AudioContext();
    await audio.resume();
    const analyser = audio.createAnalyser();
    analyser.fftSize = 4096; // 85 ms at 48 kHz: more than lies between two looks.
    audio.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const beeps: number[] = [];
    const flashes: number[] = [];
    const looking = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const now = performance.now();
      const first = samples.findIndex((sample) => Math.abs(sample) > 0.1);
      if (first < 0) return;
      const onset = now - ((samples.length - first) / audio.sampleRate) * 1000;
      // A beep that is in more than one look is one; its first sample must be inside the look, not at its edge.
      if (first > 0 && onset - (beeps.at(-1) ?? -Infinity) > 500) beeps.push(onset);
    }, 20);
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = 1;
    const context = canvas.getContext('2d', { willReadFrequently: true });
    if (context === null) throw new Error('no canvas');
    let bright = true;
    let watching = true;
    const onFrame = (_now: number, frame: VideoFrameCallbackMetadata): void => {
      // The middle of the white box of the test card.
      context.drawImage(video, video.videoWidth * 0.5, video.videoHeight * 0.83, 1, 1, 0, 0, 1, 1);
      const { data } = context.getImageData(0, 0, 1, 1);
      const white = Math.min(data[0] ?? 0, data[1] ?? 0, data[2] ?? 0) > 180;
      if (white && !bright) flashes.push(frame.expectedDisplayTime);
      bright = white;
      if (watching) video.requestVideoFrameCallback(onFrame);
    };
    video.requestVideoFrameCallback(onFrame);
    await new Promise((resolve) => setTimeout(resolve, forSeconds * 1000));
    watching = false;
    clearInterval(looking);
    await audio.close();
    return flashes.flatMap((flash) => {
      const nearest = beeps.reduce<number | undefined>(
        (best, beep) => (best === undefined || Math.abs(beep - flash) < Math.abs(best - flash) ? beep : best),
        undefined,
      );
      return nearest === undefined || Math.abs(nearest - flash) > 500 ? [] : [nearest - flash];
    });
  }, seconds);
}

/**
 * How far flash and beep are apart once Chromium has brought them in step, in milliseconds: the median of five seconds,
 * read again until it is below `barMs`. It moves the picture towards the sound in small steps: from a fresh connection
 * for about ten seconds, on a busy machine for twice that and more.
 */
export async function settledFlashAgainstBeep(page: Page, barMs = 60, tries = 12): Promise<number> {
  let medianMs = Number.NaN;
  for (let left = tries; left > 0 && !(Math.abs(medianMs) < barMs); left--) {
    const offsetsMs = (await flashAgainstBeep(page, 5)).toSorted((a, b) => a - b);
    medianMs =
      offsetsMs.length < 3 ? Number.NaN : (offsetsMs[Math.floor(offsetsMs.length / 2)] ?? Number.NaN);
  }
  return medianMs;
}
