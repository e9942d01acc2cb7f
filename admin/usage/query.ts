/** A report's parameters as text: in a URL, or on the command line. */
import { z } from 'zod';
import { Denial } from '../../plugin/errors.ts';
import { isTimeZone, usageRequestSchema, type UsageRequest } from './report.ts';

const DAY_MS = 86_400_000;

/** What clocks in a time zone show at a moment, as if it were UTC. */
function wallClockMs(atMs: number, timeZone: string): number {
  const parts = new Intl.DateTimeFormat('en', {
    timeZone,
    calendar: 'gregory',
    numberingSystem: 'latn',
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  }).formatToParts(atMs);
  const value = (type: Intl.DateTimeFormatPartTypes) =>
    Number(parts.find((part) => part.type === type)?.value);
  return Date.UTC(
    value('year'),
    value('month') - 1,
    value('day'),
    value('hour'),
    value('minute'),
    value('second'),
  );
}

/**
 * The first moment of a day in a time zone. Where clocks go forward at midnight, the day begins at one.
 * @param date such as "2026-03-29"
 */
export function startOfDay(date: string, timeZone: string): Date {
  const asUtcMs = Date.parse(`${date}T00:00:00Z`);
  const candidates = [asUtcMs - DAY_MS, asUtcMs + DAY_MS]
    .map((nearMs) => asUtcMs - (wallClockMs(nearMs, timeZone) - nearMs))
    .filter((atMs) => new Date(wallClockMs(atMs, timeZone)).toISOString().startsWith(date));
  return new Date(Math.min(...candidates));
}

const dateSchema = z.iso.date();
const moment = z.union([dateSchema, z.iso.datetime({ offset: true })]);

const querySchema = z
  .strictObject({
    groupBy: z.string(),
    from: moment,
    until: moment,
    timeZone: z.string().max(64).refine(isTimeZone, 'not an IANA time zone').default('UTC'),
    titleId: z.string().optional(),
    accountId: z.string().optional(),
    serverId: z.string().optional(),
  })
  .transform(({ from, until, ...rest }) => {
    const at = (text: string) =>
      dateSchema.safeParse(text).success ? startOfDay(text, rest.timeZone) : new Date(text);
    return { ...rest, from: at(from), until: at(until) };
  });

/**
 * Reads a report's parameters. `from` and `until` are days of the time zone, or moments.
 * @throws Denial `input_invalid`, which names the parameter and never its value
 */
export function parseUsageQuery(query: Readonly<Record<string, unknown>>): UsageRequest {
  const read = querySchema.safeParse(query);
  const parsed = read.success ? usageRequestSchema.safeParse(read.data) : read;
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const name = issue?.path.join('.') ?? '';
  throw new Denial('input_invalid', {
    detail: `${name === '' ? 'query' : name}: ${issue?.message ?? 'not valid'}`,
  });
}
