import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  MAX_STREAMS_PER_REPORT,
  MAX_STREAMS_REPORT_BYTES,
  streamsReportSchema,
  type StreamStatus,
} from '../../plugin/contract.ts';
import { Denial } from '../../plugin/errors.ts';
import { createStreamsReport } from '../../plugin/streams-report.ts';
import { generateSigningKey, signServerMessage } from '../../plugin/ticket/index.ts';
import { fakeTimerClock, recordingLog } from '../support/doubles.ts';
import { streamStatus } from '../support/streams.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function create() {
  let onAir: readonly StreamStatus[] = [];
  const sent: string[][] = [];
  const log = recordingLog();
  let answer: () => Promise<void> = () => Promise.resolve();
  const report = createStreamsReport({
    read: () => onAir,
    deliver: (streams) => {
      sent.push(streams.map(({ uri }) => uri));
      return answer();
    },
    clock: fakeTimerClock,
    log,
  });
  onTestFinished(() => report.close());
  return {
    sent,
    log,
    report,
    answerWith: (next: () => Promise<void>) => void (answer = next),
    /** Puts these on the air, and says so. */
    air: (...uris: string[]) => {
      onAir = uris.map((uri) => streamStatus(uri));
      report.changed();
    },
  };
}

const away = () => Promise.reject(new Denial('order_server_unreachable'));
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

describe('the report of what is on the air', () => {
  it('is not sent while nothing is, however often that changes', async () => {
    const { sent, air } = create();
    air();
    await pass(60_000);
    expect(sent).toEqual([]);
  });

  it('is sent half a second after the first of several changes, then every 10 s', async () => {
    const { sent, air } = create();
    air('/live/a');
    await pass(400);
    air('/live/a', '/live/b');
    await pass(99);
    expect(sent).toEqual([]);
    await pass(1);
    expect(sent).toEqual([['/live/a', '/live/b']]);
    await pass(9999);
    expect(sent).toHaveLength(1);
    await pass(1);
    expect(sent).toHaveLength(2);
    await pass(10_000);
    expect(sent).toHaveLength(3);
  });

  it('is empty once, when the last stream goes', async () => {
    const { sent, air } = create();
    air('/live/a');
    await pass(500);
    air();
    await pass(60_000);
    expect(sent).toEqual([['/live/a'], []]);
  });

  it('is empty at the next interval when nobody said that the last stream has gone', async () => {
    const onAir = [streamStatus('/live/a')];
    const sent: number[] = [];
    const report = createStreamsReport({
      read: () => onAir,
      deliver: (streams) => Promise.resolve(void sent.push(streams.length)),
      clock: fakeTimerClock,
      log: recordingLog(),
      intervalMs: 1000,
    });
    onTestFinished(() => report.close());
    report.changed();
    await pass(500);
    onAir.pop();
    await pass(5000);
    expect(sent).toEqual([1, 0]);
  });

  it('goes one at a time, and what changed meanwhile follows', async () => {
    const { sent, air, answerWith } = create();
    const slow = Promise.withResolvers<void>();
    answerWith(() => slow.promise);
    air('/live/a');
    await pass(500);
    air('/live/b');
    await pass(60_000);
    expect(sent).toEqual([['/live/a']]);
    answerWith(() => Promise.resolve());
    slow.resolve();
    await pass(500);
    expect(sent).toEqual([['/live/a'], ['/live/b']]);
  });

  it('is tried again an interval after a failure, not at each change, with one line in the log', async () => {
    const { sent, log, air, answerWith } = create();
    answerWith(away);
    air('/live/a');
    await pass(500);
    air('/live/b');
    await pass(9999);
    expect(sent).toHaveLength(1);
    await pass(1);
    expect(sent).toEqual([['/live/a'], ['/live/b']]);
    await pass(30_000);
    expect(sent).toHaveLength(5);
    expect(log.lines).toHaveLength(1);
    expect(log.lines[0]).toContain('order_server_unreachable');
    answerWith(() => Promise.resolve());
    await pass(10_000);
    answerWith(away);
    await pass(10_000);
    expect(log.lines).toHaveLength(2);
  });

  it('says until it is heard that the last stream has gone, even where the report before was lost', async () => {
    const { sent, air, answerWith } = create();
    answerWith(away);
    air('/live/a');
    await pass(500);
    air();
    await pass(25_000);
    answerWith(() => Promise.resolve());
    await pass(60_000);
    expect(sent).toEqual([['/live/a'], [], [], []]);
  });

  it('outlives a reader that throws', async () => {
    const log = recordingLog();
    let broken = true;
    const sent: number[] = [];
    const report = createStreamsReport({
      read: () => {
        if (broken) throw new Error('broken');
        return [streamStatus('/live/a')];
      },
      deliver: (streams) => Promise.resolve(void sent.push(streams.length)),
      clock: fakeTimerClock,
      log,
    });
    onTestFinished(() => report.close());
    report.changed();
    await pass(500);
    expect(log.lines).toHaveLength(1);
    broken = false;
    report.changed();
    await pass(10_000);
    expect(sent).toEqual([1]);
  });

  it('leaves out a stream that the order server would refuse, with one line in the log', async () => {
    const { sent, log, air } = create();
    air('/live/a', '/live/odd name', '/live/b');
    await pass(30_500);
    expect(sent).toEqual(Array(4).fill(['/live/a', '/live/b']));
    expect(log.lines).toHaveLength(1);
  });

  it('is not sent after the end', async () => {
    const { sent, air, report } = create();
    air('/live/a');
    await report.close();
    air('/live/b');
    await pass(60_000);
    expect(sent).toEqual([]);
  });

  it('says at the end that nothing is on the air any more', async () => {
    const { sent, air, report } = create();
    air('/live/a');
    await pass(500);
    await report.close();
    await report.close();
    await pass(60_000);
    expect(sent).toEqual([['/live/a'], []]);
  });
});

