import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MAX_REVOCATIONS_PER_EVENT, type Revocation } from '../../../plugin/contract.ts';
import { Denial } from '../../../plugin/errors.ts';
import type { Revocable } from '../../../plugin/ports.ts';
import {
  createRevocationFeed,
  type RevocationFeed,
  type RevocationFeedOptions,
} from '../../../plugin/revocations/feed.ts';
import { recordingLog } from '../../support/doubles.ts';
import { fakeSource, revocationOf, type FeedConnection } from '../../support/revocations.ts';

const clock = { wallMs: 0, monotonic: 0, nowMs: () => clock.wallMs, monotonicMs: () => clock.monotonic };
const target = (subject: string): Revocable => ({
  ticketId: '01936f7e-0000-7000-8000-000000000002',
  subject,
  jkt: null,
  sessionId: null,
});
const pass = (ms: number): void => {
  clock.wallMs += ms;
  clock.monotonic += ms;
};

let source: ReturnType<typeof fakeSource>;
let log: ReturnType<typeof recordingLog>;
let feed: RevocationFeed;
let changes: (Revocation | null)[];
beforeEach(() => {
  clock.wallMs = 1_770_000_000_000;
  clock.monotonic = 5000;
  source = fakeSource();
});
afterEach(() => feed.close());

function start(options: Partial<RevocationFeedOptions> = {}): void {
  log = recordingLog();
  changes = [];
  feed = createRevocationFeed({ source, clock, log, ...options });
  feed.onChange((entry) => void changes.push(entry));
}

/** Starts it, with an empty snapshot of number 10 taken. */
async function startWithSnapshot(options: Partial<RevocationFeedOptions> = {}): Promise<FeedConnection> {
  start(options);
  const connection = await source.next();
  connection.send('snapshot', { seq: 10, revocations: [] } as { seq: number });
  await vi.waitFor(() => expect(changes).toEqual([null]));
  return connection;
}

const snapshot = (seq: number, ...subjects: string[]): { seq: number } =>
  ({ seq, revocations: subjects.map((subject) => revocationOf('subject', subject, seq)) }) as { seq: number };

describe('in the beginning', () => {
  it('nothing is known, and everything is asked for', async () => {
    start();
    const connection = await source.next();
    expect(connection.after).toBe(-1);
    expect(feed.isStale()).toBe(true);
    expect(feed.stats()).toEqual({ ageMs: Number.POSITIVE_INFINITY, entries: 0, reconnects: 0 });
  });

  it('a heartbeat is not enough', async () => {
    start();
    const connection = await source.next();
    connection.send('heartbeat', { seq: 0 });
    const second = await source.next();
    expect(second.after).toBe(-1);
    expect(feed.isStale()).toBe(true);
  });

  it('a snapshot is, in one part or in several', async () => {
    start();
    const connection = await source.next();
    connection.send('snapshot-part', snapshot(12, 'a'));
    connection.send('heartbeat', { seq: 12 });
    connection.send('snapshot-part', snapshot(12, 'b'));
    connection.send('revocation', revocationOf('subject', 'd', 13));
    await vi.waitFor(() => expect(changes).toHaveLength(1));
    expect(feed.isStale()).toBe(true);
    connection.send('snapshot', snapshot(12, 'c'));
    await vi.waitFor(() => expect(feed.isStale()).toBe(false));
    expect(['a', 'b', 'c', 'd', 'e'].map((subject) => feed.find(target(subject)))).toEqual([
      ...['revoked', 'revoked', 'revoked', 'revoked'],
      null,
    ]);
    connection.end();
    expect((await source.next()).after).toBe(13);
  });
});

describe('an entry', () => {
  it('is known and told at once', async () => {
    const connection = await startWithSnapshot();
    const entry = revocationOf('subject', 'a', 11);
    connection.send('revocation', entry);
    await vi.waitFor(() => expect(changes).toEqual([null, entry]));
    expect(feed.find(target('a'))).toBe('revoked');
    expect(feed.stats().entries).toBe(1);
  });

  it('is in the list before anybody is told', async () => {
    const connection = await startWithSnapshot();
    const seen: unknown[] = [];
    feed.onChange(() => void seen.push(feed.find(target('a'))));
    connection.send('revocation', revocationOf('subject', 'a', 11));
    await vi.waitFor(() => expect(seen).toEqual(['revoked']));
  });
});

