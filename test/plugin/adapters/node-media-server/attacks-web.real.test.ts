/** Attacks over HTTP, HTTP/2 and WebSocket on the real thing. A viewer watches all the while, and misses nothing. */
import { once } from 'node:events';
import { connect as connectHttp2, constants, type ClientHttp2Session } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import WebSocket from 'ws';
import { eventually } from '../../../support/flv-readers.ts';
import { newPath, startGuardedNms, STREAM_KEY, type GuardedNms } from '../../../support/guarded-nms.ts';
import { flvOf, flvTag } from './messages.ts';
import { hostTables, startSteadyStream, type SteadyStream } from './steady-stream.ts';

const INJECTED = 'injected-by-a-hostile-peer';
const ENDED_WITHIN_MS = 2500;
const MiB = 1024 * 1024;

let house: GuardedNms;
let steady: SteadyStream;
const tapped: Buffer[] = [];
const onAir = new Set<string>();

/** Not `once`: an error on the way to the end is an end. */
function closed(stream: { once(event: 'close', listener: () => void): unknown }): Promise<void> {
  return new Promise((resolve) => stream.once('close', resolve));
}

beforeAll(async () => {
  house = await startGuardedNms({
    guard: {
      idleSeconds: 1,
      graceSeconds: 0.2,
      onPublisher(path) {
        onAir.add(path);
        return { pushTag: (tag) => void tapped.push(Buffer.from(tag)), close: () => undefined };
      },
    },
  });
  steady = await startSteadyStream(house);
});

afterAll(async () => {
  await steady.expectUnharmed();
  steady.stop();
  await house.stop();
});

interface Said {
  readonly text: string;
  readonly tookMs: number;
}

/** Writes bytes as they are and answers all that came back until the server ended the connection. */
async function say(bytes: string | Buffer, secure = false): Promise<Said> {
  const startMs = performance.now();
  const { http, https } = house.ports;
  const socket: Socket = secure
    ? connectTls({ host: '127.0.0.1', port: https, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] })
    : connect(http, '127.0.0.1');
  const parts: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => parts.push(chunk)).on('error', () => undefined);
  socket.write(bytes);
  await closed(socket);
  return { text: Buffer.concat(parts).toString('latin1'), tookMs: performance.now() - startMs };
}

const upgrade = (path: string, more = ''): string =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
  `Sec-WebSocket-Key: ${Buffer.alloc(16).toString('base64')}\r\n${more}\r\n`;

const get = (path: string, more = ''): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n${more}\r\n`;

describe.each([
  ['http', false],
  ['https', true],
])('requests that are none, over %s', (_, secure) => {
  test.concurrent.each([
    ['an encoded space, which would end the host', upgrade('/a%20b/c.flv'), 400],
    ['WebSocket play with sign twice, which would end the host', upgrade('/live/a.flv?sign=1&sign=2'), 400],
    ['WebSocket play with a pass twice', upgrade('/live/a.flv?pass=a&pass=b'), 400],
    ['WebSocket on a path of one segment', upgrade('/a.flv'), 400],
    ['an encoded slash', get('/live%2fa.flv'), 400],
    ['an encoded slash in a name', get('/live/a%2f..%2fb.flv'), 400],
    ['a backslash', get('/live\\a.flv'), 400],
    ['dots', get('/admin/../live/a.flv'), 400],
    ['the absolute form', get('http://127.0.0.1/live/a.flv'), 400],
    ['the absolute form of the admin API', get('http://127.0.0.1/api/v1/streams'), 400],
    ['CONNECT', 'CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: x\r\n\r\n', 0],
    ['TRACE', 'TRACE /live/a.flv HTTP/1.1\r\nHost: x\r\n\r\n', 405],
    ['OPTIONS *', 'OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n', 400],
    ['a method of its own', 'EVIL /live/a.flv HTTP/1.1\r\nHost: x\r\n\r\n', 400],
    ['RTMP', Buffer.concat([Buffer.from([3]), Buffer.alloc(1536, 7)]), 400],
    [
      'length and chunks at once',
      `POST /live/a.flv?key=${STREAM_KEY} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /live/b.flv HTTP/1.1\r\n\r\n`,
      400,
    ],
    [
      'two lengths',
      'POST /live/a.flv HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello',
      400,
    ],
    [
      'chunks under another name',
      'POST /live/a.flv HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n',
      400,
    ],
    ['a space before the colon', get('/live/a.flv', 'Authorization : DPoP x\r\n'), 400],
    ['a folded line', get('/live/a.flv', 'Authorization: DPoP\r\n x\r\n'), 400],
    ['NUL in a field', get('/live/a.flv', 'Authorization: DPoP \0\r\n'), 400],
    ['20 kB of header', get('/live/a.flv', `X: ${'a'.repeat(20_000)}\r\n`), 431],
    ['5,000 header fields', get('/live/a.flv', 'a:1\r\n'.repeat(5000)), 431],
    ['a path of 10,000 characters', get(`/live/${'a'.repeat(10_000)}.flv`), 400],
  ])('%s', async (_name, bytes, status) => {
    const { text, tookMs } = await say(bytes, secure);
    if (status === 0) expect(text).not.toMatch(/^HTTP\/1.1 2/);
    else expect(text).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(text).not.toContain('FLV');
    expect(tookMs).toBeLessThan(ENDED_WITHIN_MS);
  });
});

describe('a field twice', () => {
  const fieldsOf = (fields: Record<string, string>): string =>
    Object.entries(fields)
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join('');

  test.each([
    ['authorization', 'ticket_malformed'],
    ['dpop', 'proof_invalid'],
  ])('%s is refused, although each is good', async (name, code) => {
    const url = `http://localhost:${house.ports.http}${steady.path}.flv`;
    const held = await house.ticket({ uri: steady.path });
    const credentials: Record<string, string> = await house.credentials(held, 'GET', url);
    const twice = fieldsOf(credentials) + `${name}: ${credentials[name]}\r\n`;
    const { text } = await say(get(`${steady.path}.flv`, twice));
    expect(text).toContain(code);
    expect(text).not.toContain('FLV');
    const control = await fetch(url, { headers: await house.credentials(held, 'GET', url) });
    expect(control.status).toBe(200);
    await control.body?.cancel();
  });
});

