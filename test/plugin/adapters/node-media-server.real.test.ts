import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once, type EventEmitter } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generate } from 'selfsigned';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import WebSocket from 'ws';
import {
  guardNodeMediaServer,
  type NodeMediaServerGuard,
  type PublisherTap,
} from '../../../plugin/adapters/node-media-server.ts';
import { Denial } from '../../../plugin/errors.ts';
import { parseFlvTag } from '../../../plugin/rtp/index.ts';
import { createRecordedLog } from '../media/fakes.ts';
import {
  connectCommand,
  createStreamCommand,
  message,
  openRtmp,
  openSocket,
  request,
  streamCommand,
} from './node-media-server/rtmp-client.ts';

const KEY = 'insecure-test-stream-key';
const WRONG_KEY = 'insecure-test-other-key-';
const ADMIT_WITHIN_SECONDS = 1.5;

interface Nms {
  on(event: string, listener: (session: { streamPath: string }) => void): void;
  run(): Promise<void>;
  stop(): Promise<void>;
  readonly rtmpServer: { readonly tcpServer: Server; readonly tlsServer: Server };
  readonly httpServer: { readonly httpServer: EventEmitter };
}

interface RecordedTap extends PublisherTap {
  readonly path: string;
  readonly tags: Buffer[];
  readonly times: number[];
  restarts: number;
  closed: boolean;
}

const require = createRequire(import.meta.url);
const context = require('node-media-server/src/core/context.js') as {
  sessions: Map<string, unknown>;
  broadcasts: Map<string, unknown>;
};
const directory = mkdtempSync(join(tmpdir(), 'usher-nms-'));
const log = createRecordedLog();
const taps: RecordedTap[] = [];
const hostEvents: string[] = [];
const waiters = new Set<() => void>();
let nms: Nms;
let guard: NodeMediaServerGuard;
let rtmpPort = 0;
let rtmpsPort = 0;
let httpPort = 0;
let listenersBefore: Record<string, unknown[]>;
let paths = 0;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function createTap(path: string): RecordedTap {
  const tap: RecordedTap = {
    path,
    tags: [],
    times: [],
    restarts: 0,
    closed: false,
    pushTag(tag, timestampMs) {
      tap.tags.push(tag);
      tap.times.push(timestampMs);
      waiters.forEach((check) => check());
    },
    restart: () => void (tap.restarts += 1),
    close() {
      tap.closed = true;
      waiters.forEach((check) => check());
    },
  };
  taps.push(tap);
  return tap;
}

/** Resolves with the first value that is not `undefined`; asked again at each tag and each end of a tap. */
function until<T>(pick: () => T | undefined): Promise<T> {
  return new Promise((resolve) => {
    function check(): void {
      const value = pick();
      if (value === undefined) return;
      waiters.delete(check);
      resolve(value);
    }
    waiters.add(check);
    check();
  });
}

function tapOf(path: string): RecordedTap | undefined {
  return taps.findLast((tap) => tap.path === path);
}

/** Resolves when the stream has carried `count` more tags. */
async function flowing(path: string, count = 20): Promise<RecordedTap> {
  const before = tapOf(path)?.tags.length ?? 0;
  return until(() => {
    const tap = tapOf(path);
    return tap !== undefined && tap.tags.length >= before + count ? tap : undefined;
  });
}

function newName(): { name: string; path: string } {
  const name = `s${paths++}`;
  return { name, path: `/live/${name}` };
}

interface Encoder {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
}

function encode(stream: string, seconds = 60): Encoder {
  const child = spawn(
    'ffmpeg',
    [
      ...['-hide_banner', '-loglevel', 'error', '-nostdin', '-re'],
      ...['-f', 'lavfi', '-i', 'testsrc=size=160x90:rate=25', '-f', 'lavfi', '-i', 'sine=frequency=440'],
      ...[
        '-t',
        String(seconds),
        '-c:v',
        'libx264',
        '-profile:v',
        'baseline',
        '-tune',
        'zerolatency',
        '-g',
        '25',
      ],
      ...['-pix_fmt', 'yuv420p', '-c:a', 'aac', '-f', 'flv', `rtmp://127.0.0.1:${rtmpPort}/live/${stream}`],
    ],
    { stdio: 'ignore' },
  );
  onTestFinished(() => void child.kill('SIGKILL'));
  return { child, exited: once(child, 'exit').then(([code]) => code as number | null) };
}

