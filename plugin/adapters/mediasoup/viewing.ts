/** One viewer: a WebRtcTransport and its consumers, from the answer to the end. */
import type { types } from 'mediasoup';
import type { EndReason } from '../../contract.ts';
import type { Offer } from '../../media/offer.ts';
import type { Clock, Log, MediaCounters, Viewing } from '../../ports.ts';
import type { Tier } from '../../rights/index.ts';
import { writeAnswer, type Sent } from './answer.ts';
import { createExcessWatch, requireWithin, type Known } from './layers.ts';
import { createLayerChoice } from './layer-choice.ts';
import type { Chosen, Match } from './match.ts';
import { createSignsOfLife, type SignsOfLife } from './signs-of-life.ts';
import type { Feed } from './stream.ts';

export interface StageViewing extends Viewing {
  /** SDP. */
  readonly answer: string;
  /** Layers of the video, simulcast or SVC, that the viewer may get: 1 where it has none. */
  readonly layers: number;
  /**
   * Sends no better layer than this one of the video from now on, 0 being the lowest; `null`: the best that the
   * viewer's network carries. It changes with the next keyframe, which is asked for. Without effect where there is one.
   * @throws TypeError (rejects with it) for what is no layer's number
   */
  limitLayer(layer: number | null): Promise<void>;
  /**
   * Sends nothing above these limits from now on: the best layer within them, and where the network is estimated not
   * more bits. It changes with the next keyframe, which is asked for. Without effect where there is one layer.
   */
  limit(tier: Tier): Promise<void>;
  /** New ICE credentials of this end; candidates stay (RFC 8445 section 9). */
  restartIce(): Promise<{ ufrag: string; pwd: string }>;
}

export interface RunningViewing extends StageViewing {
  readonly consumers: number;
  /** Closes and tells the listener why. */
  leave(reason: EndReason): void;
  /** Looks for signs of life where it is time to; to be called every second. */
  look(): void;
}

export interface ViewingOptions {
  readonly router: types.Router;
  readonly webRtcServer: types.WebRtcServer;
  readonly offer: Offer;
  readonly match: Match;
  readonly feed: Feed;
  readonly tier: Tier;
  readonly mediaMs: () => number;
  /** Milliseconds for ICE and DTLS together. */
  readonly connectTimeoutMs: number;
  /** Milliseconds without a sign of life after which the viewer has gone. */
  readonly silenceMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Called once, at the end. */
  readonly onClosed: (viewing: RunningViewing) => void;
}

/** What the bandwidth is estimated with: only of use where there is a layer to choose. */
const ESTIMATION = /abs-send-time$|transport-wide-cc/;

function capabilities({ section, codec }: Chosen, match: Match, isLayered: boolean): types.RtpCapabilities {
  const isVideo = section.kind === 'video';
  const form = isVideo ? match.video?.rendition.form : undefined;
  return {
    codecs: [
      {
        kind: isVideo ? 'video' : 'audio',
        mimeType: form?.mimeType ?? 'audio/opus',
        clockRate: codec.clockRate,
        preferredPayloadType: codec.payloadType,
        ...(isVideo ? {} : { channels: codec.channels }),
        // The stream's profile, which the offered one contains.
        parameters: { ...form?.parameters },
        rtcpFeedback: [...codec.rtcpFeedback],
      },
    ],
    headerExtensions: section.headerExtensions
      .filter(({ uri }) => isLayered || !ESTIMATION.test(uri))
      .map(({ id, uri }) => ({
        kind: isVideo ? 'video' : 'audio',
        uri: uri as types.RtpHeaderExtensionUri,
        preferredId: id,
      })),
  };
}

async function consume(
  transport: types.WebRtcTransport,
  producer: types.Producer | undefined,
  chosen: Chosen | undefined,
  match: Match,
  isLayered: boolean,
): Promise<Sent[]> {
  if (producer === undefined || chosen === undefined) return [];
  const consumer = await transport.consume({
    producerId: producer.id,
    rtpCapabilities: capabilities(chosen, match, isLayered),
    mid: chosen.section.mid,
    paused: true,
    enableRtx: true, // That is: keep sent packets and answer NACKs, if the offer has them.
  });
  return [{ chosen, consumer }];
}

const knownOf = ({ layers }: Feed): Known => ({ video: layers.video(), audio: layers.audio() });

/** Opens the transport; media flows once the viewer has completed DTLS with the offered fingerprint. */
export async function openViewing(options: ViewingOptions): Promise<RunningViewing> {
  const { router, webRtcServer, offer, match, feed, tier } = options;
  requireWithin(knownOf(feed), tier);
  const transport = await router.createWebRtcTransport({
    webRtcServer,
    preferUdp: true,
    // It would end viewers who send no checks once they are connected; see signs-of-life.ts.
    iceConsentTimeout: 0,
  });
  try {
    await transport.connect({ dtlsParameters: { role: 'client', fingerprints: [{ ...offer.fingerprint }] } });
    const isLayered = feed.video !== undefined && feed.video.type !== 'simple';
    const sent = [
      ...(await consume(transport, feed.video, match.video, match, isLayered)),
      ...(await consume(transport, feed.audio, match.audio, match, isLayered)),
    ];
    const viewing = runViewing(options, transport, sent);
    await viewing.limit(tier);
    return viewing;
  } catch (error) {
    transport.close();
    throw error;
  }
}

const isOutbound = (stat: types.ConsumerStat | types.ProducerStat): stat is types.ConsumerStat =>
  stat.type === 'outbound-rtp';

/** Of scalability modes such as `L3T1`, which mediasoup's consumers of simulcast have as well. */
const layersOf = ({ rtpParameters }: types.Consumer): number =>
  Number(/^[LS]([1-9])T/.exec(rtpParameters.encodings?.[0]?.scalabilityMode ?? '')?.[1] ?? 1);