describe('HTTP/2', () => {
  function open(): ClientHttp2Session {
    const session = connectHttp2(`https://localhost:${house.ports.https}`, {
      rejectUnauthorized: false,
      lookup: (_host, _options, done) => done(null, [{ address: '127.0.0.1', family: 4 }]),
    });
    session.on('error', () => undefined);
    onTestFinished(() => session.destroy());
    return session;
  }

  test('300 streams at once are 300 refusals', async () => {
    const session = open();
    const statuses = await Promise.all(
      Array.from({ length: 300 }, async () => {
        const stream = session.request({ ':path': `${steady.path}.flv?pass=ps_${'0'.repeat(22)}` });
        stream.on('error', () => undefined).resume();
        const [headers] = (await once(stream, 'response')) as [Record<string, number>];
        return headers[':status'];
      }),
    );
    expect(statuses).toEqual(Array<number>(300).fill(401));
  });

  test('1,000 streams that are reset as soon as they are opened leave nothing behind', async () => {
    const before = house.gate.sessions().length;
    const session = open();
    for (let count = 0; count < 1000; count++) {
      const stream = session.request({ ':path': `${steady.path}.flv` });
      stream.on('error', () => undefined);
      stream.close(constants.NGHTTP2_CANCEL);
    }
    await steady.flowing();
    session.destroy();
    expect(house.gate.sessions()).toHaveLength(before);
    await steady.expectUnharmed();
  });

  test.each([
    ['CONNECT', { ':method': 'CONNECT', ':authority': 'x:80' }],
    ['100 kB of header', { ':path': '/live/a.flv', x: 'a'.repeat(100_000) }],
    ['a path that is none', { ':path': 'live' }],
  ])('%s gets no stream', async (_, headers) => {
    const stream = open().request(headers).end();
    const answer: { status?: unknown } = {};
    stream
      .on('error', () => undefined)
      .on('response', (fields) => void (answer.status = fields[':status']))
      .resume();
    await closed(stream);
    expect(answer.status).not.toBe(200);
  });
});

describe('a publisher who is admitted and then misbehaves is cut off', () => {
  const bigTag = Buffer.alloc(11);
  bigTag[0] = 9;
  bigTag.writeUIntBE(16 * MiB - 1, 1, 3);
  const wrongSize = flvTag(9, 0, Buffer.from([0x17, 1, 0, 0, 0]));
  wrongSize.writeUInt32BE(7, wrongSize.length - 4);
  const ways: Record<string, Buffer> = {
    'no FLV': Buffer.from('not FLV at all'),
    'a tag of 16 MB': Buffer.concat([flvOf('file-head'), bigTag]),
    'a tag whose end is none': Buffer.concat([flvOf('file-head'), wrongSize]),
    'nothing more': flvOf('file-head'),
    nothing: Buffer.alloc(0),
  };
  const senders: Record<string, (path: string, bytes: Buffer) => Promise<void>> = {
    async post(path, bytes) {
      const socket = connect(house.ports.http, '127.0.0.1').on('error', () => undefined);
      socket.resume();
      socket.write(
        `POST ${path}.flv?key=${STREAM_KEY} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n`,
      );
      if (bytes.length > 0)
        socket.write(
          Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]),
        );
      await closed(socket);
    },
    async h2(path, bytes) {
      const session = connectHttp2(`https://localhost:${house.ports.https}`, { rejectUnauthorized: false });
      session.on('error', () => undefined);
      const stream = session.request({ ':path': `${path}.flv?key=${STREAM_KEY}`, ':method': 'POST' });
      stream.on('error', () => undefined).resume();
      if (bytes.length > 0) stream.write(bytes);
      await closed(stream);
      session.destroy();
    },
    async ws(path, bytes) {
      const socket = new WebSocket(
        `ws://127.0.0.1:${house.ports.http}${path}.flv?key=${STREAM_KEY}`,
        'publisher',
      );
      socket.on('error', () => undefined).on('open', () => bytes.length > 0 && socket.send(bytes));
      await closed(socket);
    },
  };
  const cells = Object.keys(senders).flatMap((sender) =>
    Object.keys(ways).map((way) => [sender, way] as const),
  );

  test.concurrent.each(cells)('%s: %s', async (sender, way) => {
    const path = newPath();
    const startMs = performance.now();
    const ended = senders[sender]!(path, ways[way]!);
    await ended;
    expect(performance.now() - startMs).toBeLessThan(ENDED_WITHIN_MS);
    expect(onAir.has(path)).toBe(true);
    await eventually(() => !house.guard.streams().some(({ uri }) => uri === path));
  });
});

