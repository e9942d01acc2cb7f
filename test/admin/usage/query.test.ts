import { expect, it } from 'vitest';
import { parseUsageQuery, startOfDay } from '../../../admin/usage/query.ts';

it.each([
  ['2026-03-29', 'UTC', '2026-03-29T00:00:00Z'],
  ['2026-03-29', 'Europe/Berlin', '2026-03-28T23:00:00Z'],
  ['2026-03-30', 'Europe/Berlin', '2026-03-29T22:00:00Z'],
  ['2026-10-25', 'Europe/Berlin', '2026-10-24T22:00:00Z'],
  ['2026-10-26', 'Europe/Berlin', '2026-10-25T23:00:00Z'],
  ['2026-06-01', 'Asia/Kolkata', '2026-05-31T18:30:00Z'],
  ['2026-06-01', 'Asia/Kathmandu', '2026-05-31T18:15:00Z'],
  ['2026-06-01', 'Pacific/Kiritimati', '2026-05-31T10:00:00Z'],
  ['2026-06-01', 'Pacific/Pago_Pago', '2026-06-01T11:00:00Z'],
  // Clocks go from 0:00 to 1:00: the day begins at one.
  ['2018-11-04', 'America/Sao_Paulo', '2018-11-04T03:00:00Z'],
  // Clocks go from 24:00 back to 23:00: the day begins at the second midnight.
  ['2018-02-18', 'America/Sao_Paulo', '2018-02-18T03:00:00Z'],
])('the day %s begins in %s at %s', (date, timeZone, expected) => {
  expect(startOfDay(date, timeZone).toISOString()).toBe(expected.replace('Z', '.000Z'));
});

const RIGHT = { groupBy: 'day', from: '2026-03-01', until: '2026-04-01', timeZone: 'Europe/Berlin' };

it('days are those of the time zone, moments are what they say', () => {
  expect(parseUsageQuery(RIGHT)).toEqual({
    groupBy: 'day',
    from: new Date('2026-02-28T23:00:00Z'),
    until: new Date('2026-03-31T22:00:00Z'),
    timeZone: 'Europe/Berlin',
  });
  expect(parseUsageQuery({ ...RIGHT, from: '2026-03-01T12:15:00+02:00' }).from).toEqual(
    new Date('2026-03-01T10:15:00Z'),
  );
});

it.each([
  ['groupBy', { groupBy: 'viewer' }],
  ['from', { from: 'yesterday' }],
  ['from', { from: '2026-02-30' }],
  ['from', { from: '2026-03-01T12:07:00Z' }],
  ['until', { until: '2026-03-01' }],
  ['until', { until: '2028-01-01' }],
  ['until', { until: undefined }],
  ['timeZone', { timeZone: 'Middle-earth/Shire' }],
  ['timeZone', { timeZone: '+02:00' }],
  ['timeZone', { timeZone: "UTC' or 1=1 --" }],
  ['titleId', { titleId: "x' or 1=1 --" }],
  ['accountId', { accountId: '%' }],
  ['serverId', { serverId: '*' }],
  ['query', { limit: '1' }],
])('names %s when it is wrong: %j', (name, change) => {
  expect(() => parseUsageQuery({ ...RIGHT, ...change })).toThrow(
    expect.objectContaining({
      code: 'input_invalid',
      detail: expect.stringMatching(new RegExp(`^${name}: `)),
    }),
  );
});
