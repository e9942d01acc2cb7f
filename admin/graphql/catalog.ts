/** Titles and categories. */
import { streamPathSchema } from '../../plugin/contract.ts';
import { Denial } from '../../plugin/errors.ts';
import { audit, type AuditFacts } from '../audit/audit.ts';
import {
  categoryPatchSchema,
  categorySchema,
  createCategory,
  deleteCategory,
  findCategory,
  listCategories,
  updateCategory,
} from '../catalog/categories.ts';
import { catalogFilterSchema, listTitles } from '../catalog/search.ts';
import {
  createTitle,
  findTitle,
  namedServers,
  titlePatchSchema,
  titleSchema,
  updateTitle,
  type Title,
} from '../catalog/titles.ts';
import type { RequestContext } from '../context.ts';
import type { Executor } from '../db/connect.ts';
import { allow, can } from './access.ts';
import { builder } from './builder.ts';
import { given, now, parseId, parseInput, resolvePage } from './input.ts';
import { CatalogOrderEnum, CategoryType, TitleKindEnum, TitleType } from './types.ts';

/** Staff see everything; others what is published, available now, and for their country. */
function seenFrom(context: RequestContext) {
  if (can(context, 'catalog:read')) return 'all';
  return { country: context.country, nowMs: context.services.clock.nowMs() };
}

const CatalogFilter = builder.inputType('CatalogFilter', {
  description: 'All that is given must hold.',
  fields: (t) => ({
    search: t.string({
      required: false,
      description: 'Words of name or description, or their beginnings; 1 to 100 characters.',
    }),
    category: t.string({ required: false, description: 'Slug.' }),
    language: t.string({ required: false, description: 'BCP 47, such as "de".' }),
    kind: t.field({ type: TitleKindEnum, required: false }),
    live: t.boolean({ required: false, description: 'On the air now, or not.' }),
    maxPriceMinor: t.field({
      type: 'SafeInt',
      required: false,
      description: 'It has an offer, previews apart, for at most this; 0 is free.',
    }),
    currency: t.string({ required: false, description: 'Of that offer; ISO 4217.' }),
    published: t.boolean({ required: false, description: 'For staff, who see both.' }),
  }),
});

builder.queryFields((t) => ({
  catalog: t.connection({
    ...allow('anyone'),
    type: TitleType,
    description: 'What can be watched. Staff see what is not published, or not to be had now, too.',
    args: {
      filter: t.arg({ type: CatalogFilter, required: false }),
      orderBy: t.arg({ type: CatalogOrderEnum, defaultValue: 'OLDEST' }),
    },
    resolve: (_root, { filter, orderBy, ...args }, context) => {
      const { services } = context;
      const wanted = parseInput(catalogFilterSchema, given(filter ?? {}));
      return resolvePage(args, (page) =>
        listTitles(services.db, seenFrom(context), wanted, orderBy, page, services.clock.nowMs()),
      );
    },
  }),
  title: t.field({
    ...allow('anyone'),
    type: TitleType,
    nullable: true,
    description: 'One title, by id or stream path. Staff see those too that the catalog does not show.',
    args: { id: t.arg.id({ required: false }), path: t.arg.string({ required: false }) },
    resolve: (_root, { id, path }, context) => {
      const { db } = context.services;
      const by = given({ id, path });
      if (Object.keys(by).length !== 1) throw new Denial('input_invalid', { detail: 'either id or path' });
      if (by.id !== undefined) return findTitle(db, { id: parseId(by.id) }, seenFrom(context));
      return findTitle(db, { path: parseInput(streamPathSchema, by.path) }, seenFrom(context));
    },
  }),
  categories: t.field({
    ...allow('anyone'),
    type: [CategoryType],
    description: 'By name; at most 500.',
    resolve: (_root, _args, { services }) => listCategories(services.db),
  }),
}));

const titleFields = {
  path: 'Stream path, such as /live/demo.',
  artworkUrl: 'An https URL, or a path on this server such as "/art/one.jpg". Null takes it away.',
  languages: 'BCP 47 tags, such as "de" or "pt-BR".',
  countries: 'Where it is sold: ISO 3166-1 codes such as "DE". Null is everywhere.',
  availableUntil: 'The first moment at which it is no longer to be had.',
  serverIds: 'Streaming servers that carry it; none: all of them.',
};

const TitleInput = builder.inputType('TitleInput', {
  fields: (t) => ({
    path: t.string({ description: titleFields.path }),
    kind: t.field({ type: TitleKindEnum, defaultValue: 'live' }),
    name: t.string(),
    description: t.string({ defaultValue: '' }),
    artworkUrl: t.string({ required: false, description: titleFields.artworkUrl }),
    languages: t.stringList({ defaultValue: [], description: titleFields.languages }),
    categoryIds: t.idList({ defaultValue: [] }),
    countries: t.stringList({ required: false, description: titleFields.countries }),
    availableFrom: t.field({ type: 'DateTime', required: false }),
    availableUntil: t.field({ type: 'DateTime', required: false, description: titleFields.availableUntil }),
    published: t.boolean({ defaultValue: true }),
    serverIds: t.stringList({ defaultValue: [], description: titleFields.serverIds }),
  }),
});