describe('a feed that is cut', () => {
  it('is taken up again where it ended, and keeps what it knows', async () => {
    const onBack = vi.fn();
    const connection = await startWithSnapshot({ onBack });
    connection.send('revocation', revocationOf('subject', 'a', 11));
    await vi.waitFor(() => expect(changes).toHaveLength(2));
    connection.end();
    const second = await source.next();
    expect(second.after).toBe(11);
    expect(feed.find(target('a'))).toBe('revoked');
    expect(feed.stats().reconnects).toBe(1);
    expect(onBack).not.toHaveBeenCalled();
    second.send('heartbeat', { seq: 11 });
    second.send('heartbeat', { seq: 11 });
    await vi.waitFor(() => expect(log.lines.at(-1)).toContain('is back'));
    expect(onBack).toHaveBeenCalledOnce();
  });

  it('may be answered with a snapshot, which replaces everything', async () => {
    const connection = await startWithSnapshot();
    connection.send('revocation', revocationOf('subject', 'a', 11));
    await vi.waitFor(() => expect(changes).toHaveLength(2));
    connection.end();
    const second = await source.next();
    second.send('snapshot', snapshot(3, 'b'));
    await vi.waitFor(() => expect(changes.at(-1)).toBe(null));
    expect(feed.find(target('a'))).toBe(null);
    expect(feed.find(target('b'))).toBe('revoked');
    second.end();
    expect((await source.next()).after).toBe(3);
  });

  it('in the middle of a snapshot keeps the list that it had', async () => {
    const connection = await startWithSnapshot();
    connection.send('revocation', revocationOf('subject', 'a', 11));
    await vi.waitFor(() => expect(changes).toHaveLength(2));
    connection.end();
    const second = await source.next();
    second.send('snapshot-part', snapshot(20, 'b'));
    second.end();
    const third = await source.next();
    expect(third.after).toBe(11);
    expect(feed.find(target('a'))).toBe('revoked');
    expect(feed.find(target('b'))).toBe(null);
  });

  it('is tried again, and the log says so once, with the code', async () => {
    source.refuse = () => {
      throw new Denial('server_untrusted');
    };
    start();
    await vi.waitFor(() => expect(source.opened).toBe(4), { timeout: 5000 });
    expect(log.lines).toHaveLength(1);
    expect(log.lines[0]).toContain('"code":"server_untrusted"');
  });

  it('is not taken up again after the end', async () => {
    const connection = await startWithSnapshot();
    feed.close();
    expect(connection.signal.aborted).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, 250));
    expect(source.opened).toBe(1);
  });
});

