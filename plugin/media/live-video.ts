/**
 * The video of a live stream: the publisher's own as it is where viewers can be shown it, made anew where they cannot.
 * Published H.264 stays one rendition for its viewers even while its pictures come from the re-encoder: constrained
 * baseline is shown by every decoder of H.264. So does VP8; VP9 and AV1 are not made, and end with the stream.
 */
import type { ReencoderStatus } from '../contract.ts';
import type { Clock, Log, StageStream, VideoCodec } from '../ports.ts';
import {
  profileLevelIdOf,
  type AccessUnit,
  type AvcConfig,
  type CodedPicture,
  type EnhancedVideoCodec,
  type MatroskaTrack,
} from '../rtp/index.ts';
import { createBridge } from './bridge.ts';
import { createGopCache, type SourcePicture } from './gop.ts';
import { createPictureOrder } from './picture-order.ts';
import { createReencoder, type Reencoder } from './reencoder.ts';
import type { ReencodedCodec } from './reencoder-formats.ts';
import { createSourceRate } from './reencoder-rate.ts';
import { createVideoTrack, type TrackContext, type VideoTrack } from './rtp-tracks.ts';
import { createStartLimit } from './start-limit.ts';
import {
  avcTrack,
  carriageOf,
  enhancedTrack,
  formOf,
  needsRecord,
  videoLabel,
  type PassedVideo,
} from './source-formats.ts';

/** `off`: what WebRTC viewers cannot be shown is refused. */
export type Reencoding = 'auto' | 'off';

export interface LiveVideoOptions {
  /** Stream path, for the log. */
  readonly path: string;
  readonly reencode: Reencoding;
  readonly ffmpegPath: string;
  /** The most bits a second that a re-encoder makes. */
  readonly maxBits: number;
  readonly clock: Clock;
  readonly log: Log;
  /** The stream on the stage, opened at need. */
  readonly open: () => { readonly stream: StageStream; readonly context: TrackContext };
  /** Ends the stream on the stage: the viewers' decoders cannot go on with what comes now. Calls `leave`. */
  readonly startAnew: () => void;
}

export interface LiveVideo {
  configureAvc(config: AvcConfig): void;
  /**
   * @param dtsMs media time at which it is decoded
   * @param tagBytes size of the tag that it is a view of
   */
  pushAvc(unit: AccessUnit, dtsMs: number, tagBytes: number): void;
  configure(codec: EnhancedVideoCodec, record: Buffer): void;
  /** As `pushAvc`. */
  push(picture: CodedPicture, dtsMs: number, tagBytes: number): void;
  /** The publisher has come back, perhaps with another encoder; the viewers' renditions go on. */
  restart(): void;
  /** The stream on the stage has ended. */
  leave(): void;
  /** The re-encoders that are needed now. */
  reencoders(): ReencoderStatus[];
  close(): void;
}

interface Rendition {
  readonly track: VideoTrack;
  watched: boolean;
}

interface Published extends Rendition {
  readonly codec: VideoCodec;
  passesThrough: boolean;
}

/** A child takes about so long to start and to decode what a viewer came too late for. */
const BRIDGE_LEAD_MS = 300;
const NAL_SPS = 7;
const NAL_PPS = 8;
/** Constrained baseline, level 3.1 in name (browsers decode more). */
const REENCODED_PROFILE = '42e01f';

/**
 * Parameter sets of a keyframe that are kept: as many as a decoder record has, and far more bytes than encoders write.
 * They go in front of every keyframe without.
 */
const MAX_SPS = 31;
const MAX_PPS = 255;
const MAX_IN_BAND_BYTES = 8192;

const typeOf = (nal: Buffer): number => (nal[0] ?? 0) & 0x1f;

function isKept(sps: readonly Buffer[], pps: readonly Buffer[]): boolean {
  if (sps.length > MAX_SPS || pps.length > MAX_PPS) return false;
  return [...sps, ...pps].reduce((bytes, set) => bytes + set.length, 0) <= MAX_IN_BAND_BYTES;
}