async function writeCertificate(): Promise<{ key: string; cert: string }> {
  const pems = await generate([{ name: 'commonName', value: 'localhost' }]);
  const files = { key: join(directory, 'key.pem'), cert: join(directory, 'cert.pem') };
  writeFileSync(files.key, pems.private);
  writeFileSync(files.cert, pems.cert);
  return files;
}

beforeAll(async () => {
  [rtmpPort, rtmpsPort, httpPort] = [await freePort(), await freePort(), await freePort()];
  const logger = require('node-media-server/src/core/logger.js') as { log: () => void };
  logger.log = () => undefined;
  const NodeMediaServer = require('node-media-server') as new (config: object) => Nms;
  nms = new NodeMediaServer({
    bind: '127.0.0.1',
    rtmp: { port: rtmpPort },
    rtmps: { port: rtmpsPort, ...(await writeCertificate()) },
    http: { port: httpPort },
    record: { auto: false },
    store: { path: join(directory, 'store') },
    auth: { jwt: { secret: 'insecure-test-secret', users: [] } },
  });
  for (const event of ['prePlay', 'postPlay', 'donePlay', 'prePublish', 'postPublish', 'donePublish']) {
    nms.on(event, (session) => hostEvents.push(`${event} ${session.streamPath}`));
  }
  listenersBefore = currentListeners();
  guard = guardNodeMediaServer(
    nms,
    {
      async authorizePublish({ streamKey }) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        if (streamKey !== KEY) throw new Denial('stream_key_invalid');
      },
    },
    {
      log,
      onPublisher: createTap,
      graceSeconds: 1,
      admitWithinSeconds: ADMIT_WITHIN_SECONDS,
      idleSeconds: 2,
      maxWaitingConnections: 20,
    },
  );
  await nms.run();
  if (!nms.rtmpServer.tcpServer.listening) await once(nms.rtmpServer.tcpServer, 'listening');
});

function currentListeners(): Record<string, unknown[]> {
  return {
    connection: nms.rtmpServer.tcpServer.listeners('connection'),
    secured: nms.rtmpServer.tlsServer.listeners('secureConnection'),
    rawTls: nms.rtmpServer.tlsServer.listeners('connection'),
    request: nms.httpServer.httpServer.listeners('request'),
    upgrade: nms.httpServer.httpServer.listeners('upgrade'),
  };
}