it('a report of more streams than it can carry keeps to the bounds of the order server', async () => {
  vi.useRealTimers();
  const text = 'x'.repeat(200);
  const health = { ...streamStatus('/live/a').health, warnings: [{ code: 'bitrate' as const, text }] };
  const path = (index: number) => `/live/${'x'.repeat(60)}/${'y'.repeat(60)}/${index}`;
  const onAir = Array.from({ length: 800 }, (_, index) => streamStatus(path(index), { health }));
  const delivered = Promise.withResolvers<readonly StreamStatus[]>();
  const log = recordingLog();
  const report = createStreamsReport({
    read: () => onAir,
    deliver: (streams) => Promise.resolve(delivered.resolve(streams)),
    clock: fakeTimerClock,
    log,
  });
  onTestFinished(() => report.close());
  report.changed();
  const streams = await delivered.promise;
  const key = await generateSigningKey();
  const message = { typ: 'streams+jwt' as const, payload: { streams }, iss: 'ss-1', aud: 'os', key };
  const jws = await signServerMessage({ ...message, clock: fakeTimerClock });
  expect(jws.length).toBeLessThanOrEqual(MAX_STREAMS_REPORT_BYTES);
  expect(jws.length).toBeGreaterThan(MAX_STREAMS_REPORT_BYTES * 0.9);
  expect(log.lines).toHaveLength(1);
});

it('the contract takes 500 streams, each once', () => {
  const envelope = { iss: 'ss-1', aud: 'os', iat: 1, jti: '01936f7e-0000-7000-8000-000000000001' };
  const list = (length: number) =>
    Array.from({ length }, (_, index) => streamStatus(`/live/${String(index)}`));
  const fits = (streams: StreamStatus[]) => streamsReportSchema.safeParse({ ...envelope, streams }).success;
  expect(fits([])).toBe(true);
  expect(fits(list(MAX_STREAMS_PER_REPORT))).toBe(true);
  expect(fits(list(MAX_STREAMS_PER_REPORT + 1))).toBe(false);
  expect(fits([streamStatus('/live/a'), streamStatus('/live/a')])).toBe(false);
});
