/** What a stream has and an offer can take. */
import { Denial } from '../../errors.ts';
import type { Offer, OfferCodec, OfferMedia } from '../../media/offer.ts';
import { profileOf, SHOWN_BY, type H264Profile } from './h264.ts';

export interface Tracks {
  /** `undefined` without video. */
  readonly profileLevelId: string | undefined;
  readonly hasAudio: boolean;
}

export interface Chosen {
  readonly section: OfferMedia;
  readonly codec: OfferCodec;
}

export interface Match {
  readonly video: Chosen | undefined;
  readonly audio: Chosen | undefined;
  /** Identifies the payload types of the router that can serve this offer. */
  readonly profile: RouterProfile;
}

/** The codecs of a router; consumers send with exactly these payload types. */
export interface RouterProfile {
  readonly video: { readonly h264: H264Profile; readonly payloadType: number } | undefined;
  readonly audio: { readonly payloadType: number } | undefined;
}

function find(
  offer: Offer,
  kind: 'audio' | 'video',
  fits: (codec: OfferCodec) => boolean,
): Chosen | undefined {
  for (const section of offer.media) {
    if (!section.wanted || section.kind !== kind) continue;
    const codec = section.codecs.find(fits);
    if (codec !== undefined) return { section, codec };
  }
  return undefined;
}

const isOpus = ({ name, clockRate, channels }: OfferCodec): boolean =>
  name.toLowerCase() === 'opus' && clockRate === 48_000 && channels === 2;

/** RFC 6184 section 8.1: without a profile-level-id it is the Baseline profile. */
const offeredProfile = ({ parameters }: OfferCodec): H264Profile | undefined =>
  profileOf(parameters.get('profile-level-id') ?? '42000a');

/**
 * The offered H.264 that shows `profile`. Only packetization-mode 1 will do, since frames are sent as FU-A. Levels are
 * not compared: browsers always say 3.1 and decode more.
 */
function findH264(offer: Offer, profile: H264Profile): Chosen | undefined {
  for (const decoder of SHOWN_BY[profile]) {
    const chosen = find(
      offer,
      'video',
      (codec) =>
        codec.name.toLowerCase() === 'h264' &&
        codec.clockRate === 90_000 &&
        codec.parameters.get('packetization-mode') === '1' &&
        offeredProfile(codec) === decoder,
    );
    if (chosen !== undefined) return chosen;
  }
  return undefined;
}

/**
 * Chooses a section and a payload type for each kind that the viewer wants and the stream has. Of a kind that only one
 * of them has, nothing is sent; a kind that both have must match.
 * @throws Denial `offer_unsupported`, its detail naming what is missing.
 */
export function matchOffer(offer: Offer, tracks: Tracks): Match {
  const wants = (kind: 'audio' | 'video'): boolean =>
    offer.media.some((section) => section.wanted && section.kind === kind);
  const unsupported = (detail: string): Denial => new Denial('offer_unsupported', { detail });
  const { profileLevelId, hasAudio } = tracks;
  const h264 = profileLevelId === undefined ? undefined : profileOf(profileLevelId);

  const video = h264 === undefined ? undefined : findH264(offer, h264);
  if (profileLevelId !== undefined && wants('video') && video === undefined) {
    throw unsupported(`no H.264 profile ${profileLevelId.slice(0, 4)} in the offer`);
  }
  // Part of the router's profile even while the stream is silent, so that fewer routers serve more offers.
  const opus = find(offer, 'audio', isOpus);
  if (hasAudio && wants('audio') && opus === undefined) throw unsupported('no Opus in the offer');
  const audio = hasAudio ? opus : undefined;
  if (video === undefined && audio === undefined) {
    throw unsupported(hasAudio ? 'the stream has only audio' : 'the stream has only video');
  }
  if (video?.codec.payloadType === opus?.codec.payloadType) {
    throw new Denial('sdp_malformed', { detail: 'a payload type is used for two codecs' });
  }
  return {
    video,
    audio,
    profile: {
      video:
        h264 === undefined || video === undefined
          ? undefined
          : { h264, payloadType: video.codec.payloadType },
      audio: opus === undefined ? undefined : { payloadType: opus.codec.payloadType },
    },
  };
}
