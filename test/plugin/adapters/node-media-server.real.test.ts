/** Publishers: what the tap gets of them, what becomes of their place, and what their connections may send. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { PublisherTap } from '../../../plugin/adapters/node-media-server.ts';
import { parseFlvTag } from '../../../plugin/rtp/index.ts';
import { eventually } from '../../support/flv-readers.ts';
import { newPath, startGuardedNms, STREAM_KEY, type GuardedNms } from '../../support/guarded-nms.ts';
import { publishTestCard, type Encoder } from '../../support/stack.ts';
import {
  connectCommand,
  message,
  openRtmp,
  request,
  streamCommand,
  type RtmpClient,
} from './node-media-server/rtmp-client.ts';

const ASK_WITHIN_SECONDS = 1.5;

interface RecordedTap extends PublisherTap {
  readonly path: string;
  readonly tags: Buffer[];
  readonly times: number[];
  restarts: number;
  closed: boolean;
}

const { broadcasts } = createRequire(import.meta.url)('node-media-server/src/core/context.js') as {
  broadcasts: ReadonlyMap<string, { readonly flvGopCache: Set<Buffer> }>;
};
const taps: RecordedTap[] = [];
const hostEvents: string[] = [];
let house: GuardedNms;
let listenersBefore: object;

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
    },
    restart: () => void (tap.restarts += 1),
    close: () => void (tap.closed = true),
  };
  taps.push(tap);
  return tap;
}

const tapOf = (path: string): RecordedTap | undefined => taps.findLast((tap) => tap.path === path);

/** Resolves when the stream has carried `count` more tags. */
function flowing(path: string, count = 20): Promise<RecordedTap> {
  const before = tapOf(path)?.tags.length ?? 0;
  return eventually(() => {
    const tap = tapOf(path);
    return tap !== undefined && tap.tags.length >= before + count && tap;
  });
}

function encode(path: string): Encoder {
  const url = `rtmp://127.0.0.1:${String(house.ports.rtmp)}${path}?key=${STREAM_KEY}`;
  const encoder = publishTestCard(url);
  onTestFinished(() => encoder.stop());
  return encoder;
}

const nameOf = (path: string): string => path.split('/')[2] ?? '';

function askToPublish(path: string): Promise<RtmpClient> {
  return request(house.ports.rtmp, 'publish', 'live', `${nameOf(path)}?key=${STREAM_KEY}`);
}

async function publish(path: string): Promise<RtmpClient> {
  const client = await askToPublish(path);
  expect(await client.status()).toBe('NetStream.Publish.Start');
  return client;
}

const currentListeners = ({ httpServer, rtmpServer }: GuardedNms['nms']): object => ({
  connection: rtmpServer.tcpServer.listeners('connection'),
  secured: rtmpServer.tlsServer.listeners('secureConnection'),
  rawTls: rtmpServer.tlsServer.listeners('connection'),
  request: httpServer.httpServer.listeners('request'),
  upgrade: httpServer.httpServer.listeners('upgrade'),
  requests: httpServer.httpsServer.listeners('request'),
});

beforeAll(async () => {
  house = await startGuardedNms({
    beforeGuard: (nms) => void (listenersBefore = currentListeners(nms)),
    guard: { onPublisher: createTap, graceSeconds: 1, idleSeconds: 2, askWithinSeconds: ASK_WITHIN_SECONDS },
  });
  for (const event of ['prePublish', 'postPublish', 'donePublish']) {
    house.nms.on(event, ({ streamPath }) => hostEvents.push(`${event} ${streamPath}`));
  }
});

afterAll(() => house.stop());

