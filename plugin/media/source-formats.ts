/** A publisher's video as the re-encoder takes it. */
import type { AvcConfig, CodedPicture, EnhancedVideoCodec, MatroskaTrack } from '../rtp/index.ts';

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
