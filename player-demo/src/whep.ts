import { iceServersOf } from './ice-servers.ts';
import type { Opening } from './opening.ts';
import { Problem } from './problems.ts';
import type { SignedFetch } from './signed-fetch.ts';
import { askForEstimates } from './estimate-offer.ts';
import { askForFullSound } from './sound-offer.ts';
import { readMediaStats } from './stats.ts';

/** One WHEP session: HTTP opened it, media runs over the peer connection. */
export interface WhepSession {
  /** Absolute URL of the session resource. */
  readonly url: string;
  readonly peerConnection: RTCPeerConnection;
  readonly stream: MediaStream;
  /** `sha-256 AB:CD:...`, as in offer and answer. */
  readonly localFingerprint: string;
  readonly remoteFingerprint: string;
}

export interface OpenOptions {
  readonly endpoint: string;
  readonly send: SignedFetch['send'];
  readonly opening: Opening;
  /** `null`: the browser makes the certificate by itself. */
  readonly createPeerConnection: (certificate: RTCCertificate | null) => RTCPeerConnection;
  readonly createStream: () => MediaStream;
  readonly waitMs: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly signal: AbortSignal;
}

/** Pauses before a lost reply is asked for again. */
const LOST_REPLY_PAUSES_MS = [400, 1500];
const STATS_EVERY_MS = 250;
/** Sound comes every 20 ms: without any packet for this long, something may have happened. */
const QUIET_AFTER_MS = 400;

/**
 * Opens a WHEP session: offer, proof over its fingerprint, answer. Candidates of ours are not gathered first: the
 * server is ICE-lite and learns our address from our checks, so the offer leaves at once. The proof is made meanwhile,
 * or was made before. The offer becomes ours with the answer at hand: gathering begins there, and should know the STUN
 * and TURN servers that the answer names (RFC 9725 section 4.6).
 * @throws Problem as the server refused, or `network`.
 */
export async function openWhep(options: OpenOptions): Promise<WhepSession> {
  const own = await options.opening.own;
  const peerConnection = options.createPeerConnection(own?.certificate ?? null);
  const stream = options.createStream();
  peerConnection.addEventListener('track', (event) => {
    stream.addTrack(event.track);
    // A live picture is worth nothing late; the browser takes this as a hint.
    event.receiver.jitterBufferTarget = 0;
  });
  try {
    for (const kind of ['video', 'audio'] as const) {
      peerConnection.addTransceiver(kind, { direction: 'recvonly' });
    }
    const { sdp: offered = '' } = await peerConnection.createOffer();
    const sdp = askForEstimates(askForFullSound(offered));
    const localFingerprint = fingerprintOf(sdp);
    const response = await postOffer(options, sdp, localFingerprint);
    const url = new URL(response.headers.get('location') ?? '', options.endpoint).href;
    try {
      const answer = await response.text();
      useIceServers(peerConnection, response.headers.get('link'));
      await peerConnection.setLocalDescription({ type: 'offer', sdp });
      await peerConnection.setRemoteDescription({ type: 'answer', sdp: answer });
      return { url, peerConnection, stream, localFingerprint, remoteFingerprint: fingerprintOf(answer) };
    } catch (cause) {
      // The session is open over there and of no use here: its place is given back.
      await options.send({ method: 'DELETE', url }).catch(() => undefined);
      throw new Problem('offer_unsupported', { cause });
    }
  } catch (error) {
    peerConnection.close();
    throw error;
  }
}

/** Most viewers need none, so that a browser which refuses the list goes on without. */
function useIceServers(peerConnection: RTCPeerConnection, link: string | null): void {
  const iceServers = iceServersOf(link);
  if (iceServers.length === 0) return;
  try {
    peerConnection.setConfiguration({ ...peerConnection.getConfiguration(), iceServers });
  } catch (error) {
    console.warn('The ICE servers were not taken.', error instanceof Error ? error.name : '');
  }
}

/**
 * The same attempt and offer again when the reply was lost: the server then answers with the same session. Each time with
 * a proof of its own, since the lost one may have been used.
 */
