/** Video codecs as mediasoup and offers name them. */
import type { OfferCodec } from '../../media/offer.ts';
import type { VideoCodec } from '../../ports.ts';
import { CANONICAL, profileOf, SHOWN_BY, type H264Profile } from './h264.ts';

/** A codec with what tells it from its kin: two spellings of one profile must not become two routers. */
export interface VideoForm {
  /** Equal for equal forms. */
  readonly key: string;
  readonly mimeType: 'video/H264' | 'video/VP8' | 'video/VP9' | 'video/AV1';
  readonly parameters: Readonly<Record<string, string | number>>;
  /** For people. */
  readonly label: string;
  /** What decodes it, the closest first. */
  readonly shownBy: readonly ((offered: OfferCodec) => boolean)[];
}

/** RFC 6184 section 8.1: without a profile-level-id it is the Baseline profile. */
const offeredProfile = ({ parameters }: OfferCodec): H264Profile | undefined =>
  profileOf(parameters.get('profile-level-id') ?? '42000a');

/** Levels are not compared: browsers always say 3.1 and decode more. */
function h264Form(profileLevelId: string): VideoForm | undefined {
  const profile = profileOf(profileLevelId);
  if (profile === undefined) return undefined;
  return {
    key: `h264/${profile}`,
    mimeType: 'video/H264',
    parameters: { 'packetization-mode': 1, 'profile-level-id': CANONICAL[profile] },
    label: `H.264 profile ${profileLevelId.slice(0, 4)}`,
    shownBy: [
      // Only packetization-mode 1 will do, since frames are sent as FU-A.
      ...SHOWN_BY[profile].map(
        (decoder) => (offered: OfferCodec) =>
          offered.parameters.get('packetization-mode') === '1' && offeredProfile(offered) === decoder,
      ),
      // No parameters at all: GStreamer's habit, whose decoders take every profile and whose depayloader takes FU-A.
      // To the letter (RFC 6184 section 8.1) it would be Baseline in single NAL units, which nobody offers.
      ({ format }) => format === '',
    ],
  };
}

/** A codec whose profiles are numbers in one parameter of the format, 0 where it is absent. */
function numberedForm(name: 'VP9' | 'AV1', parameter: string, profile: number): VideoForm {
  return {
    key: `${name.toLowerCase()}/${profile}`,
    mimeType: `video/${name}`,
    parameters: { [parameter]: profile },
    label: `${name} profile ${profile}`,
    shownBy: [({ parameters }) => (parameters.get(parameter) ?? '0') === String(profile)],
  };
}

/** The form of a codec; `undefined` for an H.264 profile that is not known. */
export function formOf(codec: VideoCodec): VideoForm | undefined {
  switch (codec.name) {
    case 'H264':
      return h264Form(codec.profileLevelId);
    case 'VP8':
      return { key: 'vp8', mimeType: 'video/VP8', parameters: {}, label: 'VP8', shownBy: [() => true] };
    case 'VP9':
      return numberedForm('VP9', 'profile-id', codec.profileId);
    case 'AV1':
      return numberedForm('AV1', 'profile', codec.profile);
  }
}
