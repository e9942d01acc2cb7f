import { expect, it } from 'vitest';
import { Denial } from '../../plugin/errors.ts';
import { createReports, type ReportsOptions } from '../../plugin/reports.ts';
import { recordingLog } from '../support/doubles.ts';

function setUp(options: Partial<ReportsOptions> = {}) {
  const clock = { ms: 0, monotonicMs: () => clock.ms };
  const log = recordingLog();
  const sent: [string, string | null][] = [];
  const reports = createReports({
    clock,
    log,
    send: async (ticketId, sessionId) => void sent.push([ticketId, sessionId]),
    ...options,
  });
  return { clock, log, sent, reports };
}

it('a replay is reported and logged, once per ticket and minute', () => {
  const { clock, log, sent, reports } = setUp();
  for (let time = 0; time < 100; time += 1) reports.proofReplayed('t1', null);
  reports.proofReplayed('t2', 's2');
  expect(sent).toEqual([
    ['t1', null],
    ['t2', 's2'],
  ]);
  expect(log.lines).toHaveLength(2);
  clock.ms += 59_999;
  reports.proofReplayed('t1', 's1');
  expect(sent).toHaveLength(2);
  clock.ms += 1;
  reports.proofReplayed('t1', 's1');
  expect(sent.at(-1)).toEqual(['t1', 's1']);
});

it('no more tickets than the limit are reported within a minute, and the memory stays bounded', () => {
  const { clock, sent, reports } = setUp({ maxTickets: 10 });
  for (let ticket = 0; ticket < 100; ticket += 1) reports.proofReplayed(`t${ticket}`, null);
  expect(sent).toHaveLength(10);
  clock.ms += 60_000;
  reports.proofReplayed('t99', null);
  expect(sent).toHaveLength(11);
});

it('an order server that is away is a line in the log', async () => {
  const { log, reports } = setUp({ send: () => Promise.reject(new Denial('order_server_unreachable')) });
  reports.proofReplayed('t1', null);
  await new Promise(setImmediate);
  expect(log.lines.at(-1)).toContain('"code":"order_server_unreachable"');
});
