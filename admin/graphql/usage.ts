/** What was watched, by whom and where, and what it has earned. */
import { resolveCursorConnection, type ResolveCursorConnectionArgs } from '@pothos/plugin-relay';
import { Denial } from '../../plugin/errors.ts';
import {
  isUsageCursor,
  listUsageReport,
  USAGE_GROUPS,
  usageRequestSchema,
  type UsageRow,
} from '../usage/report.ts';
import { allow } from './access.ts';
import { builder } from './builder.ts';
import { given, parseInput } from './input.ts';
import { MoneyType } from './types.ts';

const MAX_PAGE = 100;
const DEFAULT_PAGE = 20;

const UsageGroupType = builder.enumType('UsageGroup', {
  description: 'What a row of a usage report stands for.',
  values: Object.fromEntries(USAGE_GROUPS.map((group) => [group.toUpperCase(), { value: group }])) as Record<
    Uppercase<(typeof USAGE_GROUPS)[number]>,
    { value: (typeof USAGE_GROUPS)[number] }
  >,
});

const UsageFilterInput = builder.inputType('UsageFilter', {
  description: 'Narrows a usage report.',
  fields: (t) => ({
    titleId: t.id({ required: false }),
    accountId: t.id({ required: false }),
    serverId: t.string({ required: false }),
  }),
});

const UsageRowType = builder.objectRef<UsageRow>('UsageRow').implement({
  description: 'Sums of one title, account, day or streaming server.',
  fields: (t) => ({
    id: t.exposeID('id'),
    key: t.exposeString('key', {
      nullable: true,
      description:
        'Id of the title, account or server, or the day ("2026-03-29"). Null for the total, and for orders without an account.',
    }),
    label: t.exposeString('label', {
      nullable: true,
      description: 'Name of the title, address of the account.',
    }),
    seconds: t.float({ description: 'Of media.', resolve: (row) => row.mediaMs / 1000 }),
    bytes: t.field({ type: 'SafeInt', resolve: (row) => row.bytes }),
    sessions: t.exposeInt('sessions', { description: 'Viewings that used anything in the time.' }),
    revenue: t.field({
      type: [MoneyType],
      description: 'Captured less refunded, when it was booked, by currency. Nothing by server.',
      resolve: (row) => row.revenue,
    }),
  }),
});

/** A cursor from outside. @throws Denial `input_invalid`. */
function cursor(text: string | null | undefined): string | null {
  if (text === null || text === undefined) return null;
  if (!isUsageCursor(text)) throw new Denial('input_invalid', { detail: 'after: not a cursor' });
  return text;
}

builder.queryField('usageReport', (t) =>
  t.connection({
    ...allow('finance:read'),
    type: UsageRowType,
    description: [
      'What was watched and what it has earned, by what receipts have stated and by the ledger.',
      'Days are in their order, everything else by what was watched most.',
      '`from` and `until` lie at quarters of an hour, at most 400 days apart.',
    ].join(' '),
    args: {
      groupBy: t.arg({ type: UsageGroupType }),
      from: t.arg({ type: 'DateTime' }),
      until: t.arg({ type: 'DateTime', description: 'The first moment that is no longer meant.' }),
      timeZone: t.arg.string({
        defaultValue: 'UTC',
        description: 'IANA name: where days begin and end, summer time and all.',
      }),
      filter: t.arg({ type: UsageFilterInput, required: false }),
    },
    resolve: (_root, { groupBy, from, until, timeZone, filter, ...args }, { services }) => {
      const request = parseInput(usageRequestSchema, {
        groupBy,
        from,
        until,
        timeZone,
        ...given(filter ?? {}),
      });
      return resolveCursorConnection(
        {
          args: { ...args, after: cursor(args.after), before: cursor(args.before) },
          defaultSize: DEFAULT_PAGE,
          maxSize: MAX_PAGE,
          toCursor: (row: UsageRow) => row.id,
        },
        ({ after, before, limit, inverted }: ResolveCursorConnectionArgs) =>
          listUsageReport(services.db, request, { after, before, limit, inverted }),
      );
    },
  }),
);