describe('a connection is given up', () => {
  const part = (count: number): string =>
    JSON.stringify({
      seq: 11,
      revocations: Array.from({ length: count }, () => revocationOf('subject', 'a', 11)),
    });

  it.each<[string, string]>([
    ['for a heartbeat that is ahead: something is missing', 'event: heartbeat\ndata: {"seq":11}\n\n'],
    ['for a heartbeat that is behind: it is another feed', 'event: heartbeat\ndata: {"seq":9}\n\n'],
    ['for an event that is not known', 'event: amnesty\ndata: {"seq":11}\n\n'],
    ['for an event without a name', 'data: {"seq":11}\n\n'],
    ['for data that are no JSON', 'event: revocation\ndata: x\n\n'],
    ['for an unknown member', 'event: heartbeat\ndata: {"seq":10,"x":1}\n\n'],
    [
      'for an entry of another kind',
      `event: revocation\ndata: ${JSON.stringify({ ...revocationOf('subject', 'a', 11), kind: 'account' })}\n\n`,
    ],
    [
      'for a session that is revoked and not kicked',
      `event: revocation\ndata: ${JSON.stringify({ ...revocationOf('session', target('').ticketId, 11), action: 'revoke' })}\n\n`,
    ],
    ['for too many entries at once', `event: snapshot\ndata: ${part(MAX_REVOCATIONS_PER_EVENT + 1)}\n\n`],
    ['for a line without an end', 'x'.repeat(200_000)],
    ['for bytes that are no text', '\u0000event: heartbeat\ndata: {"seq":10}\n\nevent: \u0001\ndata: 1\n\n'],
  ])('%s', async (_name, text) => {
    const connection = await startWithSnapshot();
    connection.write(text);
    const second = await source.next();
    expect(second.after).toBe(10);
    expect(feed.stats()).toMatchObject({ entries: 0 });
    expect(log.lines).toHaveLength(1);
    expect(log.lines[0]).not.toContain('amnesty');
  });

  it('after a silence, also when there are bytes that make no event', async () => {
    const connection = await startWithSnapshot({ silenceMs: 150 });
    const timer = setInterval(() => connection.write(': still here\n\n'), 20);
    const second = await source.next();
    clearInterval(timer);
    expect(second.after).toBe(10);
    expect(connection.signal.aborted).toBe(true);
    expect(log.lines[0]).toContain('"cause":"silence"');
  });

  it('not while there are heartbeats', async () => {
    const connection = await startWithSnapshot({ silenceMs: 150 });
    for (let beat = 0; beat < 10; beat += 1) {
      connection.send('heartbeat', { seq: 10 });
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(source.opened).toBe(1);
  });
});

describe('the rule of silence', () => {
  it('lets nobody in when the last heartbeat is 5 minutes ago, until the next', async () => {
    const connection = await startWithSnapshot();
    pass(300_000);
    expect(feed.isStale()).toBe(false);
    expect(feed.stats().ageMs).toBe(300_000);
    pass(1);
    expect(feed.isStale()).toBe(true);
    connection.send('heartbeat', { seq: 10 });
    await vi.waitFor(() => expect(feed.isStale()).toBe(false));
  });

  it.each<[string, () => void]>([
    ['the wall clock', () => (clock.wallMs += 300_001)],
    ['the other clock', () => (clock.monotonic += 300_001)],
  ])('goes by %s alone, as one of them may stand still', async (_name, advance) => {
    await startWithSnapshot();
    advance();
    expect(feed.isStale()).toBe(true);
  });

  it('is not broken by a wall clock that is set back', async () => {
    await startWithSnapshot();
    clock.wallMs -= 3_600_000;
    expect(feed.isStale()).toBe(false);
    clock.monotonic += 300_001;
    expect(feed.isStale()).toBe(true);
  });

  it('is not satisfied by heartbeats that show a gap', async () => {
    const connection = await startWithSnapshot();
    pass(300_001);
    connection.send('heartbeat', { seq: 11 });
    const second = await source.next();
    expect(feed.isStale()).toBe(true);
    second.send('heartbeat', { seq: 11 });
    await source.next();
    expect(feed.isStale()).toBe(true);
  });
});

describe('a list without room', () => {
  it('lets nobody in, still ends what it hears of, and is asked for anew after a minute', async () => {
    const connection = await startWithSnapshot({ capacity: 1 });
    connection.send('revocation', revocationOf('subject', 'a', 11));
    const second = revocationOf('subject', 'b', 12);
    connection.send('revocation', second);
    await vi.waitFor(() => expect(changes.at(-1)).toEqual(second));
    expect(feed.isStale()).toBe(true);
    connection.send('heartbeat', { seq: 12 });
    expect(source.opened).toBe(1);
    pass(60_000);
    connection.send('heartbeat', { seq: 12 });
    const refilled = await source.next();
    expect(refilled.after).toBe(-1);
    refilled.send('snapshot', snapshot(13, 'c'));
    await vi.waitFor(() => expect(feed.isStale()).toBe(false));
  });

  it('says so when a snapshot does not fit', async () => {
    start({ capacity: 1 });
    const connection = await source.next();
    connection.send('snapshot', snapshot(12, 'a', 'b'));
    await vi.waitFor(() => expect(changes).toEqual([null]));
    expect(feed.isStale()).toBe(true);
    expect(log.lines.at(-1)).toContain('more is revoked');
  });
});
