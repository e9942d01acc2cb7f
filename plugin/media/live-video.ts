/**
 * The video of a live stream: the publisher's H.264 as it is where viewers can be shown it, made anew where they cannot.
 * What is published stays one rendition for its viewers even while its pictures come from the re-encoder: constrained
 * baseline is shown by every decoder of H.264.
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
import { createGopCache, type SourcePicture } from './gop.ts';
import { createPictureOrder } from './picture-order.ts';
import { createReencoder, type Reencoder } from './reencoder.ts';
import type { ReencodedCodec } from './reencoder-formats.ts';
import { createVideoTrack, type TrackContext, type TrackCodec, type VideoTrack } from './rtp-tracks.ts';
import { avcTrack, enhancedTrack, needsRecord, videoLabel } from './source-formats.ts';

/** `off`: what WebRTC viewers cannot be shown is refused. */
export type Reencoding = 'auto' | 'off';

export interface LiveVideoOptions {
  /** Stream path, for the log. */
  readonly path: string;
  readonly reencode: Reencoding;
  readonly ffmpegPath: string;
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
  /** profile_idc and constraints: what viewers have agreed to. */
  readonly profile: string;
  passesThrough: boolean;
}

const NAL_SPS = 7;
const NAL_PPS = 8;
/** Constrained baseline, level 3.1 in name (browsers decode more). */
const REENCODED_PROFILE = '42e01f';

const typeOf = (nal: Buffer): number => (nal[0] ?? 0) & 0x1f;
/** Without the level, which decoders do not ask for. */
const profileOf = (profileLevelId: string): string => profileLevelId.slice(0, 4);

