/** Routers by offer profile: a consumer sends with its router's payload types, which must be those of the offer. */
import type { types } from 'mediasoup';
import { Denial } from '../../errors.ts';
import type { VideoForm } from './codecs.ts';
import type { RouterProfile } from './match.ts';

export interface RouterLease {
  readonly router: types.Router;
  /** Idempotent. */
  release(): void;
}

export interface RouterPool {
  /** @throws Denial `overloaded` when every router of a full pool is in use. */
  lease(profile: RouterProfile): Promise<RouterLease>;
  size(): number;
  close(): void;
}

interface Entry {
  readonly router: Promise<types.Router>;
  uses: number;
}

const videoCodec = ({ mimeType, parameters }: VideoForm): types.RouterRtpCodecCapability => ({
  kind: 'video',
  mimeType,
  clockRate: 90_000,
  parameters: { ...parameters, ...(mimeType === 'video/H264' ? { 'level-asymmetry-allowed': 1 } : {}) },
});

const opusCodec = (): types.RouterRtpCodecCapability => ({
  kind: 'audio',
  mimeType: 'audio/opus',
  clockRate: 48_000,
  channels: 2,
});

function codecsOf({ video, audio }: RouterProfile): types.RouterRtpCodecCapability[] {
  // Audio comes first: mediasoup gives each video codec an RTX payload type of its own choice from those not yet
  // taken, which would otherwise collide with the offer's. It cannot be told which: so there is no RTX, and lost
  // packets are sent again as they were (NACK without RTX, RFC 4585).
  return [
    ...(audio === undefined ? [] : [{ ...opusCodec(), preferredPayloadType: audio.payloadType }]),
    ...(video === undefined ? [] : [{ ...videoCodec(video.form), preferredPayloadType: video.payloadType }]),
  ];
}

export function createRouterPool(worker: types.Worker, maxRouters: number): RouterPool {
  /** Least recently leased first. */
  const entries = new Map<string, Entry>();

  function close(key: string, entry: Entry): void {
    entries.delete(key);
    entry.router.then(
      (router) => router.close(),
      () => undefined,
    );
  }

  function makeRoom(): void {
    if (entries.size < maxRouters) return;
    for (const [key, entry] of entries) {
      if (entry.uses === 0) return close(key, entry);
    }
    throw new Denial('overloaded', { detail: 'too many different offers at once' });
  }

  return {
    async lease(profile) {
      const { video, audio } = profile;
      const key = `${video?.form.key ?? ''}:${video?.payloadType ?? ''}:${audio?.payloadType ?? ''}`;
      let entry = entries.get(key);
      if (entry === undefined) {
        makeRoom();
        entry = { router: worker.createRouter({ mediaCodecs: codecsOf(profile) }), uses: 0 };
      }
      const leased = entry;
      leased.uses += 1;
      entries.delete(key);
      entries.set(key, leased);
      let released = false;
      const release = (): void => {
        if (!released) leased.uses -= 1;
        released = true;
      };
      try {
        return { router: await leased.router, release };
      } catch (error) {
        release();
        if (entries.get(key) === leased) entries.delete(key);
        throw error;
      }
    },
    size: () => entries.size,
    close() {
      for (const [key, entry] of entries) close(key, entry);
    },
  };
}
