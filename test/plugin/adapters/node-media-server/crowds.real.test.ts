/** Many connections that come to nothing: half-open ones, slow ones, refused ones. A viewer watches all the while. */
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Server, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, openReader, type Column } from '../../../support/flv-readers.ts';
import { startGuardedNms, STREAM_KEY, type GuardedNms } from '../../../support/guarded-nms.ts';
import { openRtmp, openSocket } from './rtmp-client.ts';
import { hostTables, startSteadyStream, type SteadyStream } from './steady-stream.ts';

const ASK_WITHIN_SECONDS = 1;
const MAX_WAITING = 64;
const REFUSALS: Readonly<Record<Column, number>> = {
  rtmp: 1000,
  'http-flv': 1000,
  'ws-flv': 1000,
  'h2-flv': 1000,
  // The same, but for the handshake.
  rtmps: 250,
  'https-flv': 250,
  'wss-flv': 250,
};
const AT_ONCE = 20;
const MiB = 1024 * 1024;
/** What the heap may have grown by after 4,750 refusals: a leak of one session object for each would be more. */
const HEAP_MARGIN_BYTES = 6 * MiB;

let house: GuardedNms;
let steady: SteadyStream;

beforeAll(async () => {
  house = await startGuardedNms({
    guard: { askWithinSeconds: ASK_WITHIN_SECONDS, maxWaitingConnections: MAX_WAITING },
  });
  steady = await startSteadyStream(house);
});

afterAll(async () => {
  await steady.expectUnharmed();
  steady.stop();
  await house.stop();
});

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Not `once`: an error on the way to the end is an end. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => void socket.on('error', () => undefined).once('close', () => resolve()));
}

async function secured(port: number): Promise<Socket> {
  const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  return socket;
}

