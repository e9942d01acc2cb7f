/**
 * Streams of producers that the app made itself, on routers of its own. A DirectTransport beside each producer brings
 * its packets into this process, from where they go on as those of any other source; or, if the app prefers so, only
 * while they are needed here, and the viewers get them without this process (direct.ts).
 */
import { randomBytes } from 'node:crypto';
import type { types } from 'mediasoup';
import type { EndReason, StreamStatus } from '../../contract.ts';
import type { Clock, Log } from '../../ports.ts';
import { buildSenderReport } from '../../rtp/index.ts';
import { createDirect } from './direct.ts';
import { healthOf, type Lane, type Strand } from './lanes.ts';
import { openLane } from './open-lane.ts';
import { formKeyOf, layersFor, layersOf, openSource, type Source } from './producers.ts';
import type { LiveStream } from './stream.ts';
import { createStopwatch } from './stopwatch.ts';

/** What a stream is made of: one producer or both. */
export interface AttachedMedia {
  /** The router that the producers are on: mediasoup does not say of a producer where it is. */
  readonly router: types.Router;
  /** Opus. */
  readonly audio?: types.Producer | undefined;
  /** H.264, VP8, VP9 or AV1; simulcast layers reach the viewers as such. */
  readonly video?: types.Producer | undefined;
  /**
   * True: the packets go from router to router in the workers and not by way of this process, which costs less CPU. But
   * viewers notice when other producers take the place of these: they have to ask for their media again, as those of a
   * worker that has died do, for which no access is taken; give both kinds again, for none of those before is kept. Nor
   * is where one kind is direct and the other, attached after it, is not.
   * Without effect where one of them has layers. Default false.
   */
  readonly direct?: boolean | undefined;
}

export interface Attachment {
  /**
   * Takes the stream off the stage; its viewings end with `source_ended`. The producers stay the app's. Idempotent, and
   * without effect once other producers have been attached at the path.
   */
  detach(): void;
}

export interface AttachmentsOptions {
  readonly openStream: (path: string, mediaMs: () => number) => LiveStream;
  readonly clock: Clock;
  readonly log: Log;
  /** Milliseconds that a stream waits for other producers after its last has been closed. */
  readonly graceMs: number;
  /** Told when a stream goes on or off the air. */
  readonly onChange: () => void;
}

export interface Attachments {
  /**
   * Puts producers on the stage. Where there are some of their kind at the path already, these take their place and the
   * viewers go on; only another video codec or profile is another stream, and where the ones or the others are `direct`
   * these always are. When that fails half way, the stream waits for others as if they had been closed; one that starts
   * anew ends.
   * @throws TypeError for a codec that is not carried, a producer that is closed or not on the router, or a path that
   *   another source has; Error when producers, stream or stage end meanwhile
   */
  attach(path: string, media: AttachedMedia): Promise<Attachment>;
  /** To be called every second: streams are measured, and their sender reports made. */
  look(): void;
  /** Those whose producers have not all been closed. */
  statuses(): AttachedStatus[];
  close(): void;
}

/** An attached stream, on the air. */
export type AttachedStatus = Omit<StreamStatus, 'viewers'>;

interface Attached {
  readonly stream: LiveStream;
  /** Of all its lanes. */
  readonly isDirect: boolean;
  readonly stopwatch: ReturnType<typeof createStopwatch>;
  readonly lanes: Map<types.MediaKind, Lane>;
  /** Unix seconds. */
  readonly onAirSince: number;
  owner: Attachment | undefined;
  graceTimer: NodeJS.Timeout | undefined;
}

/** How often streams are looked at. */
const LOOK_EVERY_MS = 1000;
/** A longer time without a packet is a gap in the media. */
const LONGEST_SILENCE_MS = 1000;
/** The same by counters: with one reading in which there was nothing new it is a gap. */
const LONGEST_COUNTED_SILENCE_MS = 1.5 * LOOK_EVERY_MS;
/** At first everything is seen, so that something is known of it. */
const FIRST_LOOK_MS = 3000;

const strandsOf = ({ lanes }: Attached): Strand[] => [...lanes.values()].flatMap(({ strands }) => strands);