export function createLiveVideo(options: LiveVideoOptions): LiveVideo {
  const { path, reencode, log } = options;
  const gop = createGopCache();
  const order = createPictureOrder();
  const sourceRate = createSourceRate();
  const bridge = createBridge({
    clock: options.clock,
    gop,
    reencoder: () => (published === undefined ? undefined : reencoderOf(published.codec)),
    send: (picture) => published?.track.send(picture),
    onNeed: () => updateNeeds(),
  });

  let published: Published | undefined;
  const renditions = new Map<ReencodedCodec, Rendition>();
  /** What comes in. */
  let source: MatroskaTrack | undefined;
  let sourceKey: Buffer | undefined;
  let incoming: 'H264' | EnhancedVideoCodec | undefined;
  /** The same as the stage carries it, if it does. */
  let passed: PassedVideo | undefined;
  /** H.264 only. */
  let avc: Pick<AvcConfig, 'sps' | 'pps' | 'profileLevelId'> | undefined;
  let madeSets: readonly Buffer[] = [];
  let refused: string | null = null;
  const warned = new Set<string>();
  const mayChange = createStartLimit();

  function createOne(codec: ReencodedCodec): Reencoder {
    return createReencoder({
      ...options,
      codec,
      gop,
      peakBits: sourceRate.peakBits,
      leadMs: () => (bridgeNeeds(codec) ? BRIDGE_LEAD_MS : 0),
      onParameterSets(sets) {
        if (codec !== 'H264') return;
        madeSets = sets;
        renditions.get('H264')?.track.setParameterSets(sets);
        if (published?.passesThrough === false && published.codec.name === 'H264') {
          published.track.setParameterSets(sets);
        }
      },
      onPicture(picture) {
        const rendition = renditions.get(codec);
        if (rendition?.watched === true) rendition.track.send(picture);
        if (published === undefined) return;
        if (bridgeNeeds(codec) && bridge.opensWith(picture)) setOrigin(published, false);
        if (publishedNeeds(codec)) published.track.send(picture);
      },
    });
  }

  const reencoders: ReadonlyMap<ReencodedCodec, Reencoder> =
    reencode === 'off'
      ? new Map()
      : new Map((['H264', 'VP8'] as const).map((codec) => [codec, createOne(codec)]));

  const publishedNeeds = (codec: ReencodedCodec): boolean =>
    published?.passesThrough === false && published.watched && published.codec.name === codec;
  const bridgeNeeds = (codec: ReencodedCodec): boolean =>
    bridge.isOpening() && published?.watched === true && published.codec.name === codec;
  const reencoderOf = ({ name }: VideoCodec): Reencoder | undefined =>
    name === 'H264' || name === 'VP8' ? reencoders.get(name) : undefined;

  function updateNeeds(): void {
    for (const [codec, reencoder] of reencoders) {
      const isWatched = renditions.get(codec)?.watched === true;
      reencoder.want(isWatched || publishedNeeds(codec) || bridgeNeeds(codec));
    }
  }

  function createRendition(codec: VideoCodec, onDemand: boolean): Rendition {
    const { stream, context } = options.open();
    const rendition: Rendition = {
      watched: false,
      track: createVideoTrack(context, codec.name, (parameters) =>
        stream.addVideo({
          ...parameters,
          codec,
          onDemand,
          onWatched(watched) {
            rendition.watched = watched;
            updateNeeds();
          },
          // What is made anew has a keyframe each second.
          ...(onDemand || reencoderOf(codec) === undefined ? {} : { onKeyframeRequest: bridge.request }),
        }),
      ),
    };
    return rendition;
  }

  function addReencoded(): void {
    if (reencode === 'off' || renditions.size > 0) return;
    const h264 = createRendition({ name: 'H264', profileLevelId: REENCODED_PROFILE }, true);
    h264.track.setParameterSets(madeSets);
    renditions.set('H264', h264).set('VP8', createRendition({ name: 'VP8' }, true));
  }

  /** Another source takes another child; nothing of the old one can be decoded with the new configuration. */
  function setSource(key: Buffer, make: () => MatroskaTrack): void {
    if (sourceKey?.equals(key) === true) return;
    sourceKey = key;
    source = make();
    gop.clear();
    order.restart();
    sourceRate.reset();
    for (const reencoder of reencoders.values()) reencoder.configure(source);
  }

  function refuse(reason: string | null): void {
    if (refused === reason) return;
    refused = reason;
    options.open().stream.refuseVideo(reason);
    if (reason === null || warned.has(reason)) return;
    warned.add(reason);
    log.warn({ path }, `${reason}: viewers are refused`);
  }

  /** What the publisher's configuration, or a keyframe of his, says. */
  function show(next: PassedVideo | undefined): void {
    passed = next;
    showPassed();
    addReencoded();
    if (next !== undefined && published?.passesThrough === true && isOfForm(next)) {
      published.track.setParameterSets(next.sets);
    }
  }

  function showAvc({ profileLevelId, ...sets }: NonNullable<typeof avc>): void {
    // They are views of a whole tag, which they would keep.
    const sps = sets.sps.map((set) => Buffer.from(set));
    const pps = sets.pps.map((set) => Buffer.from(set));
    avc = { sps, pps, profileLevelId };
    incoming = 'H264';
    const track = avcTrack(avc);
    setSource(track.codecPrivate, () => track);
    show({ codec: { name: 'H264', profileLevelId }, sets: [...sps, ...pps] });
  }

  /** True when who agreed to the published rendition can be shown this. */
  const isOfForm = ({ codec }: PassedVideo): boolean =>
    published !== undefined && formOf(published.codec) === formOf(codec);

  /**
   * Viewers settle on codec and profile once: others are another rendition, and while they watch this one it is made
   * anew, if it can be. A change that comes too soon after others waits for a keyframe.
   */
  function showPassed(): void {
    if (published !== undefined) {
      if (passed !== undefined && isOfForm(passed)) return;
      const { codec, watched, track } = published;
      if (watched && reencoderOf(codec) !== undefined) return;
      if (!mayChange(options.clock.monotonicMs())) return;
      const to = passed === undefined ? incoming : formOf(passed.codec);
      log.info({ path, from: formOf(codec), to }, 'the video codec or profile has changed');
      if (watched || reencode === 'off') options.startAnew();
      else track.close();
      published = undefined;
    }
    if (passed === undefined) return;
    const { codec } = passed;
    published = Object.assign(createRendition(codec, false), { codec, passesThrough: true });
    published.track.setParameterSets(passed.sets);
  }

  /** Only H.264 has such, of what is passed on. */
  const hasBFrames = (): boolean => incoming === 'H264' && order.isMixed();

  /** True when what comes in goes to those who watch the published rendition. */
  const isPassing = (): boolean =>
    published?.passesThrough === true && passed !== undefined && isOfForm(passed);

  function isPassable(): boolean {
    return passed !== undefined && isOfForm(passed) && !(incoming === 'H264' && order.mayBeMixed());
  }

  /** Where the pictures of the published rendition come from; back to the publisher only with a keyframe of his. */
  function chooseOrigin(keyframe: boolean): void {
    if (keyframe) showPassed();
    if (reencode === 'off')
      return refuse(hasBFrames() ? 'the video has B-frames, and re-encoding is off' : null);
    if (published === undefined) return;
    const passable = isPassable();
    if (passable === published.passesThrough || (passable && !keyframe)) return;
    bridge.end();
    setOrigin(published, passable);
  }

  /** What comes next of the published rendition is the publisher's, or the re-encoder's. */
  function setOrigin(of: Published, passesThrough: boolean): void {
    of.passesThrough = passesThrough;
    of.track.startAnew();
    of.track.setParameterSets(passesThrough && passed !== undefined ? passed.sets : madeSets);
    log.debug({ path, passesThrough }, 'the origin of the published rendition has changed');
    updateNeeds();
  }

  /** Sets in the keyframe itself may differ from those of the configuration. */
  function takeSetsInBand({ nals }: AccessUnit): void {
    const sps = nals.filter((nal) => typeOf(nal) === NAL_SPS);
    const [first] = sps;
    const profileLevelId = first === undefined ? undefined : profileLevelIdOf(first);
    if (profileLevelId === undefined || avc === undefined) return;
    const own = nals.filter((nal) => typeOf(nal) === NAL_PPS);
    if (!isKept(sps, own)) return;
    showAvc({ sps, pps: own.length > 0 ? own : avc.pps, profileLevelId });
  }

  function configure(codec: EnhancedVideoCodec, record: Buffer): void {
    const carriage = carriageOf(codec);
    const next = carriage?.configure(record);
    avc = undefined;
    incoming = codec;
    setSource(Buffer.concat([Buffer.from(codec), record]), () => enhancedTrack(codec, record));
    show(next);
    if (carriage === undefined && reencode === 'off') {
      refuse(`the video is ${videoLabel(codec)}, and re-encoding is off`);
    }
  }

  function take(picture: SourcePicture, compositionMs: number): void {
    order.take(picture.presentationMs, compositionMs, picture.keyframe);
    if (reencode === 'auto') gop.add(picture);
    sourceRate.add(picture.heldBytes, picture.presentationMs - compositionMs);
    if (picture.keyframe) bridge.keyframe(picture.presentationMs);
    chooseOrigin(picture.keyframe);
  }

  function reencodeIfNeeded(picture: SourcePicture): void {
    for (const reencoder of reencoders.values()) reencoder.push(picture);
  }

  return {
    configureAvc: showAvc,
    pushAvc(unit, dtsMs, tagBytes) {
      if (avc === undefined) return;
      if (unit.keyframe) takeSetsInBand(unit);
      const presentationMs = dtsMs + unit.compositionMs;
      const picture = { units: unit.nals, presentationMs, keyframe: unit.keyframe, heldBytes: tagBytes };
      take(picture, unit.compositionMs);
      if (isPassing()) bridge.pass(picture);
      reencodeIfNeeded(picture);
    },
    configure,
    push(coded, dtsMs, tagBytes) {
      const { codec, compositionMs, data } = coded;
      if (incoming !== codec) {
        if (needsRecord(codec)) return;
        configure(codec, Buffer.alloc(0));
      }
      const own = carriageOf(codec)?.read(coded);
      if (own?.codec !== undefined) show({ codec: own.codec, sets: passed?.sets ?? [] });
      if (reencode === 'off' && passed === undefined) return;
      const presentationMs = dtsMs + compositionMs;
      const keyframe = own?.keyframe ?? coded.keyframe;
      const picture = { units: [data], presentationMs, keyframe, heldBytes: tagBytes };
      take(picture, compositionMs);
      if (own !== undefined && isPassing()) bridge.pass({ ...picture, units: own.units });
      reencodeIfNeeded(picture);
    },
    restart() {
      gop.clear();
      order.restart();
      sourceRate.reset();
      bridge.restart();
    },
    leave() {
      bridge.end();
      for (const { track } of [published, ...renditions.values()].filter((one) => one !== undefined))
        track.close();
      published = undefined;
      renditions.clear();
      refused = null;
      updateNeeds();
    },
    reencoders: () =>
      [...reencoders.values()].map((reencoder) => reencoder.status()).filter((status) => status !== null),
    close() {
      for (const reencoder of reencoders.values()) reencoder.close();
    },
  };
}