export function createLiveVideo(options: LiveVideoOptions): LiveVideo {
  const { path, reencode, log } = options;
  const gop = createGopCache();
  const order = createPictureOrder();

  let published: Published | undefined;
  const renditions = new Map<ReencodedCodec, Rendition>();
  /** What comes in. */
  let source: MatroskaTrack | undefined;
  let sourceKey: Buffer | undefined;
  /** H.264 only. */
  let avc: Pick<AvcConfig, 'sps' | 'pps' | 'profileLevelId'> | undefined;
  let madeSets: readonly Buffer[] = [];
  let refused: string | null = null;
  const warned = new Set<string>();

  function createOne(codec: ReencodedCodec): Reencoder {
    return createReencoder({
      ...options,
      codec,
      gop,
      onParameterSets(sets) {
        if (codec !== 'H264') return;
        madeSets = sets;
        renditions.get('H264')?.track.setParameterSets(sets);
        if (published?.passesThrough === false) published.track.setParameterSets(sets);
      },
      onPicture(picture) {
        const rendition = renditions.get(codec);
        if (rendition?.watched === true) rendition.track.send(picture);
        if (codec === 'H264' && publishedNeeds()) published?.track.send(picture);
      },
    });
  }

  const reencoders: ReadonlyMap<ReencodedCodec, Reencoder> =
    reencode === 'off'
      ? new Map()
      : new Map((['H264', 'VP8'] as const).map((codec) => [codec, createOne(codec)]));

  const publishedNeeds = (): boolean => published?.passesThrough === false && published.watched;

  function updateNeeds(): void {
    for (const [codec, reencoder] of reencoders) {
      const isWatched = renditions.get(codec)?.watched === true;
      reencoder.want(isWatched || (codec === 'H264' && publishedNeeds()));
    }
  }

  function createRendition(codec: VideoCodec & { name: TrackCodec }, onDemand: boolean): Rendition {
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

  function publish(profileLevelId: string): void {
    published = Object.assign(createRendition({ name: 'H264', profileLevelId }, false), {
      profile: profileOf(profileLevelId),
      passesThrough: true,
    });
  }

  /** Another source takes another child; nothing of the old one can be decoded with the new configuration. */
  function setSource(key: Buffer, make: () => MatroskaTrack): void {
    if (sourceKey?.equals(key) === true) return;
    sourceKey = key;
    source = make();
    gop.clear();
    order.restart();
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

  /** The profile that the publisher's configuration, or a keyframe of his, has. */
  function showAvc(next: NonNullable<typeof avc>): void {
    avc = next;
    const track = avcTrack(next);
    setSource(track.codecPrivate, () => track);
    showProfile(next.profileLevelId);
    addReencoded();
    if (published?.passesThrough === true) published.track.setParameterSets([...next.sps, ...next.pps]);
  }

  /** Viewers settle on a profile once: another one is another rendition, and while they watch this one it is made anew. */
  function showProfile(profileLevelId: string): void {
    const profile = profileOf(profileLevelId);
    if (published?.profile === profile || (reencode === 'auto' && published?.watched === true)) return;
    if (published !== undefined) {
      log.info({ path, from: published.profile, to: profile }, 'the video profile has changed');
      if (reencode === 'off') options.startAnew();
      else published.track.close();
    }
    publish(profileLevelId);
  }

  function isPassable(): boolean {
    return avc !== undefined && published?.profile === profileOf(avc.profileLevelId) && !order.mayBeMixed();
  }

  /** Where the pictures of the published rendition come from; back to the publisher only with a keyframe of his. */
  function chooseOrigin(keyframe: boolean): void {
    if (reencode === 'off')
      return refuse(order.isMixed() ? 'the video has B-frames, and re-encoding is off' : null);
    if (keyframe && avc !== undefined) showProfile(avc.profileLevelId);
    if (published === undefined) return;
    const passable = isPassable();
    if (passable === published.passesThrough || (passable && !keyframe)) return;
    published.passesThrough = passable;
    published.track.startAnew();
    published.track.setParameterSets(passable && avc !== undefined ? [...avc.sps, ...avc.pps] : madeSets);
    log.debug({ path, passesThrough: passable }, 'the origin of the published rendition has changed');
    updateNeeds();
  }

  /** Sets in the keyframe itself may differ from those of the configuration. */
  function takeSetsInBand({ nals }: AccessUnit): void {
    const sps = nals.filter((nal) => typeOf(nal) === NAL_SPS);
    const [first] = sps;
    const profileLevelId = first === undefined ? undefined : profileLevelIdOf(first);
    if (profileLevelId === undefined || avc === undefined) return;
    const own = nals.filter((nal) => typeOf(nal) === NAL_PPS);
    showAvc({ sps, pps: own.length > 0 ? own : avc.pps, profileLevelId });
  }

  function configure(codec: EnhancedVideoCodec, record: Buffer): void {
    avc = undefined;
    setSource(Buffer.concat([Buffer.from(codec), record]), () => enhancedTrack(codec, record));
    if (reencode === 'off') refuse(`the video is ${videoLabel(codec)}, and re-encoding is off`);
    else addReencoded();
  }

  function take(picture: SourcePicture, compositionMs: number, tagBytes: number): void {
    order.take(picture.presentationMs, compositionMs, picture.keyframe);
    if (reencode === 'auto') gop.add(picture, tagBytes);
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
      const picture = { units: unit.nals, presentationMs, keyframe: unit.keyframe };
      take(picture, unit.compositionMs, tagBytes);
      if (published?.passesThrough === true) published.track.send(picture);
      reencodeIfNeeded(picture);
    },
    configure,
    push({ codec, keyframe, compositionMs, data }, dtsMs, tagBytes) {
      if (source === undefined || avc !== undefined) {
        if (needsRecord(codec)) return;
        configure(codec, Buffer.alloc(0));
      }
      if (reencode === 'off') return;
      const picture = { units: [data], presentationMs: dtsMs + compositionMs, keyframe };
      take(picture, compositionMs, tagBytes);
      reencodeIfNeeded(picture);
    },
    restart() {
      gop.clear();
      order.restart();
    },
    leave() {
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