describe('a second publisher leaves no trace', () => {
  const clip = Buffer.concat([
    flvOf('file-head'),
    flvTag(9, 0, Buffer.concat([Buffer.from([0x17, 1, 0, 0, 0]), Buffer.from(INJECTED)])),
  ]);
  const post = (path: string): string =>
    `POST ${path}.flv?key=${STREAM_KEY} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${clip.length}\r\n\r\n${clip.toString('latin1')}`;

  test('over HTTP he is told that the stream is busy', async () => {
    const { text } = await say(Buffer.from(post(steady.path), 'latin1'));
    expect(text).toMatch(/^HTTP\/1.1 409 [^]*stream_busy/);
    await steady.expectUnharmed();
    expect(steady.carried(INJECTED)).toBe(false);
  });

  test('over WebSocket too, whatever he sends with his request', async () => {
    const socket = new WebSocket(
      `ws://127.0.0.1:${house.ports.http}${steady.path}.flv?key=${STREAM_KEY}`,
      'post',
    );
    socket.on('open', () => socket.send(clip));
    const [code] = (await once(socket, 'close')) as [number];
    expect(code).toBe(4409);
    await steady.expectUnharmed();
    expect(steady.carried(INJECTED)).toBe(false);
  });

  test('on a stream of his own the same bytes are seen: the tests above can fail', async () => {
    await say(Buffer.from(post(newPath()), 'latin1'));
    expect(tapped.some((tag) => tag.includes(INJECTED))).toBe(true);
  });
});

describe('a viewer over WebSocket who talks', () => {
  async function watching(): Promise<WebSocket> {
    const { http } = house.ports;
    const socket = new WebSocket(
      `ws://127.0.0.1:${http}${steady.path}.flv?pass=${await house.pass(steady.path)}`,
    );
    socket.on('error', () => undefined);
    await once(socket, 'message');
    onTestFinished(() => socket.terminate());
    return socket;
  }

  test('may not send a message of more than 1 kB', async () => {
    const socket = await watching();
    socket.send(Buffer.alloc(1025));
    await closed(socket);
    expect(house.gate.sessions().length).toBeLessThan(3);
  });

  test('gets no FLV back, and none gets into the stream', async () => {
    const socket = await watching();
    socket.send(
      Buffer.concat([flvOf('file-head'), flvTag(9, 0, Buffer.from(`\x17\x01\0\0\0${INJECTED}`, 'latin1'))]),
    );
    await steady.expectUnharmed();
    expect(steady.carried(INJECTED)).toBe(false);
  });

  test('has a ping answered; a flood of them that is not read is not answered without bounds', async () => {
    const socket = await watching();
    socket.ping('hello');
    const [echo] = (await once(socket, 'pong')) as [Buffer];
    expect(String(echo)).toBe('hello');
    socket.pause();
    const frame = Buffer.concat([Buffer.from([0x89, 0x80 | 125, 0, 0, 0, 0]), Buffer.alloc(125)]);
    const raw = (socket as unknown as { _socket: Socket })._socket;
    const before = process.memoryUsage();
    const batch = Buffer.concat(Array<Buffer>(4000).fill(frame));
    for (let count = 0; count < 100; count++) {
      await new Promise((done) => raw.write(batch, done));
    }
    const after = process.memoryUsage();
    const grownBytes = after.rss + after.external - before.rss - before.external;
    // 400,000 answers would be 50 MB on the wire, and several times as much while they wait.
    let pongs = 0;
    socket.on('pong', () => (pongs += 1)).resume();
    await steady.flowing(25);
    expect(pongs).toBeLessThan(200_000);
    expect(grownBytes).toBeLessThan(150 * MiB);
    await steady.expectUnharmed();
  });
});

test('of all that nothing is left at the host but the stream and its viewer', async () => {
  await eventually(() => house.gate.sessions().length === 1);
  await eventually(() => house.guard.streams().length === 1);
  const { sessions } = hostTables();
  await eventually(() => sessions.size === 2);
});