export function createAttachments({
  openStream,
  clock,
  log,
  graceMs,
  onChange,
}: AttachmentsOptions): Attachments {
  const streams = new Map<string, Attached>();
  const cname = randomBytes(8).toString('hex');
  /** One after the other, so that two for one path do not meet half way. */
  let queue: Promise<unknown> = Promise.resolve();

  function end(path: string, attached: Attached, reason?: EndReason): void {
    if (streams.get(path) !== attached) return;
    streams.delete(path);
    clearTimeout(attached.graceTimer);
    onChange();
    attached.stream.close(reason);
    for (const { source } of strandsOf(attached)) source?.transport.close();
  }

  /**
   * DirectTransports have no timer for RTCP, so that no sender report comes with the packets. Without them mediasoup
   * does not know which pictures of two layers belong together, and changes no layer.
   */
  function report({ lanes }: Attached): void {
    const nowMs = clock.monotonicMs();
    for (const { input, strands, direct } of lanes.values()) {
      for (const { ssrc, splice, rate } of strands) {
        const progress = splice.progress();
        const { pictures = 0 } = progress ?? {};
        if (direct === undefined) rate.note(progress, nowMs);
        else rate.note({ ...direct.counted(), ...(direct.isHeard() ? { pictures } : {}) }, nowMs);
        if (progress === undefined || nowMs - progress.atMs > LOOK_EVERY_MS) continue;
        const ntpMs = clock.nowMs() - (nowMs - progress.atMs);
        input.sendRtcp(buildSenderReport({ ssrc, cname, ntpMs, ...progress }));
      }
    }
  }

  function count({ lanes, stopwatch }: Attached): void {
    for (const { direct } of lanes.values()) {
      direct?.count().then(
        (hasMore) => {
          if (hasMore) stopwatch.tick();
        },
        () => undefined, // It has gone while it was asked.
      );
    }
  }

  function open(path: string, isDirect: boolean): Attached {
    const stopwatch = isDirect
      ? createStopwatch(clock, LONGEST_COUNTED_SILENCE_MS, LOOK_EVERY_MS)
      : createStopwatch(clock, LONGEST_SILENCE_MS);
    const stream = openStream(path, stopwatch.elapsedMs);
    const attached: Attached = {
      stream,
      isDirect,
      stopwatch,
      lanes: new Map(),
      onAirSince: Math.floor(clock.nowMs() / 1000),
      owner: undefined,
      graceTimer: undefined,
    };
    streams.set(path, attached);
    return attached;
  }

  /** When no producer is left, the stream waits for others. */
  function waitIfBare(path: string, attached: Attached): void {
    if (streams.get(path) !== attached || attached.graceTimer !== undefined) return;
    if (strandsOf(attached).some(({ source }) => source !== undefined)) return;
    log.info({ path }, 'the producers of a stream have been closed');
    attached.graceTimer = setTimeout(() => end(path, attached), graceMs);
    attached.graceTimer.unref();
    onChange();
  }

  function stopWaiting(attached: Attached): void {
    clearTimeout(attached.graceTimer);
    attached.graceTimer = undefined;
  }

  /** From here on the strand carries this source's packets. */
  async function connect(
    path: string,
    attached: Attached,
    { input, direct }: Lane,
    strand: Strand,
    source: Source,
  ): Promise<void> {
    const { transport, consumer } = source;
    strand.source?.transport.close();
    strand.source = source;
    stopWaiting(attached); // The source before may have been lost since.
    const spliced = strand.splice.next();
    consumer.on('rtp', (packet) => {
      const own = strand.source === source ? spliced.rtp(packet) : undefined;
      if (own === undefined) return;
      if (direct === undefined) attached.stopwatch.tick();
      input.sendRtp(own);
    });
    const lose = (): void => {
      transport.close();
      if (strand.source !== source) return;
      strand.source = undefined;
      waitIfBare(path, attached);
    };
    consumer.on('producerclose', lose);
    transport.on('routerclose', lose);
    if (direct !== undefined) setTimeout(direct.hear(), FIRST_LOOK_MS).unref();
    await consumer.resume(); // The worker asks for a keyframe by itself.
    if (streams.get(path) !== attached) throw new Error('the stream has ended while it was attached to');
  }

  /** True when the new producers can go on where those of the stream left off, or beside them. */
  function goesOn(
    { lanes, isDirect }: Attached,
    forms: ReadonlyMap<types.MediaKind, string>,
    direct: boolean,
  ): boolean {
    if (isDirect !== direct) return false;
    if (isDirect) return [...forms.keys()].every((kind) => !lanes.has(kind));
    return [...forms].every(([kind, form]) => (lanes.get(kind)?.form ?? form) === form);
  }

  async function attach(path: string, media: AttachedMedia): Promise<Attachment> {
    const { router, audio, video } = media;
    const producers = [video, audio].filter((producer) => producer !== undefined);
    if (producers.length === 0) throw new TypeError('there is no producer to attach');
    const forms = new Map<types.MediaKind, string>();
    if (video !== undefined) forms.set('video', formKeyOf('video', video));
    if (audio !== undefined) forms.set('audio', formKeyOf('audio', audio));
    const isDirect = media.direct === true && producers.every(({ type }) => type === 'simple');

    let undo = (): void => undefined;
    const opened: { producer: types.Producer; sources: Source[] }[] = [];
    try {
      const before = streams.get(path);
      const kept = before !== undefined && goesOn(before, forms, isDirect) ? before.lanes : undefined;
      for (const producer of producers) {
        const sources: Source[] = [];
        opened.push({ producer, sources });
        const strands = kept?.get(producer.kind)?.strands.length ?? layersOf(producer);
        for (const layer of layersFor(producer, strands)) {
          sources.push(await openSource(router, producer, layer));
        }
      }
      if (streams.get(path) !== before) {
        // Its grace has ended meanwhile: what was opened may be too much or too little for another stream.
        for (const { transport } of opened.flatMap(({ sources }) => sources)) transport.close();
        return await attach(path, media);
      }
      if (before !== undefined && kept === undefined) {
        log.info({ path }, 'what a stream is made of has changed: it starts anew');
        end(path, before, before.isDirect || isDirect ? 'server_crashed' : 'source_ended');
      }
      const stream = streams.get(path) ?? open(path, isDirect);
      stopWaiting(stream);
      const { owner: ownerBefore } = stream;
      undo = () => {
        if (kept === undefined) return end(path, stream); // Half a stream is none.
        // The others go on: those of the other kind, or none until some come.
        stream.owner = ownerBefore;
        for (const strand of strandsOf(stream)) {
          if (strand.source?.transport.closed === true) strand.source = undefined;
        }
        waitIfBare(path, stream);
      };
      const owner: Attachment = {
        detach() {
          if (stream.owner === owner) end(path, stream);
        },
      };
      stream.owner = owner;
      for (const { producer, sources } of opened) {
        const form = forms.get(producer.kind) ?? '';
        const [source] = sources;
        const direct = isDirect && source !== undefined ? createDirect(router, source) : undefined;
        const lane =
          stream.lanes.get(producer.kind) ??
          (await openLane(stream.stream, producer, { form, direct, clock }));
        stream.lanes.set(producer.kind, lane);
        const pairs = lane.strands.flatMap((strand, index) => {
          const source = sources[index];
          return source === undefined ? [] : [{ strand, source }];
        });
        for (const { strand, source } of pairs) await connect(path, stream, lane, strand, source);
      }
      onChange();
      return owner;
    } catch (error) {
      for (const { transport } of opened.flatMap(({ sources }) => sources)) transport.close();
      undo();
      throw error;
    }
  }

  return {
    attach(path, media) {
      const turn = queue.then(() => attach(path, media));
      queue = turn.catch(() => undefined);
      return turn;
    },
    look() {
      for (const attached of streams.values()) {
        count(attached);
        report(attached);
      }
    },
    statuses() {
      const onAir = [...streams].filter(([, { graceTimer }]) => graceTimer === undefined);
      return onAir.map(([uri, { lanes, onAirSince }]) => ({ uri, onAirSince, health: healthOf(lanes) }));
    },
    close() {
      for (const [path, attached] of [...streams]) end(path, attached);
    },
  };
}
