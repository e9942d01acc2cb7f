/** Object types that several domains answer with. */
import type { Offer } from '../catalog/offers.ts';
import type { Title } from '../catalog/titles.ts';
import type { Money } from '../ledger/money.ts';
import type { Rights, Tier } from '../../plugin/rights/index.ts';
import { findOnAir } from '../trust/live-streams.ts';
import { createBatch } from './batch.ts';
import { builder } from './builder.ts';

export const MoneyType = builder.objectRef<Money>('Money').implement({
  description: 'An amount of money.',
  fields: (t) => ({
    amountMinor: t.field({
      type: 'SafeInt',
      description: 'Integer count of the minor unit (cents).',
      resolve: (money) => money.amountMinor,
    }),
    currency: t.exposeString('currency', { description: 'ISO 4217.' }),
  }),
});

const TierType = builder.objectRef<Tier>('Tier').implement({
  description: 'Upper limits of the quality; null does not limit.',
  fields: (t) => ({
    maxHeight: t.int({ nullable: true, description: 'Pixels.', resolve: (tier) => tier.maxHeight ?? null }),
    maxBitrate: t.int({
      nullable: true,
      description: 'Bits per second of video.',
      resolve: (tier) => tier.maxBitrate ?? null,
    }),
    audioBitrate: t.int({
      nullable: true,
      description: 'Bits per second of audio.',
      resolve: (tier) => tier.audioBitrate ?? null,
    }),
  }),
});

export const RightsType = builder.objectRef<Rights>('Rights').implement({
  description: 'What a ticket allows; null is not limited.',
  fields: (t) => ({
    action: t.exposeString('action', { description: '"play".' }),
    accesses: t.field({
      type: 'SafeInt',
      nullable: true,
      description: 'Admissions.',
      resolve: (r) => r.accesses,
    }),
    seconds: t.field({
      type: 'SafeInt',
      nullable: true,
      description: 'Seconds of media.',
      resolve: (r) => r.seconds,
    }),
    bytes: t.field({
      type: 'SafeInt',
      nullable: true,
      description: 'Bytes of media.',
      resolve: (r) => r.bytes,
    }),
    concurrent: t.field({
      type: 'SafeInt',
      nullable: true,
      description: 'Sessions at the same time.',
      resolve: (r) => r.concurrent,
    }),
    window: t.field({
      type: 'SafeInt',
      nullable: true,
      description: 'Seconds from the first picture.',
      resolve: (r) => r.window,
    }),
    onExcess: t.exposeString('onExcess', {
      description: 'What happens to one session too many: "reject-new".',
    }),
    controls: t.stringList({ description: '"pause", "seek".', resolve: (r) => r.controls }),
    tier: t.field({ type: TierType, resolve: (r) => r.tier }),
  }),
});

export const OfferType = builder.objectRef<Offer>('Offer').implement({
  description: 'What is sold.',
  fields: (t) => ({
    id: t.exposeID('id'),
    name: t.exposeString('name'),
    price: t.field({ type: MoneyType, resolve: (offer) => offer.price }),
    rights: t.field({ type: RightsType, resolve: (offer) => offer.rights }),
    validSeconds: t.exposeInt('validSeconds', { description: 'How long the ticket lives, from the order.' }),
    charging: t.exposeString('charging', { description: '"free" or "prepaid".' }),
    allowClearTransport: t.boolean({
      description: 'Its tickets may be used where media travel in the clear: plain RTMP and HTTP-FLV.',
      resolve: (offer) => offer.transport === 'clear',
    }),
    active: t.exposeBoolean('active'),
  }),
});

const onAir = createBatch((context, titles: readonly Title[]) =>
  findOnAir(context.services.db, titles, context.services.clock.nowMs()),
);

export const TitleType = builder.objectRef<Title>('Title').implement({
  description: 'One thing that can be watched.',
  fields: (t) => ({
    id: t.exposeID('id'),
    path: t.exposeString('path', { description: 'Stream path.' }),
    name: t.exposeString('name'),
    description: t.exposeString('description'),
    published: t.exposeBoolean('published'),
    onAir: t.boolean({
      description: 'True while a streaming server that carries it has it on the air.',
      resolve: (title, _args, context) => onAir(context, title),
    }),
    offers: t.field({ type: [OfferType], description: 'Cheapest first.', resolve: (title) => title.offers }),
  }),
});
