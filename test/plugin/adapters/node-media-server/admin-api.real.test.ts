/** The host's own admin API beside the gate: it works, shows no secrets, and is no way around. */
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { guardNodeMediaServer } from '../../../../plugin/adapters/node-media-server.ts';
import { COLUMNS, eventually, openReader, type Reader } from '../../../support/flv-readers.ts';
import { newPath, startGuardedNms, STREAM_KEY, type GuardedNms } from '../../../support/guarded-nms.ts';
import { publishStamped, type StampedSource } from '../../../support/stamped-source.ts';
import { flvOf } from './messages.ts';
import { request } from './rtmp-client.ts';
import { hostTables } from './steady-stream.ts';

const USER = { username: 'operator', password: 'insecure-test-password', role: 'admin' };
const WRONG_KEY = 'sk_insecureTestOtherKey00';

let house: GuardedNms;
let source: StampedSource;
let token = '';
let staticRoot = '';
const path = newPath();
const [, app = '', name = ''] = path.split('/');
const passes: string[] = [];
/** All that the host told its listeners, as a webhook would send it or a log would print it. */
const told: string[] = [];
/** All that the admin API answered. */
const answered: string[] = [];

beforeAll(async () => {
  staticRoot = await mkdtemp(join(tmpdir(), 'usher-static-'));
  await mkdir(join(staticRoot, 'deep'), { recursive: true });
  await Promise.all(
    ['clip.flv', 'deep/clip.flv', 'page.html'].map((file) =>
      writeFile(join(staticRoot, file), Buffer.concat([flvOf('file-head'), flvOf('keyframe', 0, 100)])),
    ),
  );
  house = await startGuardedNms({
    nms: {
      auth: { play: false, publish: false, jwt: { secret: 'insecure-test-secret', users: [{ ...USER }] } },
      record: { auto: false, path: staticRoot },
      static: { router: '/static', root: staticRoot },
    },
  });
  for (const event of ['prePlay', 'postPlay', 'donePlay', 'prePublish', 'postPublish', 'donePublish']) {
    house.nms.on(event, (session) => told.push(inspect(session, { depth: 6, maxStringLength: null })));
  }
  source = await publishStamped(house.ports.rtmp, path, STREAM_KEY);
  token = await logIn();
});

afterAll(async () => {
  source.stop();
  await house.stop();
  await rm(staticRoot, { recursive: true, force: true });
});

async function api(
  method: string,
  target: string,
  authorization = `Bearer ${token}`,
): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(`http://127.0.0.1:${house.ports.http}/api/v1${target}`, {
    method,
    headers: { authorization },
  });
  const text = await response.text();
  answered.push(text);
  return { status: response.status, body: JSON.parse(text) as Record<string, unknown> };
}

