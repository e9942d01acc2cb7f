import { streamPathSchema } from '../../plugin/contract.ts';
import { Denial } from '../../plugin/errors.ts';
import { createOffer, offerPatchSchema, offerSchema, updateOffer } from '../catalog/offers.ts';
import {
  createTitle,
  findTitle,
  listTitles,
  titlePatchSchema,
  titleSchema,
  updateTitle,
  type Title,
} from '../catalog/titles.ts';
import type { Executor } from '../db/connect.ts';
import { allow, builder } from './builder.ts';
import { given, now, parseId, parseInput, resolvePage } from './input.ts';
import { OfferType, TitleType } from './types.ts';

builder.queryField('catalog', (t) =>
  t.connection({
    ...allow('anyone'),
    type: TitleType,
    description: 'What can be watched.',
    resolve: (_root, args, { services }) => resolvePage(args, (page) => listTitles(services.db, page)),
  }),
);

builder.queryField('title', (t) =>
  t.field({
    ...allow('anyone'),
    type: TitleType,
    nullable: true,
    description: 'One title, by id or stream path. Staff see unpublished ones too.',
    args: { id: t.arg.id({ required: false }), path: t.arg.string({ required: false }) },
    resolve: (_root, { id, path }, { services, account }) => {
      const all = account?.role === 'staff';
      const by = given({ id, path });
      if (Object.keys(by).length !== 1) throw new Denial('input_invalid', { detail: 'either id or path' });
      if (by.id !== undefined) return findTitle(services.db, { id: parseId(by.id) }, all);
      return findTitle(services.db, { path: parseInput(streamPathSchema, by.path) }, all);
    },
  }),
);

const TitleInput = builder.inputType('TitleInput', {
  fields: (t) => ({
    path: t.string({ description: 'Stream path, such as /live/demo.' }),
    name: t.string(),
    description: t.string({ defaultValue: '' }),
    published: t.boolean({ defaultValue: true }),
    serverIds: t.stringList({ defaultValue: [], description: 'Servers that carry it; none: all of them.' }),
  }),
});

const TitlePatch = builder.inputType('TitlePatch', {
  description: 'What is left out stays as it is.',
  fields: (t) => ({
    path: t.string({ required: false }),
    name: t.string({ required: false }),
    description: t.string({ required: false }),
    published: t.boolean({ required: false }),
    serverIds: t.stringList({ required: false }),
  }),
});

const TierInput = builder.inputType('TierInput', {
  fields: (t) => ({
    maxHeight: t.int({ required: false }),
    maxBitrate: t.int({ required: false }),
    audioBitrate: t.int({ required: false }),
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

const OfferInput = builder.inputType('OfferInput', {
  fields: (t) => ({
    titleId: t.id(),
    name: t.string(),
    priceMinor: t.field({ type: 'SafeInt', description: '0 is free.' }),
    currency: t.string({ description: 'ISO 4217.' }),
    rights: t.field({ type: RightsInput }),
    validSeconds: t.int(),
    allowClearTransport: t.boolean({
      defaultValue: false,
      description: 'Allow media in the clear: plain RTMP and HTTP-FLV from other machines.',
    }),
    active: t.boolean({ defaultValue: true }),
  }),
});

const OfferPatch = builder.inputType('OfferPatch', {
  description: 'What is left out stays as it is.',
  fields: (t) => ({
    name: t.string({ required: false }),
    priceMinor: t.field({ type: 'SafeInt', required: false }),
    currency: t.string({ required: false }),
    rights: t.field({ type: RightsInput, required: false }),
    validSeconds: t.int({ required: false }),
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

async function requireTitle(db: Executor, id: string): Promise<Title> {
  const title = await findTitle(db, { id }, true);
  if (title === null) throw new Denial('not_found', { detail: 'title' });
  return title;
}

builder.mutationFields((t) => ({
  createTitle: t.field({
    ...allow('staff'),
    type: TitleType,
    args: { input: t.arg({ type: TitleInput }) },
    resolve: (_root, args, context) =>
      context.services.db.transaction(async (tx) => {
        const id = await createTitle(tx, parseInput(titleSchema, args.input), now(context));
        return requireTitle(tx, id);
      }),
  }),
  updateTitle: t.field({
    ...allow('staff'),
    type: TitleType,
    args: { id: t.arg.id(), input: t.arg({ type: TitlePatch }) },
    resolve: (_root, args, { services }) =>
      services.db.transaction(async (tx) => {
        const id = parseId(args.id);
        await updateTitle(tx, id, parseInput(titlePatchSchema, given(args.input)));
        return requireTitle(tx, id);
      }),
  }),
  createOffer: t.field({
    ...allow('staff'),
    type: OfferType,
    args: { input: t.arg({ type: OfferInput }) },
    resolve: (_root, { input }, context) => {
      const offer = parseInput(offerSchema, {
        ...input,
        titleId: input.titleId,
        rights: toRights(input.rights),
      });
      return context.services.db.transaction((tx) => createOffer(tx, offer, now(context)));
    },
  }),
  updateOffer: t.field({
    ...allow('staff'),
    type: OfferType,
    description: 'Tickets that were issued keep the rights they carry.',
    args: { id: t.arg.id(), input: t.arg({ type: OfferPatch }) },
    resolve: (_root, args, { services }) => {
      const { rights, ...rest } = given(args.input);
      const patch = { ...rest, ...(rights === undefined ? {} : { rights: toRights(rights) }) };
      const parsed = parseInput(offerPatchSchema, patch);
      return services.db.transaction((tx) => updateOffer(tx, parseId(args.id), parsed));
    },
  }),
}));
