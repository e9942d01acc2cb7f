/** Object types that several domains answer with. */
import type { Category } from '../catalog/categories.ts';
import { offersOfCategories, type Offer } from '../catalog/offers.ts';
import { CATALOG_ORDERS } from '../catalog/search.ts';
import { findTitleServers, type TitleServer } from '../catalog/title-servers.ts';
import { TITLE_KINDS, type Title } from '../catalog/titles.ts';
import type { Money } from '../ledger/money.ts';
import { describeTimeOption } from '../pricing/describe.ts';
import { timeOptionSchema, type TimeOption } from '../pricing/time-options.ts';
import type { Rights, Tier } from '../../plugin/rights/index.ts';
import { findOnAir } from '../trust/live-streams.ts';
import { can } from './access.ts';
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

export const ChargingEnum = builder.enumType('Charging', {
  values: {
    free: {},
    prepaid: { description: 'Charged at the first picture.' },
    on_delivery: { description: 'Charged after a number of seconds of media.' },
    metered: { description: 'Charged by what was used; the most that it can be is held.' },
  },
});

export const UnusedPolicyEnum = builder.enumType('UnusedPolicy', {
  description: 'What becomes of the money of a ticket that was never used.',
  values: ['refund', 'forfeit'],
});

export const MeterUnitEnum = builder.enumType('MeterUnit', {
  values: { minute: {}, gigabyte: { description: '10^9 bytes.' } },
});

export const TitleKindEnum = builder.enumType('TitleKind', { values: TITLE_KINDS });

export const CatalogOrderEnum = builder.enumType('CatalogOrder', { values: CATALOG_ORDERS });

const TimeOptionType = builder.objectRef<TimeOption>('TimeOption').implement({
  description: 'For how long, or how much, a title may be watched. What is null has no part in it.',
  fields: (t) => ({
    kind: t.exposeString('kind', {
      description: timeOptionSchema.options.map(({ shape }) => `"${shape.kind.value}"`).join(', '),
    }),
    seconds: t.int({ nullable: true, resolve: (option) => ('seconds' in option ? option.seconds : null) }),
    validSeconds: t.int({
      nullable: true,
      description: 'From the order.',
      resolve: (option) => ('validSeconds' in option ? option.validSeconds : null),
    }),
    from: t.field({
      type: 'DateTime',
      nullable: true,
      resolve: (option) => ('from' in option ? new Date(option.from) : null),
    }),
    until: t.field({
      type: 'DateTime',
      nullable: true,
      resolve: (option) => ('until' in option ? new Date(option.until) : null),
    }),
    views: t.int({ nullable: true, resolve: (option) => ('views' in option ? option.views : null) }),
    unit: t.field({
      type: MeterUnitEnum,
      nullable: true,
      resolve: (option) => ('unit' in option ? option.unit : null),
    }),
    max: t.int({
      nullable: true,
      description: 'Units at most.',
      resolve: (option) => ('max' in option ? option.max : null),
    }),
  }),
});

export const OfferType = builder.objectRef<Offer>('Offer').implement({
  description: 'What is sold.',
  fields: (t) => ({
    id: t.exposeID('id'),
    name: t.exposeString('name'),
    summary: t.string({
      description: 'What is sold, for people: "24 hours from first view, to begin within 30 days".',
      resolve: (offer) => describeTimeOption(offer.timeOption),
    }),
    titleId: t.exposeID('titleId', { nullable: true, description: 'The title that it opens.' }),
    categoryId: t.exposeID('categoryId', {
      nullable: true,
      description: 'The category whose titles it opens.',
    }),
    price: t.field({
      type: MoneyType,
      description: 'For a metered offer, the most that can be charged.',
      resolve: (offer) => offer.price,
    }),
    taxInclusive: t.exposeBoolean('taxInclusive', { description: 'True if the price holds the tax.' }),
    timeOption: t.field({ type: TimeOptionType, resolve: (offer) => offer.timeOption }),
    tierName: t.exposeString('tierName', { nullable: true, description: 'What the quality is called.' }),
    rights: t.field({ type: RightsType, resolve: (offer) => offer.rights }),
    validSeconds: t.int({
      nullable: true,
      description: 'How long the ticket lives, from the order; null where the two moments say it.',
      resolve: (offer) => offer.validSeconds,
    }),
    validFrom: t.field({ type: 'DateTime', nullable: true, resolve: (offer) => offer.validFrom }),
    validUntil: t.field({ type: 'DateTime', nullable: true, resolve: (offer) => offer.validUntil }),
    charging: t.field({ type: ChargingEnum, resolve: (offer) => offer.charging }),
    unusedPolicy: t.field({ type: UnusedPolicyEnum, resolve: (offer) => offer.unusedPolicy }),
    captureAfterSeconds: t.int({
      nullable: true,
      description: 'Seconds of media after which a price on_delivery is due.',
      resolve: (offer) => offer.captureAfterSeconds,
    }),
    meterUnit: t.field({ type: MeterUnitEnum, nullable: true, resolve: (offer) => offer.meterUnit }),
    meterPrice: t.field({
      type: MoneyType,
      nullable: true,
      description: 'Of each unit that is begun.',
      resolve: (offer) => offer.meterPrice,
    }),
    preview: t.exposeBoolean('preview', { description: 'A free taste, of which there are so many a day.' }),
    previewsPerAddress: t.int({ nullable: true, resolve: (offer) => offer.previewsPerAddress }),
    previewsPerTitle: t.int({ nullable: true, resolve: (offer) => offer.previewsPerTitle }),
    allowClearTransport: t.boolean({
      description: 'Its tickets may be used where media travel in the clear: plain RTMP and HTTP-FLV.',
      resolve: (offer) => offer.transport === 'clear',
    }),
    active: t.exposeBoolean('active'),
  }),
});

