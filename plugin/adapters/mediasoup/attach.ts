/**
 * Streams of producers that the app made itself, on routers of its own. A DirectTransport beside each producer brings
 * its packets into this process, from where they go on as those of any other source.
 */
import { randomInt } from 'node:crypto';
import type { types } from 'mediasoup';
import type { Clock, Log, RtpInput, StageStream, VideoCodec } from '../../ports.ts';
import { formOf } from './codecs.ts';
import { createSplice, type Splice } from './splice.ts';
import { createStopwatch } from './stopwatch.ts';

/** What a stream is made of: one producer or both. */
export interface AttachedMedia {
  /** The router that the producers are on: mediasoup does not say of a producer where it is. */
  readonly router: types.Router;
  /** Opus. */
  readonly audio?: types.Producer | undefined;
  /** H.264, VP8, VP9 or AV1; of several simulcast layers the highest is shown. */
  readonly video?: types.Producer | undefined;
}

export interface Attachment {
  /**
   * Takes the stream off the stage; its viewings end with `source_ended`. The producers stay the app's. Idempotent, and
   * without effect once other producers have been attached at the path.
   */
  detach(): void;
}

export interface AttachmentsOptions {
  readonly openStream: (path: string, mediaMs: () => number) => StageStream;
  readonly clock: Clock;
  readonly log: Log;
  /** Milliseconds that a stream waits for other producers after its last has been closed. */
  readonly graceMs: number;
}

export interface Attachments {
  /**
   * Puts producers on the stage. Where there are some of their kind at the path already, these take their place and the
   * viewers go on; only another video codec or profile is another stream.
   * @throws TypeError for a codec that is not carried, a producer that is closed or not on the router, or a path that
   *   another source has
   */
  attach(path: string, media: AttachedMedia): Promise<Attachment>;
  close(): void;
}

/** One producer's packets, on their way here. */
interface Source {
  readonly transport: types.DirectTransport;
  readonly consumer: types.Consumer;
}

/** The stream's video or audio, whoever makes it. */
interface Lane {
  readonly splice: Splice;
  readonly input: RtpInput;
  /** The video's form; equal ones can follow each other. */
  readonly form: string;
  source: Source | undefined;
}

interface Attached {
  readonly stream: StageStream;
  readonly stopwatch: ReturnType<typeof createStopwatch>;
  readonly lanes: Map<types.MediaKind, Lane>;
  owner: Attachment | undefined;
  graceTimer: NodeJS.Timeout | undefined;
}

const PAYLOAD_TYPES = { video: 96, audio: 97 } as const;
const CLOCK_RATES = { video: 90_000, audio: 48_000 } as const;
/** Viewers cannot make the source send keyframes faster than this. */
const KEYFRAME_REQUEST_GAP_MS = 500;

/** The codec of a producer as the stage knows it. */
function videoCodecOf({ rtpParameters }: types.Producer): VideoCodec | undefined {
  const { mimeType = '', parameters = {} } = rtpParameters.codecs[0] ?? {};
  const named: Record<string, unknown> = parameters;
  const { 'profile-level-id': h264, 'profile-id': vp9, profile: av1 } = named;
  switch (mimeType.toLowerCase()) {
    case 'video/h264':
      // What mediasoup takes it for when it is not said; RFC 6184 would have Baseline.
      return { name: 'H264', profileLevelId: typeof h264 === 'string' ? h264 : '42e01f' };
    case 'video/vp8':
      return { name: 'VP8' };
    case 'video/vp9':
      return { name: 'VP9', profileId: Number(vp9 ?? 0) };
    case 'video/av1':
      return { name: 'AV1', profile: Number(av1 ?? 0) };
    default:
      return undefined;
  }
}

/** @throws TypeError saying what the stage does not carry */
function formKeyOf(kind: types.MediaKind, producer: types.Producer): string {
  const { mimeType = 'nothing', channels } = producer.rtpParameters.codecs[0] ?? {};
  if (producer.kind !== kind) throw new TypeError(`the ${kind} producer makes ${producer.kind}`);
  if (producer.closed) throw new TypeError(`the ${kind} producer is closed`);
  if (kind === 'audio') {
    if (mimeType.toLowerCase() === 'audio/opus' && channels === 2) return 'opus';
    throw new TypeError(`the stage carries Opus, not ${mimeType}`);
  }
  const codec = videoCodecOf(producer);
  const form = codec && formOf(codec);
  if (form === undefined) throw new TypeError(`the stage does not carry ${mimeType} of this profile`);
  return form.key;
}

/**
 * Has a producer consumed into this process.
 * @throws TypeError when it is not on the router
 */
async function openSource(router: types.Router, producer: types.Producer): Promise<Source> {
  // Neither RTX nor header extensions: the way here loses nothing, and extensions are for the one hop.
  const codecs = (router.rtpCapabilities.codecs ?? []).filter(({ mimeType }) => !/\/rtx$/i.test(mimeType));
  const wanted = { producerId: producer.id, rtpCapabilities: { codecs, headerExtensions: [] } };
  if (!router.canConsume(wanted)) throw new TypeError(`the ${producer.kind} producer is not on this router`);
  const transport = await router.createDirectTransport();
  try {
    // Of simulcast layers mediasoup takes the highest unless `preferredLayers` says otherwise.
    return { transport, consumer: await transport.consume({ ...wanted, paused: true }) };
  } catch (error) {
    transport.close();
    throw error;
  }
}

