/** A bare WHEP player in Chromium that buys, and may offer less than the browser can. */
import type { Browser, Page } from 'playwright-core';
import { askForFullSound } from '../../player-demo/src/sound-offer.ts';
import { buy, fetchNonce, fingerprintOf, proofFor, type Purchase } from './shop.ts';
import type { StackEnvironment } from './stack.ts';

declare global {
  // The demo player's, given to the page.
  var askForFullSound: (sdp: string) => Promise<string>;
}

/** What the player's offer has of video. */
export type VideoOffer = 'all' | 'constrained-baseline' | 'vp8' | 'vp9';

export interface WhepPlayer {
  readonly page: Page;
  /** 201, or the status of the refusal. */
  readonly status: number;
  /** The problem document of a refusal. */
  readonly problem: { readonly code: string; readonly detail?: string } | null;
  readonly purchase: Purchase;
  /** URL of the session; empty after a refusal. */
  readonly session: string;
}

/** Runs in the page: offers, and plays the answer in a video element. `usher` is what `browser.ts` asks. */
async function playHere({ url, ticket, video }: { url: string; ticket: string; video: VideoOffer }) {
  const peerConnection = new RTCPeerConnection();
  Object.assign(globalThis, { usher: { peerConnection } });
  const element = document.body.appendChild(document.createElement('video'));
  element.autoplay = true;
  element.srcObject = new MediaStream();
  peerConnection.ontrack = ({ track }) => (element.srcObject as MediaStream).addTrack(track);
  const transceiver = peerConnection.addTransceiver('video', { direction: 'recvonly' });
  peerConnection.addTransceiver('audio', { direction: 'recvonly' });
  const fits = ({ mimeType, sdpFmtpLine = '' }: RTCRtpCodec): boolean =>
    video === 'constrained-baseline'
      ? mimeType === 'video/H264' && /packetization-mode=1.*profile-level-id=42e0/.test(sdpFmtpLine)
      : mimeType === `video/${video.toUpperCase()}`;
  const codecs = RTCRtpReceiver.getCapabilities('video')?.codecs ?? [];
  if (video !== 'all') transceiver.setCodecPreferences(codecs.filter(fits));
  const { sdp: offered = '' } = await peerConnection.createOffer();
  const sdp = await globalThis.askForFullSound(offered);
  await peerConnection.setLocalDescription({ type: 'offer', sdp });
  const post = async (): Promise<Response> =>
    fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/sdp',
        authorization: `DPoP ${ticket}`,
        dpop: await globalThis.proofFor(sdp),
      },
      body: sdp,
    });
  let response = await post();
  // 409: the encoder has only just begun.
  for (let tries = 0; response.status === 409 && tries < 75; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    response = await post();
  }
  if (response.status !== 201) {
    return {
      status: response.status,
      problem: (await response.json()) as WhepPlayer['problem'],
      session: '',
    };
  }
  await peerConnection.setRemoteDescription({ type: 'answer', sdp: await response.text() });
  const session = new URL(response.headers.get('location') ?? '', url).href;
  return { status: 201, problem: null, session };
}

/**
 * Buys a free offer and plays it in a new page, as soon as the stream is on the air.
 * @param token who buys; default: nobody in particular
 */
export async function openWhepPlayer(
  browser: Pick<Browser, 'newPage'>,
  stack: Pick<StackEnvironment, 'orderUrl' | 'mediaUrl'>,
  offerId: string,
  video: VideoOffer = 'all',
  token?: string,
): Promise<WhepPlayer> {
  const purchase = await buy(stack.orderUrl, offerId, token);
  const page = await browser.newPage();
  await page.goto(`${stack.mediaUrl}/healthz`);
  await page.exposeFunction('proofFor', async (sdp: string) =>
    proofFor(
      purchase,
      { method: 'POST', url: purchase.whepUrl, nonce: await fetchNonce(purchase.whepUrl) },
      { fingerprint: fingerprintOf(sdp) },
    ),
  );
  await page.exposeFunction('askForFullSound', askForFullSound);
  const { whepUrl: url, ticket } = purchase;
  return { page, purchase, ...(await page.evaluate(playHere, { url, ticket, video })) };
}

/** The strongest tone on the left and on the right, in hertz, once there is sound on both. */
export function strongestTones(page: Page): Promise<[number, number]> {
  return page.evaluate(async () => {
    const stream = document.querySelector('video')?.srcObject;
    if (!(stream instanceof MediaStream)) throw new Error('nothing is playing');
    const audio = new AudioContext();
    await audio.resume();
    const splitter = audio.createChannelSplitter(2);
    audio.createMediaStreamSource(stream).connect(splitter);
    const analysers = [0, 1].map((channel) => {
      const analyser = audio.createAnalyser();
      analyser.fftSize = 16_384; // Bins of 3 Hz, over a third of a second.
      splitter.connect(analyser, channel);
      return analyser;
    });
    const strongest = (analyser: AnalyserNode): { hertz: number; decibels: number } => {
      const levels = new Float32Array(analyser.frequencyBinCount);
      analyser.getFloatFrequencyData(levels);
      const decibels = levels.reduce((best, level) => Math.max(best, level), -Infinity);
      return { hertz: (levels.indexOf(decibels) * audio.sampleRate) / analyser.fftSize, decibels };
    };
    for (let tries = 0; tries < 200; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      const [left, right] = analysers.map(strongest);
      if (left === undefined || right === undefined || left.decibels < -40 || right.decibels < -40) continue;
      await audio.close();
      return [left.hertz, right.hertz];
    }
    throw new Error('no sound within 10 seconds');
  });
}