const categoryOffers = createBatch((context, ids: readonly string[]) =>
  offersOfCategories(context.services.db, ids),
);

export const CategoryType = builder.objectRef<Category>('Category').implement({
  description: 'Titles that belong together.',
  fields: (t) => ({
    id: t.exposeID('id'),
    slug: t.exposeString('slug', { description: 'In URLs.' }),
    name: t.exposeString('name'),
    offers: t.field({
      type: [OfferType],
      description: 'Those that open all of its titles, cheapest first.',
      resolve: (category, _args, context) => categoryOffers(context, category.id),
    }),
  }),
});

const TitleServerType = builder.objectRef<TitleServer>('TitleServer').implement({
  description: 'A streaming server that carries a title.',
  fields: (t) => ({
    id: t.exposeID('id'),
    active: t.exposeBoolean('active', { description: 'False: deactivated.' }),
    onAir: t.boolean({
      description: 'It has the title on the air.',
      resolve: ({ stream }) => stream !== null,
    }),
    viewers: t.int({ description: 'Of the title there.', resolve: ({ stream }) => stream?.viewers ?? 0 }),
    warnings: t.stringList({
      description: 'What is wrong with the publisher there.',
      resolve: ({ stream }) => stream?.health.warnings.map(({ text }) => text) ?? [],
    }),
    capacity: t.int({
      nullable: true,
      description: 'Viewers at the same time, of all titles; null: not limited.',
      resolve: ({ room }) => room.capacity,
    }),
    taken: t.int({
      description: 'Viewings of all titles, and places that are kept for orders.',
      resolve: ({ room }) => room.taken,
    }),
    free: t.int({
      nullable: true,
      description: 'Places that are left; null: not limited.',
      resolve: ({ room }) => room.free,
    }),
  }),
});

const onAir = createBatch((context, titles: readonly Title[]) =>
  findOnAir(context.services.db, titles, context.services.clock.nowMs()),
);

const carriers = createBatch((context, titles: readonly Title[]) =>
  findTitleServers(context.services.db, titles, context.services.clock.nowMs()),
);

export const TitleType = builder.objectRef<Title>('Title').implement({
  description: 'One thing that can be watched.',
  fields: (t) => ({
    id: t.exposeID('id'),
    path: t.exposeString('path', { description: 'Stream path.' }),
    kind: t.field({ type: TitleKindEnum, resolve: (title) => title.kind }),
    name: t.exposeString('name'),
    description: t.exposeString('description'),
    artworkUrl: t.string({
      nullable: true,
      description: 'An https URL, or a path on this server.',
      resolve: (title) => title.artworkUrl,
    }),
    languages: t.stringList({ description: 'BCP 47.', resolve: (title) => title.languages }),
    categories: t.field({
      type: [CategoryType],
      description: 'By name.',
      resolve: (title) => title.categories,
    }),
    countries: t.stringList({
      nullable: true,
      description: 'Where it is sold, ISO 3166-1; null is everywhere.',
      resolve: (title) => title.countries,
    }),
    availableFrom: t.field({ type: 'DateTime', nullable: true, resolve: (title) => title.availableFrom }),
    availableUntil: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'The first moment at which it is no longer to be had.',
      resolve: (title) => title.availableUntil,
    }),
    published: t.exposeBoolean('published'),
    onAir: t.boolean({
      description: 'True while a streaming server that carries it has it on the air.',
      resolve: (title, _args, context) => onAir(context, title),
    }),
    servers: t.field({
      type: [TitleServerType],
      nullable: true,
      description: 'The streaming servers that carry it. Null for whoever may not read the whole catalog.',
      resolve: (title, _args, context) => (can(context, 'catalog:read') ? carriers(context, title) : null),
    }),
    offers: t.field({
      type: [OfferType],
      description: 'Those that open it, those of its categories too, cheapest first.',
      resolve: (title) => title.offers,
    }),
  }),
});
