/** Which layer of the video a viewer may get: by his ticket's tier, and by the app. Below that the network decides. */
import type { types } from 'mediasoup';
import type { Tier } from '../../rights/index.ts';
import { bestLayer, type Layer } from './layers.ts';

export interface LayerChoice {
  /** The app's own cap; `null` for none. */
  limitLayer(layer: number | null): Promise<void>;
  limit(tier: Tier): Promise<void>;
  /** To be called every second: layers' sizes and rates change. */
  look(): void;
}

export interface LayerChoiceOptions {
  readonly transport: Pick<types.WebRtcTransport, 'setMaxOutgoingBitrate'>;
  readonly video: Pick<types.Consumer, 'setPreferredLayers' | 'closed'> | undefined;
  /** Of the consumer; 1 where there is no choice. */
  readonly layers: number;
  /** What is known of them, the lowest first. */
  readonly known: () => readonly Layer[];
}

/** What sound may take beside a limit on video: the most that Opus makes (RFC 7587 section 6.1). */
const SOUND_BITS = 510_000;
/** mediasoup takes no less. */
const MIN_OUTGOING_BITS = 30_000;

export function createLayerChoice({ transport, video, layers, known }: LayerChoiceOptions): LayerChoice {
  let tier: Tier = {};
  let cap: number | null = null;
  /** What was set last; `null`: nothing was. */
  let chosen: number | null = null;
  let maxBitrate: number | undefined;

  function best(): number {
    const facts = known();
    // Of spatial layers nothing is known before the first keyframe.
    const within = facts.length === layers ? bestLayer(facts, tier, chosen) : layers - 1;
    return Math.min(within, cap ?? Infinity, layers - 1);
  }

  async function choose(): Promise<void> {
    if (video === undefined || layers === 1 || video.closed) return;
    const next = best();
    if (next === (chosen ?? layers - 1)) return;
    chosen = next;
    await video.setPreferredLayers({ spatialLayer: next });
  }

  return {
    async limitLayer(layer) {
      cap = layer;
      await choose();
    },
    async limit(next) {
      tier = next;
      await choose();
      if (layers === 1 || next.maxBitrate === maxBitrate) return;
      ({ maxBitrate } = next);
      const bits = maxBitrate === undefined ? 0 : maxBitrate + (next.audioBitrate ?? SOUND_BITS);
      await transport.setMaxOutgoingBitrate(bits === 0 ? 0 : Math.max(bits, MIN_OUTGOING_BITS));
    },
    look() {
      if (layers === 1 || (tier.maxHeight === undefined && tier.maxBitrate === undefined)) return;
      // It has left while it was asked.
      choose().catch(() => undefined);
    },
  };
}
