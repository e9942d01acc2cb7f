/** A publisher's video as the re-encoder takes it, and as it is passed on. */
import type { VideoCodec } from '../ports.ts';
import {
  av1ProfileOf,
  isVp8Keyframe,
  isVp9Keyframe,
  parseAv1Config,
  readObus,
  vp9ProfileOf,
  type AvcConfig,
  type CodedPicture,
  type EnhancedVideoCodec,
  type MatroskaTrack,
} from '../rtp/index.ts';

const NONE = Buffer.alloc(0);

/** How FLV's codecs beside H.264 are called; what their configuration record is in Matroska. */
const FORMATS: Readonly<
  Record<EnhancedVideoCodec, { label: string; codecId: MatroskaTrack['codecId']; hasRecord: boolean }>
> = {
  H265: { label: 'H.265', codecId: 'V_MPEGH/ISO/HEVC', hasRecord: true },
  AV1: { label: 'AV1', codecId: 'V_AV1', hasRecord: true },
  VP8: { label: 'VP8', codecId: 'V_VP8', hasRecord: false },
  VP9: { label: 'VP9', codecId: 'V_VP9', hasRecord: false },
};

/** What viewers can be sent as it is. */
export interface PassedVideo {
  readonly codec: VideoCodec;
  /** For keyframes that bring none of their own. */
  readonly sets: readonly Buffer[];
}

/** A coded picture as RTP packs it. */
export interface PassedPicture {
  readonly units: readonly Buffer[];
  readonly keyframe: boolean;
  /** What a keyframe says that it is coded in. */
  readonly codec: VideoCodec | undefined;
}

interface Carriage {
  /**
   * What the configuration record says; `undefined` when it is empty.
   * @throws FormatError
   */
  readonly configure: (record: Buffer) => PassedVideo | undefined;
  /** @throws FormatError */
  readonly read: (picture: CodedPicture) => PassedPicture;
}

function vp9(profileId: number): VideoCodec {
  return { name: 'VP9', profileId };
}

/** Of Enhanced RTMP's codecs, those that the stage carries: mediasoup has no H.265. */
const CARRIAGES: Readonly<Partial<Record<EnhancedVideoCodec, Carriage>>> = {
  VP8: {
    configure: () => ({ codec: { name: 'VP8' }, sets: [] }),
    read: ({ data }) => ({ units: [data], keyframe: isVp8Keyframe(data), codec: { name: 'VP8' } }),
  },
  VP9: {
    // VPCodecConfigurationRecord: the profile follows version and flags; it has two bits in the frames.
    configure: (record) => (record.length === 0 ? undefined : { codec: vp9((record[4] ?? 0) & 3), sets: [] }),
    read({ data }) {
      const keyframe = isVp9Keyframe(data);
      return { units: [data], keyframe, codec: keyframe ? vp9(vp9ProfileOf(data)) : undefined };
    },
  },
  AV1: {
    configure(record) {
      const { profile, sequenceHeader } = parseAv1Config(record);
      const sets = sequenceHeader === undefined ? [] : [Buffer.from(sequenceHeader)];
      return { codec: { name: 'AV1', profile }, sets };
    },
    read({ data, keyframe }) {
      const units = readObus(data);
      const profile = keyframe ? av1ProfileOf(units) : undefined;
      return { units, keyframe, codec: profile === undefined ? undefined : { name: 'AV1', profile } };
    },
  },
};

/** How what is coded so goes to viewers; `undefined` when it cannot. */
export function carriageOf(codec: EnhancedVideoCodec): Carriage | undefined {
  return CARRIAGES[codec];
}

/** What viewers have agreed to: the codec and its profile. Levels are left out, which decoders do not ask for. */
export function formOf(codec: VideoCodec): string {
  switch (codec.name) {
    case 'H264':
      return `H.264 ${codec.profileLevelId.slice(0, 4)}`;
    case 'VP8':
      return 'VP8';
    case 'VP9':
      return `VP9 ${codec.profileId}`;
    case 'AV1':
      return `AV1 ${codec.profile}`;
  }
}

/** For people. */
export function videoLabel(codec: EnhancedVideoCodec): string {
  return FORMATS[codec].label;
}

export function enhancedTrack(codec: EnhancedVideoCodec, record: Buffer): MatroskaTrack {
  const { codecId, hasRecord } = FORMATS[codec];
  return { codecId, codecPrivate: hasRecord ? Buffer.from(record) : NONE };
}

/** True for pictures that follow each other without a configuration record in front. */
export function needsRecord(codec: CodedPicture['codec']): boolean {
  return FORMATS[codec].hasRecord;
}

function lengthPrefixed(sets: readonly Buffer[]): Buffer[] {
  return sets.flatMap((set) => [Buffer.from([set.length >> 8, set.length & 0xff]), set]);
}

/**
 * H.264 with NAL units behind four bytes of length, as `trackPicture` writes them: an AVCDecoderConfigurationRecord
 * (ISO/IEC 14496-15 section 5.2.4.1) without the extension of the High profiles, which decoders read from the SPS.
 */
export function avcTrack({ sps, pps }: Pick<AvcConfig, 'sps' | 'pps'>): MatroskaTrack {
  const profile = sps[0]?.subarray(1, 4) ?? Buffer.alloc(3);
  return {
    codecId: 'V_MPEG4/ISO/AVC',
    codecPrivate: Buffer.concat([
      Buffer.from([1]),
      profile,
      Buffer.from([0xff, 0xe0 | sps.length]),
      ...lengthPrefixed(sps),
      Buffer.from([pps.length]),
      ...lengthPrefixed(pps),
    ]),
  };
}

/** A picture's units as the track has them. */
export function trackPicture({ codecId }: MatroskaTrack, units: readonly Buffer[]): readonly Buffer[] {
  if (codecId !== 'V_MPEG4/ISO/AVC') return units;
  return units.flatMap((nal) => {
    const length = Buffer.allocUnsafe(4);
    length.writeUInt32BE(nal.length);
    return [length, nal];
  });
}
