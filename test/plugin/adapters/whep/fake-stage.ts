/** A stage that plays nothing, and always answers the same. */
import type { WhepStage, WhepViewing } from '../../../../plugin/adapters/whep.ts';
import type { Offer } from '../../../../plugin/media/offer.ts';
import type { Tier } from '../../../../plugin/rights/index.ts';
import { fakeViewing } from '../../../support/doubles.ts';

export const ANSWER = [
  'v=0',
  'o=- 1 1 IN IP4 127.0.0.1',
  's=-',
  't=0 0',
  'a=group:BUNDLE 1',
  'a=ice-lite',
  'm=video 0 UDP/TLS/RTP/SAVPF 96',
  'a=mid:0',
  'm=audio 9 UDP/TLS/RTP/SAVPF 111',
  'a=mid:1',
  'a=ice-ufrag:old',
  'a=ice-pwd:oldoldoldoldoldoldoldold',
  'a=candidate:udp 1 udp 1 192.0.2.1 4002 typ host',
  'a=end-of-candidates',
  '',
].join('\r\n');

export interface FakeStage extends WhepStage<WhepViewing> {
  live: boolean;
  views: { path: string; offer: Offer }[];
  /** Of viewings and of their renewals. */
  tiers: Tier[];
  failure: Error | undefined;
  restarts: number;
}

export function fakeStage(): FakeStage {
  const stage: FakeStage = {
    live: true,
    views: [],
    tiers: [],
    failure: undefined,
    restarts: 0,
    isLive: () => stage.live,
    async view(path, offer, tier) {
      if (stage.failure !== undefined) throw stage.failure;
      stage.tiers.push(tier);
      stage.views.push({ path, offer });
      return {
        ...fakeViewing(),
        answer: ANSWER,
        async limit(to) {
          stage.tiers.push(to);
        },
        async restartIce() {
          if (stage.failure !== undefined) throw stage.failure;
          stage.restarts += 1;
          return { ufrag: `new${stage.restarts}`, pwd: 'newnewnewnewnewnewnewnew' };
        },
      };
    },
  };
  return stage;
}