const TitlePatch = builder.inputType('TitlePatch', {
  description: 'What is left out stays as it is.',
  fields: (t) => ({
    path: t.string({ required: false }),
    kind: t.field({ type: TitleKindEnum, required: false }),
    name: t.string({ required: false }),
    description: t.string({ required: false }),
    artworkUrl: t.string({ required: false, description: titleFields.artworkUrl }),
    languages: t.stringList({ required: false, description: titleFields.languages }),
    categoryIds: t.idList({ required: false }),
    countries: t.stringList({ required: false, description: titleFields.countries }),
    availableFrom: t.field({ type: 'DateTime', required: false, description: 'Null takes it away.' }),
    availableUntil: t.field({ type: 'DateTime', required: false, description: 'Null takes it away.' }),
    published: t.boolean({ required: false }),
    serverIds: t.stringList({ required: false }),
  }),
});

/** Members that null takes away; of the others null is the same as nothing. */
const NULLABLE = ['artworkUrl', 'countries', 'availableFrom', 'availableUntil'] as const;

function toPatch(input: Partial<typeof TitlePatch.$inferInput>): object {
  const cleared = NULLABLE.filter((member) => input[member] === null);
  return { ...given(input), ...Object.fromEntries(cleared.map((member) => [member, null])) };
}

async function requireTitle(db: Executor, id: string): Promise<Title> {
  const title = await findTitle(db, { id }, 'all');
  if (title === null) throw new Denial('not_found', { detail: 'title' });
  return title;
}

/** What of a title its own mutations change. */
async function factsOf(db: Executor, { offers: _, categories, ...title }: Title): Promise<AuditFacts> {
  const serverIds = await namedServers(db, title.id);
  return { ...title, categories: categories.map(({ slug }) => slug), serverIds };
}

/** Changes a title, tells the audit log, and answers what became of it. */
function change(context: RequestContext, rawId: string, action: string, input: object): Promise<Title> {
  const id = parseId(rawId);
  const patch = parseInput(titlePatchSchema, input);
  return context.services.db.transaction(async (tx) => {
    const before = await factsOf(tx, await requireTitle(tx, id));
    await updateTitle(tx, id, patch);
    const title = await requireTitle(tx, id);
    const object = { type: 'title', id };
    await audit(tx, context, { action, object, before, after: await factsOf(tx, title) });
    return title;
  });
}

builder.mutationFields((t) => ({
  createTitle: t.field({
    ...allow('catalog:write'),
    type: TitleType,
    args: { input: t.arg({ type: TitleInput }) },
    resolve: (_root, args, context) => {
      const input = parseInput(titleSchema, given(args.input));
      return context.services.db.transaction(async (tx) => {
        const id = await createTitle(tx, input, now(context));
        const title = await requireTitle(tx, id);
        const after = await factsOf(tx, title);
        await audit(tx, context, {
          action: 'title.create',
          object: { type: 'title', id },
          before: null,
          after,
        });
        return title;
      });
    },
  }),
  updateTitle: t.field({
    ...allow('catalog:write'),
    type: TitleType,
    args: { id: t.arg.id(), input: t.arg({ type: TitlePatch }) },
    resolve: (_root, args, context) => change(context, args.id, 'title.update', toPatch(args.input)),
  }),
  publishTitle: t.field({
    ...allow('catalog:write'),
    type: TitleType,
    description: 'Puts a title into the catalog, or takes it out; tickets that were sold stay good.',
    args: { id: t.arg.id(), published: t.arg.boolean({ defaultValue: true }) },
    resolve: (_root, { id, published }, context) =>
      change(context, id, published ? 'title.publish' : 'title.unpublish', { published }),
  }),
  setTitleServers: t.field({
    ...allow('catalog:write'),
    type: TitleType,
    description: 'Says which streaming servers carry a title; none: all of them. At most 8.',
    args: { id: t.arg.id(), serverIds: t.arg.stringList() },
    resolve: (_root, { id, serverIds }, context) => change(context, id, 'title.servers', { serverIds }),
  }),
  createCategory: t.field({
    ...allow('catalog:write'),
    type: CategoryType,
    args: { slug: t.arg.string({ description: 'In URLs: "science-fiction".' }), name: t.arg.string() },
    resolve: (_root, args, context) => {
      const input = parseInput(categorySchema, args);
      return context.services.db.transaction(async (tx) => {
        const after = await createCategory(tx, input, now(context));
        const object = { type: 'category', id: after.id };
        await audit(tx, context, { action: 'category.create', object, before: null, after: { ...after } });
        return after;
      });
    },
  }),
  updateCategory: t.field({
    ...allow('catalog:write'),
    type: CategoryType,
    args: {
      id: t.arg.id(),
      slug: t.arg.string({ required: false }),
      name: t.arg.string({ required: false }),
    },
    resolve: (_root, { id: rawId, ...args }, context) => {
      const id = parseId(rawId);
      const patch = parseInput(categoryPatchSchema, given(args));
      return context.services.db.transaction(async (tx) => {
        const before = await findCategory(tx, id);
        const after = await updateCategory(tx, id, patch);
        const object = { type: 'category', id };
        await audit(tx, context, {
          action: 'category.update',
          object,
          before: before === null ? null : { ...before },
          after: { ...after },
        });
        return after;
      });
    },
  }),
  deleteCategory: t.field({
    ...allow('catalog:write'),
    type: 'Boolean',
    description: 'Takes a category away; its titles stay. Refused while there are offers of it.',
    args: { id: t.arg.id() },
    resolve: (_root, args, context) =>
      context.services.db.transaction(async (tx) => {
        const before = await deleteCategory(tx, parseId(args.id));
        const object = { type: 'category', id: before.id };
        await audit(tx, context, { action: 'category.delete', object, before: { ...before }, after: null });
        return true;
      }),
  }),
}));