async function logIn(): Promise<string> {
  const { username, password } = USER;
  const response = await fetch(`http://127.0.0.1:${house.ports.http}/api/v1/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username, password }),
  });
  expect(response.status).toBe(200);
  return ((await response.json()) as { data: { token: string } }).data.token;
}

/** A viewer on each protocol. */
async function watchOnAll(): Promise<Reader[]> {
  const readers: Reader[] = [];
  for (const column of COLUMNS) {
    const pass = await house.pass(path);
    passes.push(pass);
    const reader = openReader(column, { ports: house.ports, path, query: `pass=${pass}` });
    expect((await reader.answer).status).toBe(200);
    readers.push(reader);
  }
  return readers;
}

interface Listed {
  readonly id: string;
  readonly isPublisher: boolean;
  readonly protocol: string;
  readonly outBytes: number;
}

test('the operator logs in, lists streams and viewers, and ends one: he is kicked, within a second', async () => {
  expect((await api('GET', '/streams', '')).status).toBe(401);
  const readers = await watchOnAll();
  const streams = (await api('GET', '/streams')).body.data as { streams: { app: string; name: string }[] };
  expect(streams.streams).toMatchObject([{ app, name }]);
  const listed = async (): Promise<Listed[]> =>
    ((await api('GET', '/sessions')).body.data as { sessions: Listed[] }).sessions;
  const viewers = (await listed()).filter(({ isPublisher }) => !isPublisher);
  expect(viewers.map(({ protocol }) => protocol).sort()).toEqual([
    'flv',
    'flv',
    'flv',
    'flv',
    'flv',
    'rtmp',
    'rtmp',
  ]);
  expect(viewers.every(({ outBytes }) => outBytes > 0)).toBe(true);
  for (const { id } of viewers) expect((await api('DELETE', `/sessions/${id}`)).status).toBe(200);
  const kickedMs = performance.now();
  for (const reader of readers) expect((await reader.ended).atMs - kickedMs).toBeLessThan(1000);
  await eventually(() => house.gate.sessions().length === 0);
  expect(house.sink.receipts.filter(({ reason }) => reason === 'kicked')).toHaveLength(COLUMNS.length);
  expect((await listed()).filter(({ isPublisher }) => !isPublisher)).toEqual([]);
});

test('the operator records a stream; the file is a recording', async () => {
  expect((await api('POST', `/streams/${app}/${name}/record`)).status).toBe(200);
  await eventually(() => source.sent() > 60);
  expect((await api('DELETE', `/streams/${app}/${name}/record`)).status).toBe(200);
  const files = await readdir(staticRoot, { recursive: true });
  expect(files.some((file) => file.includes(name) && file.endsWith('.flv'))).toBe(true);
  await house.pass(path);
});

/** As it is, without what `fetch` would tidy up. */
async function bytesOf(
  target: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: string }> {
  const asked = httpRequest({
    host: '127.0.0.1',
    port: house.ports.http,
    path: target,
    headers,
    agent: false,
  }).end();
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  let body = '';
  response.setEncoding('latin1').on('data', (chunk: string) => (body += chunk));
  await once(response, 'close');
  return { status: response.statusCode ?? 0, body };
}

describe('files of the host are no way around the gate', () => {
  test.each([
    '/static/clip.flv',
    '/static/deep/clip.flv',
    '/static/clip%2eflv',
    '/static/page.html',
    '/static/clip.FLV',
    '/admin/../static/clip.flv',
    '/admin/%2e%2e/static/clip.flv',
    '/admin/..%2fstatic%2fclip.flv',
    '/admin//static/clip.flv',
    '/api/v1/../../static/clip.flv',
    '/api/v1/%2e%2e/%2e%2e/static/page.html',
    '/admin/..%5c..%5cstatic%5cpage.html',
    '/api/v1/records/1/download',
    '/api/v1/records/..%2f1/download',
    '/api/v1/streams',
    '/api/v1/config',
  ])('%s', async (target) => {
    const { status, body } = await bytesOf(target);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(body).not.toContain('FLV\x01');
  });

  test('a ticket is no token of the admin API', async () => {
    const { ticket } = await house.ticket({ uri: path });
    expect((await api('GET', '/streams', `Bearer ${ticket}`)).status).toBe(401);
    expect((await api('GET', `/streams?token=${ticket}`, '')).status).toBe(401);
  });
});

describe('secrets', () => {
  test('passes and stream keys are not in the log, the host’s sessions and events, or the admin API’s answers', async () => {
    const wrong = await request(house.ports.rtmp, 'publish', 'live', `x?key=${WRONG_KEY}`);
    expect(await wrong.status()).toBe('NetStream.Publish.Denied');
    const other = newPath();
    const clip = Buffer.concat([flvOf('file-head'), flvOf('keyframe', 0, 100)]);
    const posted = await fetch(`http://127.0.0.1:${house.ports.http}${other}.flv?key=${STREAM_KEY}`, {
      method: 'POST',
      body: clip,
    });
    expect(posted.status).toBe(200);
    const readers = await watchOnAll();
    const sessions = [...hostTables().sessions.values()].map((session) =>
      inspect(session, { depth: 6, maxStringLength: null }),
    );
    for (const target of [
      '/streams',
      `/streams/${app}/${name}`,
      `/streams/${app}/${name}/urls`,
      '/sessions',
      '/history',
      '/stats',
      '/info',
    ]) {
      await api('GET', target);
    }
    readers.forEach((reader) => reader.destroy());
    await eventually(() => house.gate.sessions().length === 0);

    expect(sessions.length).toBeGreaterThan(COLUMNS.length);
    expect(told.length).toBeGreaterThan(COLUMNS.length);
    const everything = [...house.log.lines, ...sessions, ...told, ...answered].join('\n');
    expect(everything).toContain(path);
    for (const secret of [STREAM_KEY, WRONG_KEY, ...passes]) expect(everything).not.toContain(secret);
  });
});

test('with nmsAdminApi false the listener knows nothing of it', async () => {
  expect((await bytesOf('/api/v1/health')).status).toBe(200);
  house.guard.close();
  const closedGuard = guardNodeMediaServer(house.nms, house.gate, { log: house.log, nmsAdminApi: false });
  onTestFinished(() => closedGuard.close());
  for (const target of ['/api/v1/health', '/api/v1/streams', '/api/v1/login', '/admin/', '/admin']) {
    expect((await bytesOf(target, { authorization: `Bearer ${token}` })).status).toBe(404);
  }
});
