/** Offers: what staff say is sold. */
import {
  createOffer,
  listAllOffers,
  lockOffer,
  offerPatchSchema,
  offerSchema,
  updateOffer,
  type Offer,
} from '../catalog/offers.ts';
import { Denial } from '../../plugin/errors.ts';
import { audit, type AuditFacts } from '../audit/audit.ts';
import type { TimeOption } from '../pricing/time-options.ts';
import { allow } from './access.ts';
import { builder } from './builder.ts';
import { given, now, parseId, parseInput } from './input.ts';
import { ChargingEnum, MeterUnitEnum, OfferType, UnusedPolicyEnum } from './types.ts';

const TierInput = builder.inputType('TierInput', {
  description: 'Upper limits of the quality; what is left out is not limited.',
  fields: (t) => ({
    name: t.string({ required: false, description: 'What viewers call it, such as "HD".' }),
    maxHeight: t.int({ required: false, description: 'Pixels.' }),
    maxBitrate: t.int({ required: false, description: 'Bits per second of video.' }),
    audioBitrate: t.int({ required: false, description: 'Bits per second of audio.' }),
  }),
});

const RightsInput = builder.inputType('RightsInput', {
  description: 'What tickets of the offer will allow; what is left out is not limited.',
  fields: (t) => ({
    accesses: t.field({ type: 'SafeInt', required: false }),
    seconds: t.field({ type: 'SafeInt', required: false }),
    bytes: t.field({ type: 'SafeInt', required: false }),
    concurrent: t.field({ type: 'SafeInt', required: false }),
    window: t.field({ type: 'SafeInt', required: false }),
    controls: t.stringList({ defaultValue: [] }),
    tier: t.field({ type: TierInput, required: false }),
  }),
});

const seconds = 'Seconds, 10 to 31,622,400 (366 days).';

const DurationInput = builder.inputType('DurationInput', {
  fields: (t) => ({ seconds: t.int({ description: seconds }) }),
});
const FromFirstViewInput = builder.inputType('FromFirstViewInput', {
  fields: (t) => ({
    seconds: t.int({ description: 'From the first picture.' }),
    validSeconds: t.int({ description: 'From the order: who begins within these has all of `seconds`.' }),
  }),
});
const EventInput = builder.inputType('EventInput', {
  fields: (t) => ({ from: t.field({ type: 'DateTime' }), until: t.field({ type: 'DateTime' }) }),
});
const ViewsInput = builder.inputType('ViewsInput', {
  fields: (t) => ({ views: t.int(), validSeconds: t.int({ description: seconds }) }),
});
const MeteredInput = builder.inputType('MeteredInput', {
  fields: (t) => ({
    unit: t.field({ type: MeterUnitEnum }),
    max: t.int({ description: 'Units at most; their price is held.' }),
    validSeconds: t.int({ description: seconds }),
  }),
});
const RawRightsInput = builder.inputType('RawRightsInput', {
  fields: (t) => ({ rights: t.field({ type: RightsInput }), validSeconds: t.int({ description: seconds }) }),
});

const TimeOptionInput = builder.inputType('TimeOptionInput', {
  description: 'For how long, or how much, a title may be watched.',
  isOneOf: true,
  fields: (t) => ({
    duration: t.field({ type: DurationInput, required: false, description: 'From the order.' }),
    fromFirstView: t.field({ type: FromFirstViewInput, required: false }),
    event: t.field({ type: EventInput, required: false, description: 'Between two moments.' }),
    views: t.field({ type: ViewsInput, required: false }),
    metered: t.field({ type: MeteredInput, required: false }),
    category: t.field({
      type: DurationInput,
      required: false,
      description: 'Every title of a category, from the order. Only with categoryId.',
    }),
    preview: t.field({
      type: DurationInput,
      required: false,
      description: 'A free taste of 5 to 300 seconds.',
    }),
    rights: t.field({ type: RawRightsInput, required: false, description: 'What the others cannot say.' }),
  }),
});

const amounts = {
  priceMinor: '0 is free. Left out for a metered offer, whose price is the most that it can cost.',
  meterPriceMinor: 'For each minute or gigabyte that is begun. Only of a metered offer.',
  charging: 'Default: what suits the rest.',
  unusedPolicy: 'What becomes of the money of a ticket that was never used. Default: forfeit.',
  captureAfterSeconds: 'Seconds of media after which a price on_delivery is due.',
  concurrent: 'Sessions at the same time; left out is not limited.',
  controls: '"pause", "seek".',
  previewsPerAddress: 'Previews of the title that one client address may take a day (UTC).',
  previewsPerTitle: 'Previews of the title a day (UTC) in all.',
  allowClearTransport: 'Allow media in the clear: plain RTMP and HTTP-FLV from other machines.',
};