/** Asks at once, and then at most every so often. */
function createKeyframeRequester(ask: () => void, clock: Clock): () => void {
  let lastMs = -Infinity;
  let timer: NodeJS.Timeout | undefined;
  return () => {
    if (timer !== undefined) return;
    const waitMs = Math.max(0, lastMs + KEYFRAME_REQUEST_GAP_MS - clock.monotonicMs());
    timer = setTimeout(() => {
      timer = undefined;
      lastMs = clock.monotonicMs();
      ask();
    }, waitMs);
    timer.unref();
  };
}

export function createAttachments({ openStream, clock, log, graceMs }: AttachmentsOptions): Attachments {
  const streams = new Map<string, Attached>();
  /** One after the other, so that two for one path do not meet half way. */
  let queue: Promise<unknown> = Promise.resolve();

  function end(path: string, attached: Attached): void {
    if (streams.get(path) !== attached) return;
    streams.delete(path);
    clearTimeout(attached.graceTimer);
    attached.stream.close();
    for (const { source } of attached.lanes.values()) source?.transport.close();
  }

  function open(path: string): Attached {
    const stopwatch = createStopwatch(clock);
    const stream = openStream(path, stopwatch.elapsedMs);
    const attached: Attached = {
      stream,
      stopwatch,
      lanes: new Map(),
      owner: undefined,
      graceTimer: undefined,
    };
    streams.set(path, attached);
    return attached;
  }

  async function addLane({ stream, lanes }: Attached, producer: types.Producer, form: string): Promise<Lane> {
    const { kind } = producer;
    const common = { ssrc: randomInt(1, 0x1_0000_0000), payloadType: PAYLOAD_TYPES[kind] };
    const requestKeyframe = createKeyframeRequester(() => {
      const consumer = lanes.get(kind)?.source?.consumer;
      // It may be closed while it is asked.
      if (consumer?.closed === false) consumer.requestKeyFrame().catch(() => undefined);
    }, clock);
    const codec = videoCodecOf(producer);
    const input =
      codec === undefined
        ? await stream.addAudio(common)
        : await stream.addVideo({ ...common, codec, onKeyframeRequest: requestKeyframe });
    const splice = createSplice({ ...common, clockRate: CLOCK_RATES[kind], nowMs: clock.monotonicMs });
    const lane: Lane = { splice, input, form, source: undefined };
    lanes.set(kind, lane);
    return lane;
  }

  /** From here on the lane carries this source's packets. */
  async function connect(path: string, attached: Attached, lane: Lane, source: Source): Promise<void> {
    const { transport, consumer } = source;
    lane.source?.transport.close();
    lane.source = source;
    const { input } = lane;
    const spliced = lane.splice.next(consumer.rtpParameters.encodings?.[0]?.ssrc ?? 0);
    consumer.on('rtp', (packet) => {
      const own = lane.source === source ? spliced.rtp(packet) : undefined;
      if (own === undefined) return;
      attached.stopwatch.tick();
      input.sendRtp(own);
    });
    transport.on('rtcp', (packet) => {
      const own = lane.source === source ? spliced.senderReport(packet) : undefined;
      if (own !== undefined) input.sendRtcp(own);
    });
    const lose = (): void => {
      transport.close();
      if (lane.source !== source) return;
      lane.source = undefined;
      if ([...attached.lanes.values()].some((each) => each.source !== undefined)) return;
      log.info({ path }, 'the producers of a stream have been closed');
      attached.graceTimer = setTimeout(() => end(path, attached), graceMs);
      attached.graceTimer.unref();
    };
    consumer.on('producerclose', lose);
    transport.on('routerclose', lose);
    await consumer.resume(); // The worker asks for a keyframe by itself.
  }

  /** True when the new producers can go on where those of the stream left off. */
  const goesOn = ({ lanes }: Attached, forms: ReadonlyMap<types.MediaKind, string>): boolean =>
    [...forms].every(([kind, form]) => (lanes.get(kind)?.form ?? form) === form);

  async function attach(path: string, { router, audio, video }: AttachedMedia): Promise<Attachment> {
    const producers = [video, audio].filter((producer) => producer !== undefined);
    if (producers.length === 0) throw new TypeError('there is no producer to attach');
    const forms = new Map<types.MediaKind, string>();
    if (video !== undefined) forms.set('video', formKeyOf('video', video));
    if (audio !== undefined) forms.set('audio', formKeyOf('audio', audio));

    let attached: Attached | undefined;
    const opened: { producer: types.Producer; source: Source }[] = [];
    try {
      for (const producer of producers) {
        opened.push({ producer, source: await openSource(router, producer) });
      }
      const before = streams.get(path);
      if (before !== undefined && !goesOn(before, forms)) {
        log.info({ path }, 'the codec of a stream has changed: it starts anew');
        end(path, before);
      }
      const stream = (attached = streams.get(path) ?? open(path));
      clearTimeout(stream.graceTimer);
      const owner: Attachment = {
        detach() {
          if (stream.owner === owner) end(path, stream);
        },
      };
      stream.owner = owner;
      for (const { producer, source } of opened) {
        const form = forms.get(producer.kind) ?? '';
        const lane = stream.lanes.get(producer.kind) ?? (await addLane(stream, producer, form));
        await connect(path, stream, lane, source);
      }
      return owner;
    } catch (error) {
      // Half a stream is none.
      if (attached !== undefined) end(path, attached);
      for (const { source } of opened) source.transport.close();
      throw error;
    }
  }

  return {
    attach(path, media) {
      const turn = queue.then(() => attach(path, media));
      queue = turn.catch(() => undefined);
      return turn;
    },
    close() {
      for (const [path, attached] of [...streams]) end(path, attached);
    },
  };
}