async function postOffer(options: OpenOptions, sdp: string, fingerprint: string): Promise<Response> {
  const binding = { attempt: options.opening.attempt, fingerprint };
  const made = await options.opening.proof;
  let ready = made?.binding.fingerprint === fingerprint ? made : null;
  for (const pauseMs of [...LOST_REPLY_PAUSES_MS, null]) {
    try {
      const request = { method: 'POST', url: options.endpoint, sdp, binding } as const;
      return await options.send(request, options.signal, ready);
    } catch (error) {
      const lost = error instanceof Problem && error.code === 'network' && !options.signal.aborted;
      if (!lost || pauseMs === null) throw error;
      ready = null;
      await options.waitMs(pauseMs, options.signal);
    }
  }
  throw new Problem('network');
}

/**
 * The DTLS fingerprint of a description, written `sha-256 AB:CD:...` (upper-case hex).
 * @throws Problem `offer_unsupported` when there is none with SHA-256.
 */
export function fingerprintOf(sdp: string): string {
  const hex = /^a=fingerprint:sha-256 ((?:[0-9a-f]{2}:){31}[0-9a-f]{2})\s*$/im.exec(sdp)?.[1];
  if (hex === undefined) throw new Problem('offer_unsupported');
  return `sha-256 ${hex.toUpperCase()}`;
}

/** Settles when media can flow: true, or false after `timeoutMs`, a failure or an abort. */
export function untilConnected(
  peerConnection: RTCPeerConnection,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => finish(false), timeoutMs);
    const look = (): void => {
      if (peerConnection.connectionState === 'connected') finish(true);
      else if (isOver(peerConnection.connectionState)) finish(false);
    };
    const abort = (): void => finish(false);
    function finish(connected: boolean): void {
      clearTimeout(timer);
      peerConnection.removeEventListener('connectionstatechange', look);
      signal.removeEventListener('abort', abort);
      resolve(connected);
    }
    peerConnection.addEventListener('connectionstatechange', look);
    signal.addEventListener('abort', abort);
    if (signal.aborted) finish(false);
    else look();
  });
}

/** How the media of a connected session changed. */
export type MediaChange = 'gone' | 'silent' | 'flowing';

/**
 * Settles when the media is `gone` (the peer closed DTLS, ICE failed, or an abort) or, whichever is waited for, when
 * it is `silent` (no packet for `silenceMs`) or `flowing` (a packet came).
 * @param onQuiet called once for each time that packets stay out, long before it is silence
 */
export function untilMediaIs(
  wanted: 'silent' | 'flowing',
  peerConnection: RTCPeerConnection,
  silenceMs: number,
  signal: AbortSignal,
  onQuiet: () => void = () => undefined,
): Promise<MediaChange> {
  return new Promise((resolve) => {
    let lastBytes = -1;
    let lastChangeMs = performance.now();
    let isQuiet = false;
    const transport = peerConnection.getReceivers()[0]?.transport ?? null;
    const look = (): void => {
      const dtls = transport?.state;
      if (isOver(peerConnection.connectionState) || dtls === 'closed' || dtls === 'failed') finish('gone');
    };
    const compare = (bytes: number): void => {
      const flows = bytes !== lastBytes;
      if (flows && lastBytes >= 0 && wanted === 'flowing') finish('flowing');
      if (flows) {
        [lastBytes, lastChangeMs, isQuiet] = [bytes, performance.now(), false];
        return;
      }
      const quietMs = performance.now() - lastChangeMs;
      if (quietMs >= QUIET_AFTER_MS && !isQuiet) {
        isQuiet = true;
        onQuiet();
      }
      if (wanted === 'silent' && quietMs >= silenceMs) finish('silent');
    };
    const gone = (): void => finish('gone');
    const timer = setInterval(() => {
      void readMediaStats(peerConnection).then(({ bytes }) => compare(bytes), gone);
    }, STATS_EVERY_MS);
    function finish(change: MediaChange): void {
      clearInterval(timer);
      peerConnection.removeEventListener('connectionstatechange', look);
      transport?.removeEventListener('statechange', look);
      signal.removeEventListener('abort', gone);
      resolve(change);
    }
    peerConnection.addEventListener('connectionstatechange', look);
    transport?.addEventListener('statechange', look);
    signal.addEventListener('abort', gone);
    if (signal.aborted) gone();
    else look();
  });
}

function isOver(state: RTCPeerConnectionState): boolean {
  return state === 'failed' || state === 'closed';
}
