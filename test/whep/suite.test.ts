/** Each check of the WHEP suite passes for a server that is right, and fails for one that is wrong in just that. */
import { describe, expect, it } from 'vitest';
import { ANSWER_CHECKS } from '../../admin/cli/whep-check/checks/answer.ts';
import { END_CHECKS } from '../../admin/cli/whep-check/checks/end.ts';
import { ENDPOINT_CHECKS } from '../../admin/cli/whep-check/checks/endpoint.ts';
import { OPENING_CHECKS } from '../../admin/cli/whep-check/checks/opening.ts';
import { SESSION_CHECKS } from '../../admin/cli/whep-check/checks/session.ts';
import { UNSEEN } from '../../admin/cli/whep-check/checks/unseen.ts';
import { bearer, NOBODY } from '../../admin/cli/whep-check/credentials.ts';
import { runSuite, UnreachableError, type Report, type Result } from '../../admin/cli/whep-check/run.ts';
import { asAsked, at, BROKEN, COUNTERS, RIGHT, TOKEN, type Asked } from './broken.ts';
import { createTestServer, type ServerOptions } from './server.ts';

const ALL = [...ENDPOINT_CHECKS, ...OPENING_CHECKS, ...ANSWER_CHECKS, ...SESSION_CHECKS, ...END_CHECKS].map(
  ({ id }) => id,
);

async function check({ server, credentials = NOBODY, url, fetch }: Asked): Promise<Report> {
  const target = createTestServer(server);
  const report = await runSuite({
    url: new URL(url ?? 'https://whep.example/whep'),
    credentials,
    origin: 'https://page.example',
    timeoutMs: 2000,
    paceMs: 0,
    fetch: fetch ?? target.fetch,
  });
  return report;
}

const idsOf = ({ results }: Report, ...outcomes: Result['outcome'][]): string[] =>
  results.filter(({ outcome }) => outcomes.includes(outcome)).map(({ id }) => id);

const wrong = (report: Report): string[] => idsOf(report, 'failed', 'not followed');

describe('the WHEP suite', () => {
  it('finds nothing wrong with a server that is right', async () => {
    const report = await check({});
    expect(wrong(report)).toEqual([]);
    expect(report.opened).toBe(true);
    expect(idsOf(report, 'not applicable')).toEqual([
      ...['challenge', 'redirection', 'off-air', 'ice-servers', 'extensions', 'counter-offer', 'valid-until'],
      ...['counter-offer-direction', 'counter-answer-malformed', 'counter-answer', 'patch-unsupported'],
      ...['restart-refused', 'events', ...UNSEEN.map(({ id }) => id)],
    ]);
  });

  it.each(RIGHT)('finds nothing wrong with a server that %s', async (_name, given, ids) => {
    const report = await check(asAsked(given));
    expect(idsOf(report, 'failed')).toEqual([]);
    expect(idsOf(report, 'passed')).toEqual(expect.arrayContaining(ids));
  });

  it('follows 307 to another URL', async () => {
    const server = createTestServer();
    const report = await check({
      fetch: (request) =>
        request.method === 'POST' && request.url.endsWith('/start')
          ? Promise.resolve(new Response(null, { status: 307, headers: { location: '/whep' } }))
          : server.fetch(
              request.url.endsWith('/start') ? new Request('https://whep.example/whep', request) : request,
            ),
      url: 'https://whep.example/start',
    });
    expect(idsOf(report, 'passed')).toEqual(expect.arrayContaining(['redirection', 'created', 'delete']));
    expect(server.open()).toBe(0);
  });

  it.each(BROKEN)('sees a server that %s', async (_name, given, ids) => {
    expect(wrong(await check(asAsked(given)))).toEqual(ids);
  });

  it('has shown of each check that it can fail', () => {
    expect(new Set(BROKEN.flatMap(([, , ids]) => ids))).toEqual(new Set(ALL));
  });

  it('has a different name for each check', () => {
    const names = [...ALL, ...UNSEEN.map(({ id }) => id)];
    expect(new Set(names).size).toBe(names.length);
  });
});

describe('what the suite does to a server', () => {
  it.each<[string, ServerOptions]>([
    ['a right one', {}],
    ['one that takes any content type', at({ 'wrong type': (plan) => ({ ...plan, status: 201 }) })],
    ['one that makes counter-offers', COUNTERS],
  ])('leaves no session open: %s', async (_name, options) => {
    const server = createTestServer(options);
    await check({ fetch: server.fetch });
    expect([server.open(), server.opened()]).toEqual([0, 2]);
  });

  it('ends its session when it is interrupted', async () => {
    const server = createTestServer();
    const run = runSuite({
      url: new URL('https://whep.example/whep'),
      credentials: NOBODY,
      origin: 'https://page.example',
      timeoutMs: 2000,
      paceMs: 0,
      fetch: server.fetch,
      onResult: ({ id }) => {
        if (id === 'created') throw new Error('interrupted');
      },
    });
    await expect(run).rejects.toThrow('interrupted');
    expect([server.open(), server.opened()]).toEqual([0, 1]);
  });

  it('sends credentials with everything but OPTIONS', async () => {
    const server = createTestServer({ token: TOKEN });
    const seen: [string, string | null][] = [];
    await check({
      credentials: bearer(TOKEN),
      fetch: (request) => {
        seen.push([request.method, request.headers.get('authorization')]);
        return server.fetch(request);
      },
    });
    const bare = seen.filter(([, authorization]) => authorization === null).map(([method]) => method);
    expect(bare.filter((method) => method !== 'OPTIONS')).toEqual(['POST']);
    expect(seen.filter(([method, value]) => method === 'OPTIONS' && value !== null)).toEqual([]);
  });

  it('keeps its pace', async () => {
    const server = createTestServer();
    const startedMs = performance.now();
    let [requests, lastMs] = [0, 0];
    await runSuite({
      url: new URL('https://whep.example/whep'),
      credentials: NOBODY,
      origin: 'https://page.example',
      timeoutMs: 2000,
      paceMs: 20,
      fetch: (request) => {
        requests += 1;
        lastMs = performance.now() - startedMs;
        return server.fetch(request);
      },
    });
    expect(requests).toBeLessThan(32);
    // Timers may be a millisecond early.
    expect(lastMs).toBeGreaterThan((requests - 1) * (20 - 1));
  });

  it.each<[string, (request: Request) => Promise<Response>, string]>([
    ['is not there', () => Promise.reject(new TypeError('fetch failed')), 'no reply'],
    [
      'never answers',
      (request) =>
        new Promise((_, reject) =>
          request.signal.addEventListener('abort', () => reject(request.signal.reason as Error)),
        ),
      'no reply within 0.05 s',
    ],
    [
      'answers without end',
      () =>
        Promise.resolve(
          new Response(
            new ReadableStream<Uint8Array>({ pull: (stream) => stream.enqueue(new Uint8Array(10_000)) }),
          ),
        ),
      'a body of more than 65536 bytes',
    ],
  ])('gives up on a server that %s', async (_name, fetch, why) => {
    const run = runSuite({
      url: new URL('https://whep.example/whep'),
      credentials: NOBODY,
      origin: 'https://page.example',
      timeoutMs: 50,
      paceMs: 0,
      fetch,
    });
    await expect(run).rejects.toThrow(UnreachableError);
    await expect(run).rejects.toThrow(why);
  });
});