const OfferInput = builder.inputType('OfferInput', {
  fields: (t) => ({
    titleId: t.id({ required: false, description: 'Either this or categoryId.' }),
    categoryId: t.id({ required: false }),
    name: t.string(),
    currency: t.string({ description: 'ISO 4217.' }),
    timeOption: t.field({ type: TimeOptionInput, required: false, description: 'What is sold.' }),
    rights: t.field({
      type: RightsInput,
      required: false,
      description: 'With validSeconds, instead of timeOption: short for its `rights`.',
    }),
    validSeconds: t.int({ required: false, description: 'How long tickets live, from the order.' }),
    tier: t.field({ type: TierInput, required: false }),
    concurrent: t.int({ required: false, description: amounts.concurrent }),
    controls: t.stringList({ required: false, description: amounts.controls }),
    priceMinor: t.field({ type: 'SafeInt', required: false, description: amounts.priceMinor }),
    meterPriceMinor: t.field({ type: 'SafeInt', required: false, description: amounts.meterPriceMinor }),
    charging: t.field({ type: ChargingEnum, required: false, description: amounts.charging }),
    unusedPolicy: t.field({ type: UnusedPolicyEnum, required: false, description: amounts.unusedPolicy }),
    captureAfterSeconds: t.int({ required: false, description: amounts.captureAfterSeconds }),
    previewsPerAddress: t.int({ required: false, description: amounts.previewsPerAddress }),
    previewsPerTitle: t.int({ required: false, description: amounts.previewsPerTitle }),
    taxInclusive: t.boolean({ defaultValue: true }),
    allowClearTransport: t.boolean({ defaultValue: false, description: amounts.allowClearTransport }),
    active: t.boolean({ defaultValue: true }),
  }),
});

const OfferPatch = builder.inputType('OfferPatch', {
  description:
    'What is left out stays as it is; null takes concurrent, previewsPerAddress and previewsPerTitle away.',
  fields: (t) => ({
    name: t.string({ required: false }),
    currency: t.string({ required: false }),
    timeOption: t.field({ type: TimeOptionInput, required: false }),
    rights: t.field({ type: RightsInput, required: false }),
    validSeconds: t.int({ required: false }),
    tier: t.field({ type: TierInput, required: false }),
    concurrent: t.int({ required: false, description: amounts.concurrent }),
    controls: t.stringList({ required: false, description: amounts.controls }),
    priceMinor: t.field({ type: 'SafeInt', required: false, description: amounts.priceMinor }),
    meterPriceMinor: t.field({ type: 'SafeInt', required: false, description: amounts.meterPriceMinor }),
    charging: t.field({ type: ChargingEnum, required: false }),
    unusedPolicy: t.field({ type: UnusedPolicyEnum, required: false }),
    captureAfterSeconds: t.int({ required: false, description: amounts.captureAfterSeconds }),
    previewsPerAddress: t.int({ required: false, description: amounts.previewsPerAddress }),
    previewsPerTitle: t.int({ required: false, description: amounts.previewsPerTitle }),
    taxInclusive: t.boolean({ required: false }),
    allowClearTransport: t.boolean({ required: false }),
    active: t.boolean({ required: false }),
  }),
});

function toRights({ tier, ...rights }: typeof RightsInput.$inferInput) {
  return {
    action: 'play',
    accesses: rights.accesses ?? null,
    seconds: rights.seconds ?? null,
    bytes: rights.bytes ?? null,
    concurrent: rights.concurrent ?? null,
    window: rights.window ?? null,
    onExcess: 'reject-new',
    controls: rights.controls,
    tier: given(tier ?? {}),
  };
}

/** Not yet parsed, but of which kind it is. */
interface SaidOption {
  readonly kind: TimeOption['kind'];
  readonly [member: string]: unknown;
}