describe('a publisher and his tap', () => {
  test('the tags of a real encoder reach the tap, configuration first', async () => {
    const path = newPath();
    encode(path);
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

  test('of publishers who come at once exactly one is admitted', async () => {
    const path = newPath();
    const clients = await Promise.all(Array.from({ length: 4 }, () => askToPublish(path)));
    const codes = await Promise.all(clients.map((client) => client.status()));
    expect(codes.sort()).toEqual([
      ...Array<string>(3).fill('NetStream.Publish.BadName'),
      'NetStream.Publish.Start',
    ]);
    expect(hostEvents.filter((event) => event === `postPublish ${path}`)).toHaveLength(1);
    clients.forEach(({ socket }) => socket.destroy());
  });

  test('who comes back within the grace time goes on with the same tap and his own timestamps', async () => {
    const path = newPath();
    const first = encode(path);
    const tap = await flowing(path, 60);
    await first.stop();
    const before = tap.tags.length;
    encode(path);
    await eventually(() => tap.tags.length > before + 20);
    expect([tapOf(path) === tap, tap.restarts, tap.closed]).toEqual([true, 1, false]);
    const kinds = tap.tags.slice(before).map((tag) => parseFlvTag(tag).kind);
    expect(kinds).toContain('avc-config');
    // The host adds an offset to the tags; what we are told is what the encoder said.
    expect(Math.min(...tap.times.slice(before))).toBe(0);
    expect(Math.max(...tap.times.slice(before, before + 20))).toBeLessThan(1000);
  });

  test('without return the tap is closed after the grace time', async () => {
    const path = newPath();
    const encoder = encode(path);
    const tap = await flowing(path);
    const goneAtMs = performance.now();
    await encoder.stop();
    await eventually(() => tap.closed);
    expect(performance.now() - goneAtMs).toBeGreaterThan(900);
  });

  test('a publisher who falls silent has gone', async () => {
    const path = newPath();
    const client = await publish(path);
    await client.ended;
    await eventually(() => tapOf(path)?.closed);
  });
});

function chunkHead(chunkStream: number, length: number, type: number): Buffer {
  const head = Buffer.alloc(12);
  head[0] = chunkStream;
  head.writeUIntBE(length, 4, 3);
  head[7] = type;
  return head;
}

describe('hostile RTMP ends only its own connection', () => {
  let path: string;
  let encoder: Encoder;

  beforeAll(async () => {
    path = newPath();
    const url = `rtmp://127.0.0.1:${String(house.ports.rtmp)}${path}?key=${STREAM_KEY}`;
    encoder = publishTestCard(url);
    await flowing(path);
  });

  afterAll(() => encoder.stop());

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
  ])('%s', async (_, bytes) => {
    const startMs = performance.now();
    const client = await openRtmp(house.ports.rtmp);
    client.send(bytes);
    await client.ended;
    expect(performance.now() - startMs).toBeLessThan(ASK_WITHIN_SECONDS * 900);
    await flowing(path, 5);
  });

  test.each([
    ['zero', 0],
    ['one', 1],
    ['two billion', 0x7f_ff_ff_ff],
  ])('a chunk size of %s', async (_, size) => {
    const client = await openRtmp(house.ports.rtmp);
    const payload = Buffer.alloc(4);
    payload.writeUInt32BE(size);
    client.send(Buffer.concat([message(2, 1, 0, payload), randomBytes(20_000)]));
    await client.ended;
    await flowing(path, 5);
  });

  test('random bytes after the handshake, again and again: the process stays up, its memory as it was', async () => {
    const before = process.memoryUsage().rss;
    for (let round = 0; round < 60; round++) {
      const client = await openRtmp(house.ports.rtmp);
      client.send(
        round % 2 === 0 ? randomBytes(4096) : Buffer.concat([connectCommand('live'), randomBytes(2048)]),
      );
      client.socket.end();
      await client.ended;
    }
    await flowing(path, 5);
    expect(process.memoryUsage().rss - before).toBeLessThan(150 * 1024 * 1024);
  });

  test('a second command ends an admitted publisher too', async () => {
    const client = await publish(newPath());
    client.send(streamCommand('publish', `${nameOf(newPath())}?key=${STREAM_KEY}`));
    await client.ended;
  });

  test('an admitted publisher without keyframes does not fill the host’s caches', async () => {
    const own = newPath();
    const client = await publish(own);
    const body = Buffer.alloc(1024 * 1024, 0x41);
    const start = (head: number): Buffer => Buffer.concat([Buffer.from([head, 1, 0, 0, 0]), body]);
    client.send(message(6, 9, 1, start(0x17)));
    for (let index = 0; index < 40; index++) {
      client.send(message(6, 9, 1, start(0x27)));
      if (client.socket.writableNeedDrain) await once(client.socket, 'drain');
    }
    await eventually(() => (tapOf(own)?.tags.length ?? 0) >= 41);
    const cached = [...(broadcasts.get(own)?.flvGopCache ?? [])];
    expect(cached.length).toBeGreaterThan(0);
    expect(cached.reduce((sum, tag) => sum + tag.length, 0)).toBeLessThan(33 * 1024 * 1024);
    client.socket.destroy();
  });

  test('a message of an admitted publisher may have 4 MiB and not more', async () => {
    const client = await publish(newPath());
    client.send(Buffer.concat([chunkHead(6, 5 * 1024 * 1024, 9), Buffer.alloc(128)]));
    await client.ended;
  });
});

test('stream keys are not in the log', () => {
  const text = JSON.stringify(house.log.lines);
  expect(text).toContain('publisher admitted');
  expect(text).not.toContain(STREAM_KEY);
});

test('close ends connections and taps, and gives the listeners back', async () => {
  const path = newPath();
  const client = await publish(path);
  expect(currentListeners(house.nms)).not.toEqual(listenersBefore);
  house.guard.close();
  house.guard.close();
  await client.ended;
  expect(tapOf(path)?.closed).toBe(true);
  expect(currentListeners(house.nms)).toEqual(listenersBefore);
  // The host answers again, and knows neither passes nor problem documents.
  const response = await fetch(`http://127.0.0.1:${String(house.ports.http)}/pass`);
  expect(response.headers.get('content-type')).not.toBe('application/problem+json');
});
