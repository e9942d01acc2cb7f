/** What a stream has and an offer can take. */
import { Denial } from '../../errors.ts';
import type { Offer, OfferCodec, OfferMedia } from '../../media/offer.ts';
import type { VideoForm } from './codecs.ts';

export interface Rendition {
  readonly form: VideoForm;
  /** Made only while it is watched: better none of these, if there is a choice. */
  readonly onDemand: boolean;
}

export interface Tracks<R extends Rendition = Rendition> {
  /** Empty without video. */
  readonly video: readonly R[];
  /** Why nobody gets video; `null` when that is not so. */
  readonly videoRefusal: string | null;
  readonly hasAudio: boolean;
}

export interface Chosen {
  readonly section: OfferMedia;
  readonly codec: OfferCodec;
}

export interface Match<R extends Rendition = Rendition> {
  readonly video: (Chosen & { readonly rendition: R }) | undefined;
  readonly audio: Chosen | undefined;
  /** Identifies the payload types of the router that can serve this offer. */
  readonly profile: RouterProfile;
}

/** The codecs of a router; consumers send with exactly these payload types. */
export interface RouterProfile {
  readonly video: { readonly form: VideoForm; readonly payloadType: number } | undefined;
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

/** The offered codec that shows a rendition best. */
function findVideo<R extends Rendition>(offer: Offer, rendition: R): Match<R>['video'] {
  const { mimeType, shownBy } = rendition.form;
  for (const shows of shownBy) {
    const chosen = find(
      offer,
      'video',
      (codec) =>
        `video/${codec.name}`.toLowerCase() === mimeType.toLowerCase() &&
        codec.clockRate === 90_000 &&
        shows(codec),
    );
    if (chosen !== undefined) return { ...chosen, rendition };
  }
  return undefined;
}

/** The first rendition that the offer can take; those that exist anyway come before those made on demand. */
function chooseVideo<R extends Rendition>(offer: Offer, renditions: readonly R[]): Match<R>['video'] {
  for (const onDemand of [false, true]) {
    for (const rendition of renditions) {
      const found = rendition.onDemand === onDemand ? findVideo(offer, rendition) : undefined;
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

/**
 * Chooses a section and a payload type for each kind that the viewer wants and the stream has. Of a kind that only one
 * of them has, nothing is sent; a kind that both have must match.
 * @throws Denial `offer_unsupported`, its detail naming what is missing.
 */
export function matchOffer<R extends Rendition>(offer: Offer, tracks: Tracks<R>): Match<R> {
  const wants = (kind: 'audio' | 'video'): boolean =>
    offer.media.some((section) => section.wanted && section.kind === kind);
  const unsupported = (detail: string): Denial => new Denial('offer_unsupported', { detail });
  const { video: renditions, videoRefusal, hasAudio } = tracks;

  if (videoRefusal !== null && wants('video')) throw unsupported(videoRefusal);
  const video = chooseVideo(offer, renditions);
  if (renditions.length > 0 && wants('video') && video === undefined) {
    throw unsupported(`no ${renditions.map(({ form }) => form.label).join(' or ')} in the offer`);
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
        video === undefined
          ? undefined
          : { form: video.rendition.form, payloadType: video.codec.payloadType },
      audio: opus === undefined ? undefined : { payloadType: opus.codec.payloadType },
    },
  };
}