/** The member of a one-of input that is there, as the union that is stored. */
function toTimeOption(input: typeof TimeOptionInput.$inferInput): SaidOption | undefined {
  const { duration, fromFirstView, event, views, metered, category, preview, rights } = given(input);
  if (duration !== undefined) return { kind: 'duration', ...duration };
  if (fromFirstView !== undefined) return { kind: 'from_first_view', ...fromFirstView };
  if (event !== undefined)
    return { kind: 'event', from: event.from.toISOString(), until: event.until.toISOString() };
  if (views !== undefined) return { kind: 'views', ...views };
  if (metered !== undefined) return { kind: 'metered', ...metered };
  if (category !== undefined) return { kind: 'category', ...category };
  if (preview !== undefined) return { kind: 'preview', ...preview };
  return rights === undefined ? undefined : { kind: 'rights', ...rights, rights: toRights(rights.rights) };
}

type Said = Partial<typeof OfferPatch.$inferInput>;

/** Members that null takes away; of the others null is the same as nothing. */
const NULLABLE = ['concurrent', 'previewsPerAddress', 'previewsPerTitle'] as const;

/** What a patch takes away. Raw rights say the sessions at a time themselves. */
function clearedBy(input: Said, kind: TimeOption['kind']): object {
  const cleared = NULLABLE.filter(
    (member) => input[member] === null && (member !== 'concurrent' || kind !== 'rights'),
  );
  return Object.fromEntries(cleared.map((member) => [member, null]));
}

/** The input as the domain's schemas have it. `before` fills what a patch leaves out of raw rights. */
function toTerms(input: Said, before: Offer | null): object {
  const { timeOption, rights, validSeconds, tier, ...rest } = given(input);
  const option = timeOption === undefined ? undefined : toTimeOption(timeOption);
  const raw = rights !== undefined || validSeconds !== undefined;
  if (option !== undefined && raw)
    throw new Denial('input_invalid', { detail: 'timeOption: either this, or rights and validSeconds' });
  const known = before?.timeOption.kind === 'rights' ? before.timeOption : undefined;
  if (raw && before !== null && known === undefined && (rights === undefined || validSeconds === undefined))
    throw new Denial('input_invalid', {
      detail: 'timeOption: the offer has one; rights go with validSeconds',
    });
  const said = given({
    ...rest,
    tier: tier === undefined ? undefined : given(tier),
    timeOption: raw
      ? {
          kind: 'rights' as const,
          rights: rights === undefined ? known?.rights : toRights(rights),
          validSeconds: validSeconds ?? known?.validSeconds,
        }
      : option,
  });
  if (before === null) return said;
  return { ...said, ...clearedBy(input, said.timeOption?.kind ?? before.timeOption.kind) };
}

const facts = (offer: Offer): AuditFacts => ({ ...offer });

builder.queryField('offers', (t) =>
  t.field({
    ...allow('catalog:read'),
    type: [OfferType],
    description: 'All offers of a title or a category, those that are no longer sold too; at most 200.',
    args: { of: t.arg.id({ description: 'Id of the title or the category.' }) },
    resolve: (_root, args, { services }) => listAllOffers(services.db, parseId(args.of)),
  }),
);

builder.mutationFields((t) => ({
  createOffer: t.field({
    ...allow('catalog:write'),
    type: OfferType,
    description: 'Puts something on sale. What grants nothing, or contradicts itself, is refused.',
    args: { input: t.arg({ type: OfferInput }) },
    resolve: (_root, { input }, context) => {
      const parsed = parseInput(offerSchema, toTerms(input, null));
      return context.services.db.transaction(async (tx) => {
        const offer = await createOffer(tx, parsed, now(context));
        const object = { type: 'offer', id: offer.id };
        await audit(tx, context, { action: 'offer.create', object, before: null, after: facts(offer) });
        return offer;
      });
    },
  }),
  updateOffer: t.field({
    ...allow('catalog:write'),
    type: OfferType,
    description: 'Tickets that were issued, and orders that were placed, keep their terms.',
    args: { id: t.arg.id(), input: t.arg({ type: OfferPatch }) },
    resolve: (_root, args, context) => {
      const id = parseId(args.id);
      return context.services.db.transaction(async (tx) => {
        // What the patch leaves out is filled from here: nobody may change it in between.
        const before = await lockOffer(tx, id);
        const patch = parseInput(offerPatchSchema, toTerms(args.input, before));
        const offer = await updateOffer(tx, id, patch, now(context));
        const object = { type: 'offer', id };
        await audit(tx, context, {
          action: 'offer.update',
          object,
          before: facts(before),
          after: facts(offer),
        });
        return offer;
      });
    },
  }),
}));