afterAll(async () => {
  guard.close();
  await nms.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** Nothing of a refused stream is left in the host, and the host was told of nothing. */
function expectUntouched(path: string): void {
  expect(hostEvents.filter((event) => event.endsWith(` ${path}`))).toEqual([]);
  expect(context.broadcasts.has(path)).toBe(false);
  expect(tapOf(path)).toBeUndefined();
}

describe('publishing', () => {
  test('with the right key the tags of a real encoder reach the tap, configuration first', async () => {
    const { name, path } = newName();
    encode(`${name}?key=${KEY}`);
    const tap = await flowing(path, 60);
    const kinds = tap.tags.map((tag) => parseFlvTag(tag).kind);
    expect(kinds.filter((kind) => kind === 'avc-config')).toHaveLength(1);
    expect(kinds.indexOf('avc-config')).toBeLessThan(kinds.indexOf('avc-frame'));
    expect(kinds.indexOf('aac-config')).toBeLessThan(kinds.indexOf('aac-frame'));
    expect(hostEvents.filter((event) => event.endsWith(` ${path}`))).toEqual([
      `prePublish ${path}`,
      `postPublish ${path}`,
    ]);
  });

  test.each([
    ['a wrong key', `?key=${WRONG_KEY}`, 'NetStream.Publish.Denied'],
    ['no key', '', 'NetStream.Publish.Denied'],
    ['a key twice', `?key=${KEY}&key=${KEY}`, 'NetStream.Publish.Denied'],
    ['a key of another shape', '?key=short', 'NetStream.Publish.Denied'],
    ['a query with something else', `?key=${KEY}&sign=1`, 'NetStream.Play.Failed'],
  ])('%s is refused with its code, and the host hears nothing', async (_, query, code) => {
    const { name, path } = newName();
    const client = await request(rtmpPort, 'publish', 'live', `${name}${query}`);
    expect(await client.status()).toBe(code);
    await client.ended;
    expect(client.received().toString('latin1')).not.toContain('Publish.Start');
    expectUntouched(path);
  });

  test('a real encoder with a wrong key ends with an error', async () => {
    const { name, path } = newName();
    const { exited } = encode(`${name}?key=${WRONG_KEY}`);
    expect(await exited).not.toBe(0);
    expectUntouched(path);
  });

  test('a second publisher is told that the stream is busy, a wrong key even then that it is wrong', async () => {
    const { name, path } = newName();
    encode(`${name}?key=${KEY}`);
    const tap = await flowing(path);
    const second = await request(rtmpPort, 'publish', 'live', `${name}?key=${KEY}`);
    expect(await second.status()).toBe('NetStream.Publish.BadName');
    const intruder = await request(rtmpPort, 'publish', 'live', `${name}?key=${WRONG_KEY}`);
    expect(await intruder.status()).toBe('NetStream.Publish.Denied');
    await flowing(path);
    expect(tapOf(path)).toBe(tap);
    expect(hostEvents.filter((event) => event === `postPublish ${path}`)).toHaveLength(1);
  });

  test('of two publishers who come at once exactly one is admitted', async () => {
    const { name } = newName();
    const clients = await Promise.all(
      Array.from({ length: 4 }, () => request(rtmpPort, 'publish', 'live', `${name}?key=${KEY}`)),
    );
    const codes = await Promise.all(clients.map((client) => client.status()));
    expect(codes.sort()).toEqual([
      ...Array<string>(3).fill('NetStream.Publish.BadName'),
      'NetStream.Publish.Start',
    ]);
    clients.forEach(({ socket }) => socket.destroy());
  });

  test('who comes back within the grace time goes on with the same tap and his own timestamps', async () => {
    const { name, path } = newName();
    const first = encode(`${name}?key=${KEY}`);
    const tap = await flowing(path, 60);
    first.child.kill('SIGKILL');
    await first.exited;
    const before = tap.tags.length;
    encode(`${name}?key=${KEY}`);
    await until(() => (tap.tags.length > before + 20 ? true : undefined));
    expect([tapOf(path) === tap, tap.restarts, tap.closed]).toEqual([true, 1, false]);
    const kinds = tap.tags.slice(before).map((tag) => parseFlvTag(tag).kind);
    expect(kinds).toContain('avc-config');
    // The host adds an offset to the tags; what we are told is what the encoder said.
    expect(Math.min(...tap.times.slice(before))).toBe(0);
    expect(Math.max(...tap.times.slice(before, before + 20))).toBeLessThan(1000);
  });

  test('without return the tap is closed after the grace time', async () => {
    const { name, path } = newName();
    const { child } = encode(`${name}?key=${KEY}`);
    const tap = await flowing(path);
    const goneAtMs = performance.now();
    child.kill('SIGKILL');
    await until(() => (tap.closed ? true : undefined));
    expect(performance.now() - goneAtMs).toBeGreaterThan(900);
  });

  test('a publisher who falls silent has gone', async () => {
    const { name, path } = newName();
    const client = await request(rtmpPort, 'publish', 'live', `${name}?key=${KEY}`);
    expect(await client.status()).toBe('NetStream.Publish.Start');
    await client.ended;
    await until(() => (tapOf(path)?.closed === true ? true : undefined));
  });
});

describe('playing', () => {
  test('over RTMP is closed: a code, and no media', async () => {
    const { name, path } = newName();
    encode(`${name}?key=${KEY}`);
    await flowing(path);
    const client = await request(rtmpPort, 'play', 'live', name);
    expect(await client.status()).toBe('NetStream.Play.Failed');
    await client.ended;
    const text = client.received().toString('latin1');
    expect(text).toContain('play_closed');
    expect(text).not.toContain('Play.Start');
    expect(client.received().length).toBeLessThan(1000);
    expect(hostEvents.filter((event) => event.endsWith(`Play ${path}`))).toEqual([]);
  });

  test.each([
    ['GET', '/live/a.flv', 403, 'play_closed'],
    ['POST', '/live/a.flv', 405, 'method_not_allowed'],
    ['GET', '/a%20b/c.flv', 400, 'request_malformed'],
    ['GET', '/', 404, 'not_found'],
    ['GET', '/api/v1/health', 404, 'not_found'],
    ['GET', '/admin/', 404, 'not_found'],
  ])('HTTP %s %s: %i %s', async (method, path, status, code) => {
    const sessions = context.sessions.size;
    const response = await fetch(`http://127.0.0.1:${httpPort}${path}`, { method });
    expect(response.status).toBe(status);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(await response.json()).toMatchObject({ code, status });
    expect(context.sessions.size).toBeLessThanOrEqual(sessions);
  });

  test.each([
    ['/live/a.flv', 403],
    ['/a%20b/c.flv', 400],
    ['/live/a.flv?sign=1&sign=2', 403],
    ['/', 404],
  ])('WebSocket %s: %i', async (path, status) => {
    const socket = new WebSocket(`ws://127.0.0.1:${httpPort}${path}`);
    const [, response] = (await once(socket, 'unexpected-response')) as [unknown, { statusCode: number }];
    expect(response.statusCode).toBe(status);
    socket.on('error', () => undefined);
    socket.terminate();
  });
});

describe('RTMPS', () => {
  async function secured(stream: string) {
    const socket = connectTls({ port: rtmpsPort, host: '127.0.0.1', rejectUnauthorized: false });
    socket.on('error', () => undefined);
    const ended = new Promise<void>((resolve) => socket.on('close', () => resolve()));
    const client = await openRtmp(rtmpsPort, { socket, ended });
    client.send(
      Buffer.concat([connectCommand('live'), createStreamCommand(), streamCommand('publish', stream)]),
    );
    return client;
  }

  test('the gate is in front there too', async () => {
    const { name, path } = newName();
    const wrong = await secured(`${name}?key=${WRONG_KEY}`);
    expect(await wrong.status()).toBe('NetStream.Publish.Denied');
    await wrong.ended;
    expectUntouched(path);
    const right = await secured(`${name}?key=${KEY}`);
    expect(await right.status()).toBe('NetStream.Publish.Start');
    expect(tapOf(path)).toBeDefined();
    right.socket.destroy();
  });

  test('a TLS handshake that does not go on is ended when its time is up', async () => {
    const { socket, ended } = openSocket(rtmpsPort);
    socket.write(Buffer.from([0x16, 3, 1]));
    await ended;
  });
});

describe('hostile peers', () => {
  const INJECTED = Buffer.concat([
    Buffer.from([0x17, 1, 0, 0, 0]),
    Buffer.from('injected-by-a-hostile-peer'),
  ]);

  function mediaMessage(): Buffer {
    return message(6, 9, 1, INJECTED);
  }

  function wasInjected(): boolean {
    return taps.some((tap) => tap.tags.some((tag) => tag.includes('injected-by-a-hostile-peer')));
  }

  test.each([
    ['without a command', []],
    ['after playing', ['play']],
    ['after publishing with a wrong key', ['publish']],
    ['after a second command', ['play', 'publish']],
  ])('media %s reaches no stream', async (_, commands) => {
    const { name, path } = newName();
    encode(`${name}?key=${KEY}`);
    await flowing(path);
    const client = await openRtmp(rtmpPort);
    const named = commands.map((command) =>
      streamCommand(command as 'play' | 'publish', command === 'play' ? name : `${name}?key=${WRONG_KEY}`),
    );
    // All in one write, and once more after the answer.
    client.send(Buffer.concat([connectCommand('live'), createStreamCommand(), ...named, mediaMessage()]));
    client.send(mediaMessage());
    await client.ended;
    await flowing(path);
    expect(wasInjected()).toBe(false);
  });

  test('media after the answer of an admitted publisher does reach his stream: the test above can fail', async () => {
    const { name, path } = newName();
    const client = await request(rtmpPort, 'publish', 'live', `${name}?key=${KEY}`);
    expect(await client.status()).toBe('NetStream.Publish.Start');
    client.send(
      message(6, 9, 1, Buffer.concat([Buffer.from([0x27, 1, 0, 0, 0]), Buffer.from('from-his-own')])),
    );
    await until(() =>
      tapOf(path)?.tags.some((tag) => tag.includes('from-his-own')) === true ? true : undefined,
    );
    client.socket.destroy();
  });

  test('a second command ends an admitted publisher too, and reaches no other stream', async () => {
    const { name } = newName();
    const other = newName();
    const client = await request(rtmpPort, 'publish', 'live', `${name}?key=${KEY}`);
    expect(await client.status()).toBe('NetStream.Publish.Start');
    client.send(streamCommand('publish', `${other.name}?key=${KEY}`));
    await client.ended;
    expectUntouched(other.path);
  });

  test('garbage instead of a handshake is ended at once', async () => {
    const startMs = performance.now();
    const { socket, ended } = openSocket(rtmpPort);
    socket.write('GET / HTTP/1.1\r\n\r\n');
    await ended;
    expect(performance.now() - startMs).toBeLessThan(ADMIT_WITHIN_SECONDS * 500);
  });

  test('a slow handshake is ended when its time is up', async () => {
    const startMs = performance.now();
    const { socket, ended } = openSocket(rtmpPort);
    socket.write(Buffer.from([3, 0]));
    await ended;
    const tookMs = performance.now() - startMs;
    expect(tookMs).toBeGreaterThan(ADMIT_WITHIN_SECONDS * 900);
    expect(tookMs).toBeLessThan(ADMIT_WITHIN_SECONDS * 1000 + 1000);
  });

  test('who shakes hands and then does nothing is ended when his time is up', async () => {
    const client = await openRtmp(rtmpPort);
    await client.ended;
    expect(client.received()).toHaveLength(0);
  });

  test('connections that wait are limited, and places are given back', async () => {
    const crowd = Array.from({ length: 25 }, () => openSocket(rtmpPort));
    await Promise.race(crowd.map(({ ended }) => ended));
    crowd.forEach(({ socket }) => socket.destroy());
    await Promise.all(crowd.map(({ ended }) => ended));
    const { name } = newName();
    let client = await request(rtmpPort, 'publish', 'live', `${name}?key=${KEY}`).catch(() => undefined);
    while (client === undefined) {
      client = await request(rtmpPort, 'publish', 'live', `${name}?key=${KEY}`).catch(() => undefined);
    }
    expect(await client.status()).toBe('NetStream.Publish.Start');
    client.socket.destroy();
  });

  function chunkHead(chunkStream: number, length: number, type: number): Buffer {
    const head = Buffer.alloc(12);
    head[0] = chunkStream;
    head.writeUIntBE(length, 4, 3);
    head[7] = type;
    return head;
  }

  test.each([
    ['a message of 16 MB', Buffer.concat([chunkHead(3, 0xff_ff_ff, 20), Buffer.alloc(128)])],
    [
      'many chunk streams',
      Buffer.concat(
        Array.from({ length: 40 }, (_, index) =>
          Buffer.concat([chunkHead(3 + index, 8000, 20), Buffer.alloc(128)]),
        ),
      ),
    ],
    [
      'an AMF object without end',
      message(3, 20, 0, Buffer.from([2, 0, 7, ...Buffer.from('connect'), 3, 0, 1, 0x61])),
    ],
    [
      'an AMF array of four billion',
      message(3, 20, 0, Buffer.from([2, 0, 7, ...Buffer.from('connect'), 10, 255, 255, 255, 255])),
    ],
    [
      'AMF nested thousands deep',
      message(
        3,
        20,
        0,
        Buffer.concat([
          Buffer.from([2, 0, 7]),
          Buffer.from('connect'),
          Buffer.from('03000161'.repeat(3500), 'hex'),
        ]),
      ),
    ],
    [
      'a command that is a property of every object',
      message(3, 20, 0, Buffer.from([2, 0, 11, ...Buffer.from('constructor'), 5])),
    ],
    [
      'a tcUrl that is none',
      message(3, 20, 0, Buffer.concat([Buffer.from([2, 0, 7]), Buffer.from('connect'), Buffer.from([5])])),
    ],
    [
      'more bytes than a command needs',
      Buffer.concat(Array.from({ length: 700 }, () => message(4, 3, 0, Buffer.alloc(100)))),
    ],
  ])('%s ends only its own connection', async (_, bytes) => {
    const { name, path } = newName();
    encode(`${name}?key=${KEY}`);
    await flowing(path);
    const startMs = performance.now();
    const client = await openRtmp(rtmpPort);
    client.send(bytes);
    await client.ended;
    expect(performance.now() - startMs).toBeLessThan(ADMIT_WITHIN_SECONDS * 900);
    await flowing(path);
  });

  test.each([
    ['zero', 0],
    ['one', 1],
    ['two billion', 0x7f_ff_ff_ff],
  ])('a chunk size of %s is nobody else’s concern', async (_, size) => {
    const { name, path } = newName();
    encode(`${name}?key=${KEY}`);
    await flowing(path);
    const client = await openRtmp(rtmpPort);
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(size);
    client.send(Buffer.concat([message(2, 1, 0, payload), randomBytes(20_000)]));
    await client.ended;
    await flowing(path);
  });

  test('random bytes after the handshake, again and again, leave the process up and its memory as it was', async () => {
    const { name, path } = newName();
    encode(`${name}?key=${KEY}`);
    await flowing(path);
    const before = process.memoryUsage().rss;
    for (let round = 0; round < 60; round++) {
      const client = await openRtmp(rtmpPort);
      client.send(
        round % 2 === 0 ? randomBytes(4096) : Buffer.concat([connectCommand('live'), randomBytes(2048)]),
      );
      client.socket.end();
      await client.ended;
    }
    await flowing(path);
    expect(process.memoryUsage().rss - before).toBeLessThan(150 * 1024 * 1024);
  });

  test('an admitted publisher without keyframes does not fill the host’s caches', async () => {
    const { name, path } = newName();
    const client = await request(rtmpPort, 'publish', 'live', `${name}?key=${KEY}`);
    expect(await client.status()).toBe('NetStream.Publish.Start');
    const body = Buffer.alloc(1024 * 1024, 0x41);
    const start = (head: number): Buffer => Buffer.concat([Buffer.from([head, 1, 0, 0, 0]), body]);
    client.send(message(6, 9, 1, start(0x17)));
    for (let index = 0; index < 40; index++) client.send(message(6, 9, 1, start(0x27)));
    await until(() => ((tapOf(path)?.tags.length ?? 0) >= 41 ? true : undefined));
    const broadcast = context.broadcasts.get(path) as { flvGopCache: Set<Buffer> };
    const cachedBytes = [...broadcast.flvGopCache].reduce((sum, tag) => sum + tag.length, 0);
    expect(cachedBytes).toBeLessThan(33 * 1024 * 1024);
    client.socket.destroy();
  });

  test('a message of an admitted publisher may have 4 MiB and not more', async () => {
    const { name } = newName();
    const client = await request(rtmpPort, 'publish', 'live', `${name}?key=${KEY}`);
    expect(await client.status()).toBe('NetStream.Publish.Start');
    client.send(Buffer.concat([chunkHead(6, 5 * 1024 * 1024, 9), Buffer.alloc(128)]));
    await client.ended;
  });
});

test('keys reach neither the log nor the host', () => {
  const text = JSON.stringify(log.lines);
  expect(text).toContain('publishing refused');
  expect(text).not.toContain(KEY);
  expect(text).not.toContain(WRONG_KEY);
});

describe('what cannot be guarded is refused when it starts', () => {
  const gate = { authorizePublish: () => Promise.resolve() };
  const options = { log: createRecordedLog(), onPublisher: createTap };

  test('something else than a node-media-server', () => {
    expect(() => guardNodeMediaServer({}, gate, options)).toThrow(TypeError);
  });

  test('an instance of another copy of the package', () => {
    const other = { httpServer: {}, rtmpServer: {}, store: {} };
    expect(() => guardNodeMediaServer(other, gate, options)).toThrow(/another copy/);
  });
});

test('close ends the connections and the taps and gives the listeners back', async () => {
  const { name, path } = newName();
  const client = await request(rtmpPort, 'publish', 'live', `${name}?key=${KEY}`);
  expect(await client.status()).toBe('NetStream.Publish.Start');
  const tap = tapOf(path)!;
  guard.close();
  guard.close();
  await client.ended;
  expect(tap.closed).toBe(true);
  expect(currentListeners()).toEqual(listenersBefore);
});
