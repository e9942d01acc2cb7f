import { expect, it } from 'vitest';
import { describeSpan, describeTimeOption } from '../../../admin/pricing/describe.ts';
import type { TimeOption } from '../../../admin/pricing/time-options.ts';
import { UNLIMITED_PLAY } from '../../../plugin/rights/index.ts';

it.each([
  [1, '1 second'],
  [90, '1 minute 30 seconds'],
  [3600, '1 hour'],
  [86_400, '24 hours'],
  [90_000, '1 day 1 hour'],
  [2_592_000, '30 days'],
])('%i seconds are %s', (seconds, text) => {
  expect(describeSpan(seconds)).toBe(text);
});

it.each<[TimeOption, string]>([
  [{ kind: 'duration', seconds: 1800 }, '30 minutes'],
  [
    { kind: 'from_first_view', seconds: 86_400, validSeconds: 604_800 },
    '24 hours from first view, to begin within 7 days',
  ],
  [
    { kind: 'event', from: '2026-05-01T20:00:00.000Z', until: '2026-05-01T22:30:00.000Z' },
    'From 2026-05-01 20:00 to 2026-05-01 22:30 UTC',
  ],
  [{ kind: 'views', views: 1, validSeconds: 3600 }, '1 view within 1 hour'],
  [
    { kind: 'metered', unit: 'gigabyte', max: 5, validSeconds: 3600 },
    'Per gigabyte, up to 5 gigabytes within 1 hour',
  ],
  [{ kind: 'category', seconds: 2_592_000 }, 'Every title of the category for 30 days'],
  [{ kind: 'preview', seconds: 60 }, 'Preview of 1 minute'],
  [{ kind: 'rights', rights: UNLIMITED_PLAY, validSeconds: 7200 }, 'Good for 2 hours'],
])('%j is said to people', (option, text) => {
  expect(describeTimeOption(option)).toBe(text);
});