/** How much is open at the listeners. */
async function openConnections(): Promise<number> {
  const { rtmpServer, httpServer } = house.nms as unknown as {
    rtmpServer: { tcpServer: Server; tlsServer: Server };
    httpServer: { httpServer: Server; httpsServer: Server };
  };
  const servers = [rtmpServer.tcpServer, rtmpServer.tlsServer, httpServer.httpServer, httpServer.httpsServer];
  const counts = await Promise.all(
    servers.map(
      (server) => new Promise<number>((resolve) => server.getConnections((_, count) => resolve(count))),
    ),
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

describe('who does not ask in time is ended, not before and not much later', () => {
  const hello = Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
  const waits: readonly (readonly [string, () => Promise<Socket> | Socket])[] = [
    ['nothing to RTMP', () => openSocket(house.ports.rtmp).socket],
    ['nothing to RTMPS', () => openSocket(house.ports.rtmps).socket],
    ['nothing to HTTP', () => openSocket(house.ports.http).socket],
    ['nothing to HTTPS', () => openSocket(house.ports.https).socket],
    ['half a TLS hello to RTMPS', () => spoke(house.ports.rtmps, hello)],
    ['half a TLS hello to HTTPS', () => spoke(house.ports.https, hello)],
    ['TLS and then nothing to RTMPS', () => secured(house.ports.rtmps)],
    ['TLS and then nothing to HTTPS', () => secured(house.ports.https)],
    ['half a handshake to RTMP', () => spoke(house.ports.rtmp, Buffer.alloc(700, 3))],
    ['a handshake and nothing more to RTMP', async () => (await openRtmp(house.ports.rtmp)).socket],
    ['half a head to HTTP', () => spoke(house.ports.http, 'GET /live/a.flv HTTP/1.1\r\nHost: x\r\nX: ')],
    [
      'half a WebSocket to HTTP',
      () => spoke(house.ports.http, 'GET /live/a.flv HTTP/1.1\r\nUpgrade: websocket\r\n'),
    ],
    ['a byte now and then to RTMP', () => dripping(house.ports.rtmp, Buffer.alloc(100, 3))],
    [
      'a byte now and then to HTTP',
      () => dripping(house.ports.http, Buffer.from('GET /live/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')),
    ],
    [
      'a byte now and then to HTTPS',
      () => dripping(house.ports.https, Buffer.concat([hello, Buffer.alloc(50)])),
    ],
    [
      'a byte now and then to RTMPS',
      () => dripping(house.ports.rtmps, Buffer.concat([hello, Buffer.alloc(50)])),
    ],
  ];

  function spoke(port: number, bytes: string | Buffer): Socket {
    const socket = connect(port, '127.0.0.1');
    socket.write(bytes);
    return socket;
  }

  function dripping(port: number, bytes: Buffer): Socket {
    const socket = connect(port, '127.0.0.1');
    let at = 0;
    const timer = setInterval(() => socket.write(bytes.subarray(at, ++at)), 100);
    socket.on('close', () => clearInterval(timer));
    return socket;
  }

  test.concurrent.each(waits)('%s', async (_, open) => {
    const startMs = performance.now();
    const socket = await open();
    await closed(socket.resume());
    const tookMs = performance.now() - startMs;
    expect(tookMs).toBeGreaterThan(ASK_WITHIN_SECONDS * 900);
    expect(tookMs).toBeLessThan(ASK_WITHIN_SECONDS * 1000 + 2000);
  });
});

test('of those who wait there are so many and no more; then there is room again', async () => {
  const crowd = Array.from({ length: MAX_WAITING + 40 }, () => openSocket(house.ports.http));
  const turnedAway = new Set<number>();
  crowd.forEach(({ ended }, index) => void ended.then(() => turnedAway.add(index)));
  await eventually(() => turnedAway.size >= 40);
  crowd.forEach(({ socket }) => socket.destroy());
  await Promise.all(crowd.map(({ ended }) => ended));
  while ((await openConnections()) > 2) await new Promise((resolve) => setTimeout(resolve, 20));
  expect(await house.pass(steady.path)).toMatch(/^ps_/);
});

describe('1,000 refusals in a row', () => {
  async function refused(column: Column): Promise<void> {
    const reader = openReader(column, {
      ports: house.ports,
      path: steady.path,
      query: `pass=ps_${'0'.repeat(22)}`,
    });
    const { code } = await reader.answer;
    expect(code).toBe('pass_invalid');
    reader.destroy();
    await reader.ended;
  }

  async function crowd(column: Column, count: number): Promise<void> {
    let left = count;
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        while (left-- > 0) await refused(column);
      }),
    );
  }

  async function levels() {
    await eventually(() => house.gate.sessions().length === 1);
    await eventually(() => hostTables().sessions.size === 2);
    house.log.lines.splice(0);
    steady.viewer.messages.splice(0, steady.viewer.messages.length - 1);
    let connections = await openConnections();
    // The publisher and the viewer; a refused peer has a second to go.
    const deadline = performance.now() + 5000;
    while (connections > 2 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      connections = await openConnections();
    }
    // What a collection lets go of outside the heap is freed a turn later.
    for (let round = 0; round < 4; round++) {
      collect();
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { heapUsed, external, arrayBuffers, rss } = process.memoryUsage();
    return {
      heapUsed,
      external,
      arrayBuffers,
      rss,
      sessions: hostTables().sessions.size,
      broadcasts: hostTables().broadcasts.size,
      connections,
    };
  }

  const columns = Object.keys(REFUSALS) as Column[];

  test('on each protocol leave nothing behind: no session, no stream, no connection, no memory', async () => {
    // What is made once is made now.
    for (const column of columns) await crowd(column, 60);
    await eventually(() => hostTables().sessions.size === 2);
    const before = await levels();
    const startMs = performance.now();
    const tookMs: Partial<Record<Column, number>> = {};
    for (const column of columns) {
      const atMs = performance.now();
      await crowd(column, REFUSALS[column]);
      tookMs[column] = Math.round(performance.now() - atMs);
      house.log.lines.splice(0);
    }
    await steady.expectUnharmed();
    const publishers = await Promise.all(
      Array.from(
        { length: AT_ONCE },
        () =>
          openReader('rtmp', {
            ports: house.ports,
            path: steady.path,
            command: 'publish',
            query: `key=${STREAM_KEY}`,
          }).answer,
      ),
    );
    expect(publishers.every(({ code }) => code === 'stream_busy')).toBe(true);
    await eventually(() => hostTables().sessions.size === 2);
    const after = await levels();
    const figures = {
      refusals: Object.values(REFUSALS).reduce((sum, count) => sum + count),
      seconds: Math.round((performance.now() - startMs) / 100) / 10,
      heapMiB: [before.heapUsed, after.heapUsed].map((bytes) => Math.round((bytes / MiB) * 10) / 10),
      externalMiB: [before.external, after.external, before.arrayBuffers, after.arrayBuffers].map(
        (bytes) => Math.round((bytes / MiB) * 10) / 10,
      ),
      rssMiB: [before.rss, after.rss].map((bytes) => Math.round(bytes / MiB)),
      ...tookMs,
    };
    console.info('refused crowds:', JSON.stringify(figures));
    expect(after.heapUsed + after.external - before.heapUsed - before.external).toBeLessThan(
      HEAP_MARGIN_BYTES,
    );
    const tables = ({ sessions, broadcasts, connections }: typeof after): number[] => [
      sessions,
      broadcasts,
      connections,
    ];
    expect(tables(after)).toEqual(tables(before));
  });

  test('over one HTTP/2 connection too', async () => {
    const session = connectHttp2(`https://localhost:${house.ports.https}`, { rejectUnauthorized: false });
    session.on('error', () => undefined);
    for (let batch = 0; batch < 10; batch++) {
      const statuses = await Promise.all(
        Array.from({ length: 100 }, async () => {
          const stream = session.request({ ':path': `${steady.path}.flv?pass=ps_${'0'.repeat(22)}` });
          stream.resume();
          const [headers] = (await once(stream, 'response')) as [Record<string, number>];
          return headers[':status'];
        }),
      );
      expect(new Set(statuses)).toEqual(new Set([401]));
    }
    session.destroy();
  });
});