/** What the viewer's reports have said; times are measured to 15 us, so that no two reports are alike. */
const feedbackOf = (stat: types.ConsumerStat): string =>
  [stat.roundTripTime, stat.jitter, stat.packetsLost, stat.nackCount, stat.pliCount, stat.firCount].join(' ');

function runViewing(
  { offer, feed, mediaMs, connectTimeoutMs, silenceMs, clock, log, onClosed }: ViewingOptions,
  transport: types.WebRtcTransport,
  sent: readonly Sent[],
): RunningViewing {
  const consumers = sent.map(({ consumer }) => consumer);
  const video = consumers.find(({ kind }) => kind === 'video');
  const layers = video === undefined ? 1 : layersOf(video);
  const choice = createLayerChoice({ transport, video, layers, known: feed.layers.video });
  const findExcess = createExcessWatch(() => knownOf(feed), clock);
  let tier: Tier = {};
  const answer = writeAnswer(offer, sent, transport);
  const first = Promise.withResolvers<undefined>();
  const gone = Promise.withResolvers<EndReason>();
  let firstMediaMs: number | undefined;
  let latest: MediaCounters = { mediaMs: 0, bytes: 0 };
  let final: Promise<MediaCounters> | undefined;
  /** From DTLS on. */
  let signs: SignsOfLife | undefined;
  let looking = false;

  /** Reads mediasoup's counters; what cannot be read any more keeps its last value. */
  async function read(): Promise<MediaCounters> {
    const carriedMs = firstMediaMs === undefined ? 0 : Math.max(0, mediaMs() - firstMediaMs);
    try {
      const stats = await Promise.all(consumers.map((consumer) => consumer.getStats()));
      const outbound = stats.flat().filter(isOutbound);
      const bytes = outbound.reduce((sum, { byteCount }) => sum + byteCount, 0);
      signs?.note(outbound.map(feedbackOf).join(), bytes);
      latest = { mediaMs: Math.max(latest.mediaMs, carriedMs), bytes: Math.max(latest.bytes, bytes) };
    } catch {
      latest = { ...latest, mediaMs: Math.max(latest.mediaMs, carriedMs) };
    }
    return latest;
  }

  async function lookForSigns(now: SignsOfLife): Promise<void> {
    if (!now.isDue()) return;
    await read();
    if (!now.isSilent()) return;
    const [stat] = await transport.getStats();
    now.noteArrivals(stat?.bytesReceived ?? 0);
    if (now.isGone()) leave('viewer_left');
  }

  function look(): void {
    if (final === undefined) choice.look();
    const excess = final === undefined ? findExcess(tier) : undefined;
    if (excess !== undefined) {
      log.info({ detail: excess }, 'a stream has grown beyond the tier of a viewer');
      leave('above_tier');
    }
    if (signs === undefined || looking || final !== undefined) return;
    looking = true;
    lookForSigns(signs)
      .catch(() => undefined) // It has left while it was asked.
      .finally(() => (looking = false));
  }

  function close(): void {
    if (final !== undefined) return;
    clearTimeout(connectTimer);
    // The worker takes its requests in order: it answers this one, then stops. So the last values are exact.
    final = read();
    transport.close();
    onClosed(viewing);
  }

  function leave(reason: EndReason): void {
    if (final !== undefined) return;
    close();
    gone.resolve(reason);
  }

  function onPacket(): void {
    if (firstMediaMs !== undefined) return;
    firstMediaMs = mediaMs();
    first.resolve(undefined);
    for (const consumer of consumers) consumer.enableTraceEvent([]).catch(() => undefined);
  }

  /** DTLS is up: from here on packets can be encrypted for this viewer. */
  async function start(): Promise<void> {
    clearTimeout(connectTimer);
    signs = createSignsOfLife({ clock, silenceMs });
    try {
      await Promise.all(
        consumers.map(async (consumer) => {
          consumer.once('trace', onPacket);
          await consumer.enableTraceEvent(['rtp']);
          await consumer.resume(); // The worker asks for a key frame by itself.
        }),
      );
    } catch (error) {
      if (final !== undefined) return; // It has left in the meantime.
      log.error(
        { error: error instanceof Error ? error.message : 'unknown' },
        'a viewing could not be started',
      );
      leave('server_crashed');
    }
  }

  const connectTimer = setTimeout(() => leave('viewer_left'), connectTimeoutMs);
  connectTimer.unref();
  transport.on('dtlsstatechange', (state) => {
    if (state === 'connected') void start();
    if (state === 'failed' || state === 'closed') leave('viewer_left');
  });
  transport.on('icestatechange', (state) => {
    if (state === 'disconnected' || state === 'closed') leave('viewer_left');
  });
  for (const consumer of consumers) {
    consumer.on('producerclose', () => {
      if (consumers.every(({ closed }) => closed)) leave('source_ended');
    });
  }

  const viewing: RunningViewing = {
    answer,
    consumers: consumers.length,
    layers,
    async limitLayer(layer) {
      if (layer !== null && !(Number.isInteger(layer) && layer >= 0)) throw new TypeError('no such layer');
      if (final === undefined) await choice.limitLayer(layer);
    },
    async limit(next) {
      tier = next;
      if (final === undefined) await choice.limit(next);
    },
    async restartIce() {
      const { usernameFragment, password } = await transport.restartIce();
      return { ufrag: usernameFragment, pwd: password };
    },
    onFirstMedia: (listener) => void first.promise.then(listener),
    onGone: (listener) => void gone.promise.then(listener),
    counters: () => final ?? read(),
    close,
    leave,
    look,
  };
  return viewing;
}
