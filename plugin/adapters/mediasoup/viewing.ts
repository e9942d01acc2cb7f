/** One viewer: a WebRtcTransport and its consumers, from the answer to the end. */
import type { types } from 'mediasoup';
import type { EndReason } from '../../contract.ts';
import type { Offer } from '../../media/offer.ts';
import type { Log, MediaCounters, Viewing } from '../../ports.ts';
import { writeAnswer, type Sent } from './answer.ts';
import type { Chosen, Match } from './match.ts';
import type { Feed } from './stream.ts';

export interface StageViewing extends Viewing {
  /** SDP. */
  readonly answer: string;
  /** New ICE credentials of this end; candidates stay (RFC 8445 section 9). */
  restartIce(): Promise<{ ufrag: string; pwd: string }>;
}

export interface RunningViewing extends StageViewing {
  readonly consumers: number;
  /** Closes and tells the listener why. */
  leave(reason: EndReason): void;
}

export interface ViewingOptions {
  readonly router: types.Router;
  readonly webRtcServer: types.WebRtcServer;
  readonly offer: Offer;
  readonly match: Match;
  readonly feed: Feed;
  readonly mediaMs: () => number;
  /** Milliseconds for ICE and DTLS together. */
  readonly connectTimeoutMs: number;
  readonly consentTimeoutSeconds: number;
  readonly log: Log;
  /** Called once, at the end. */
  readonly onClosed: (viewing: RunningViewing) => void;
}

function capabilities({ section, codec }: Chosen, match: Match): types.RtpCapabilities {
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
    headerExtensions: section.headerExtensions.map(({ id, uri }) => ({
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
): Promise<Sent[]> {
  if (producer === undefined || chosen === undefined) return [];
  const consumer = await transport.consume({
    producerId: producer.id,
    rtpCapabilities: capabilities(chosen, match),
    mid: chosen.section.mid,
    paused: true,
    enableRtx: true, // That is: keep sent packets and answer NACKs, if the offer has them.
  });
  return [{ chosen, consumer }];
}

/** Opens the transport; media flows once the viewer has completed DTLS with the offered fingerprint. */
export async function openViewing(options: ViewingOptions): Promise<RunningViewing> {
  const { router, webRtcServer, offer, match, feed } = options;
  const transport = await router.createWebRtcTransport({
    webRtcServer,
    preferUdp: true,
    iceConsentTimeout: options.consentTimeoutSeconds,
  });
  try {
    await transport.connect({ dtlsParameters: { role: 'client', fingerprints: [{ ...offer.fingerprint }] } });
    const sent = [
      ...(await consume(transport, feed.video, match.video, match)),
      ...(await consume(transport, feed.audio, match.audio, match)),
    ];
    return runViewing(options, transport, sent);
  } catch (error) {
    transport.close();
    throw error;
  }
}

function runViewing(
  { offer, mediaMs, connectTimeoutMs, log, onClosed }: ViewingOptions,
  transport: types.WebRtcTransport,
  sent: readonly Sent[],
): RunningViewing {
  const consumers = sent.map(({ consumer }) => consumer);
  const answer = writeAnswer(offer, sent, transport);
  const first = Promise.withResolvers<undefined>();
  const gone = Promise.withResolvers<EndReason>();
  let firstMediaMs: number | undefined;
  let latest: MediaCounters = { mediaMs: 0, bytes: 0 };
  let final: Promise<MediaCounters> | undefined;

  /** Reads mediasoup's counters; what cannot be read any more keeps its last value. */
  async function read(): Promise<MediaCounters> {
    const carriedMs = firstMediaMs === undefined ? 0 : Math.max(0, mediaMs() - firstMediaMs);
    try {
      const stats = await Promise.all(consumers.map((consumer) => consumer.getStats()));
      const bytes = stats
        .flat()
        .reduce((sum, stat) => (stat.type === 'outbound-rtp' ? sum + stat.byteCount : sum), 0);
      latest = { mediaMs: Math.max(latest.mediaMs, carriedMs), bytes: Math.max(latest.bytes, bytes) };
    } catch {
      latest = { ...latest, mediaMs: Math.max(latest.mediaMs, carriedMs) };
    }
    return latest;
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
    async restartIce() {
      const { usernameFragment, password } = await transport.restartIce();
      return { ufrag: usernameFragment, pwd: password };
    },
    onFirstMedia: (listener) => void first.promise.then(listener),
    onGone: (listener) => void gone.promise.then(listener),
    counters: () => final ?? read(),
    close,
    leave,
  };
  return viewing;
}
