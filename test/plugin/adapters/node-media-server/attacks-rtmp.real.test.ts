/** Attacks over RTMP on the real thing: whoever is not an admitted publisher of a stream puts nothing into any. */
import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { eventually } from '../../../support/flv-readers.ts';
import { newPath, startGuardedNms, STREAM_KEY, type GuardedNms } from '../../../support/guarded-nms.ts';
import { rtmpMessage } from './messages.ts';
import {
  connectCommand,
  createStreamCommand,
  message,
  openRtmp,
  openSocket,
  request,
  streamCommand,
  type RtmpClient,
} from './rtmp-client.ts';
import { hostTables, startSteadyStream, type SteadyStream } from './steady-stream.ts';

const INJECTED = 'injected-by-a-hostile-peer';
const WRONG_KEY = 'sk_insecureTestOtherKey00';
const ENDED_WITHIN_MS = 2500;

let house: GuardedNms;
let steady: SteadyStream;
const tapped: { path: string; tag: Buffer }[] = [];
const hostEvents: string[] = [];

beforeAll(async () => {
  house = await startGuardedNms({
    guard: {
      idleSeconds: 1,
      graceSeconds: 0.2,
      onPublisher: (path) => ({
        pushTag(tag) {
          if (path !== steady?.path) tapped.push({ path, tag: Buffer.from(tag) });
        },
        close: () => undefined,
      }),
    },
  });
  for (const event of ['prePlay', 'postPlay', 'prePublish', 'postPublish']) {
    house.nms.on(event, ({ streamPath }) => void hostEvents.push(`${event} ${streamPath}`));
  }
  steady = await startSteadyStream(house);
});

beforeEach(() => {
  tapped.splice(0);
  hostEvents.splice(0);
});

afterAll(async () => {
  await steady.expectUnharmed();
  steady.stop();
  await house.stop();
});

const named = (path: string): { app: string; name: string } => {
  const [, app = '', name = ''] = path.split('/');
  return { app, name };
};

/** Media as a publisher would send it: the marked keyframe on every message stream that there could be. */
const media = Buffer.concat(
  [0, 1, 2].map((streamId) =>
    message(6, 9, streamId, Buffer.concat([Buffer.from([0x17, 1, 0, 0, 0]), Buffer.from(INJECTED)])),
  ),
);

/** A keyframe and a picture, a configuration and metadata: whatever could be kept by the host. */
const everything = Buffer.concat([
  media,
  rtmpMessage(9, 0, Buffer.concat([Buffer.from([0x17, 0, 0, 0, 0]), Buffer.from(INJECTED)])),
  rtmpMessage(8, 0, Buffer.concat([Buffer.from([0xaf, 0]), Buffer.from(INJECTED)])),
  rtmpMessage(
    18,
    0,
    Buffer.concat([Buffer.from([2, 0, 10]), Buffer.from('onMetaData'), Buffer.from(INJECTED)]),
  ),
  rtmpMessage(15, 0, Buffer.from(INJECTED)),
  rtmpMessage(22, 0, Buffer.from(INJECTED)),
]);

function wasInjected(): boolean {
  return steady.carried(INJECTED) || tapped.some(({ tag }) => tag.includes(INJECTED));
}

async function commanded(client: RtmpClient, app: string, ...commands: Buffer[]): Promise<void> {
  client.send(Buffer.concat([connectCommand(app), createStreamCommand(), ...commands]));
  await Promise.resolve();
}

test('an admitted publisher’s media is seen: the tests below can fail', async () => {
  const path = newPath();
  const { app, name } = named(path);
  const client = await request(house.ports.rtmp, 'publish', app, `${name}?key=${STREAM_KEY}`);
  expect(await client.status()).toBe('NetStream.Publish.Start');
  client.send(media);
  await eventually(wasInjected);
  client.socket.destroy();
});

describe('a player', () => {
  test('who sends media after his admission puts it nowhere, and goes on watching', async () => {
    const { app, name } = named(steady.path);
    const client = await request(
      house.ports.rtmp,
      'play',
      app,
      `${name}?pass=${await house.pass(steady.path)}`,
    );
    expect(await client.status(/NetStream\.Play\.Start/)).toBe('NetStream.Play.Start');
    client.send(everything);
    client.send(everything);
    const before = client.received().length;
    await steady.flowing(20);
    expect(client.received().length).toBeGreaterThan(before);
    client.socket.destroy();
    await steady.expectUnharmed();
    expect(wasInjected()).toBe(false);
  });

  test.each([
    ['his own stream', () => steady.path],
    ['another stream', () => newPath()],
  ])('who then publishes to %s is ended, although the key is good', async (_, pathOf) => {
    const { app, name } = named(steady.path);
    const other = pathOf();
    const client = await request(
      house.ports.rtmp,
      'play',
      app,
      `${name}?pass=${await house.pass(steady.path)}`,
    );
    await client.status(/NetStream\.Play\.Start/);
    client.send(
      Buffer.concat([
        createStreamCommand(),
        streamCommand('publish', `${named(other).name}?key=${STREAM_KEY}`),
        everything,
      ]),
    );
    await client.ended;
    await steady.expectUnharmed();
    expect(wasInjected()).toBe(false);
    expect(hostEvents.filter((event) => event.includes('Publish'))).toEqual([]);
  });

  test('who reads nothing and asks without end is not listened to', async () => {
    const { app, name } = named(steady.path);
    const client = await request(
      house.ports.rtmp,
      'play',
      app,
      `${name}?pass=${await house.pass(steady.path)}`,
    );
    await client.status(/NetStream\.Play\.Start/);
    client.socket.pause();
    const commands = Buffer.concat(Array.from({ length: 2000 }, () => connectCommand(app)));
    const before = process.memoryUsage().rss;
    // 40 MB of commands, if they were taken; what does not leave waits on the peer's side.
    const sent = client.socket.bytesWritten;
    for (let count = 0; count < 200; count++) client.send(commands);
    await steady.flowing(25);
    expect(client.socket.bytesWritten - client.socket.writableLength - sent).toBeLessThan(
      200 * commands.length,
    );
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 1024 * 1024);
    client.socket.destroy();
    await eventually(() => house.gate.sessions().length === 1);
    await steady.flowing();
  });
});

describe('media of somebody who was not admitted reaches no stream, and the host hears of nothing', () => {
  const play = (query = ''): Buffer => streamCommand('play', `${named(steady.path).name}${query}`);
  const publish = (query: string): Buffer => streamCommand('publish', `${named(steady.path).name}${query}`);

  test.each([
    ['without a command', () => []],
    ['before any command', () => [everything]],
    ['after playing without a pass', () => [play()]],
    ['after playing with a pass that is none', () => [play(`?pass=ps_${'0'.repeat(22)}`)]],
    ['after publishing with a wrong key', () => [publish(`?key=${WRONG_KEY}`)]],
    ['after publishing without a key', () => [publish('')]],
    ['after publishing what is on the air', () => [publish(`?key=${STREAM_KEY}`)]],
    ['after playing and publishing', () => [play(), publish(`?key=${STREAM_KEY}`)]],
    ['after publishing and playing', () => [publish(`?key=${WRONG_KEY}`), play()]],
    [
      'between two ways to publish',
      () => [publish(`?key=${WRONG_KEY}`), everything, publish(`?key=${STREAM_KEY}`)],
    ],
  ])('%s', async (_, commands) => {
    const startMs = performance.now();
    const client = await openRtmp(house.ports.rtmp);
    await commanded(client, named(steady.path).app, ...commands(), everything);
    client.send(everything);
    await eventually(() => client.socket.destroyed || client.received().length > 0);
    client.send(everything);
    if (commands().length < 1 || commands()[0] === everything) client.socket.end();
    await client.ended;
    expect(performance.now() - startMs).toBeLessThan(ENDED_WITHIN_MS);
    await steady.flowing(5);
    expect(wasInjected()).toBe(false);
    expect(hostEvents).toEqual([]);
    expect(client.received().includes('Publish.Start')).toBe(false);
  });
});

test('a second publisher over RTMPS is refused without a trace, and the first goes on', async () => {
  const { app, name } = named(steady.path);
  const socket = connectTls({ port: house.ports.rtmps, host: '127.0.0.1', rejectUnauthorized: false });
  socket.on('error', () => undefined);
  await once(socket, 'secureConnect');
  const ended = new Promise<void>((resolve) => socket.on('close', () => resolve()));
  const client = await openRtmp(house.ports.rtmps, { socket, ended });
  await commanded(client, app, streamCommand('publish', `${name}?key=${STREAM_KEY}`), everything);
  expect(await client.status()).toBe('NetStream.Publish.BadName');
  client.send(everything);
  await ended;
  await steady.expectUnharmed();
  expect(wasInjected()).toBe(false);
  expect(hostEvents).toEqual([]);
});

test('an admitted publisher who names another stream is ended, and the other stream is not there', async () => {
  const [path, other] = [newPath(), newPath()];
  const client = await request(house.ports.rtmp, 'publish', 'live', `${named(path).name}?key=${STREAM_KEY}`);
  expect(await client.status()).toBe('NetStream.Publish.Start');
  client.send(Buffer.concat([streamCommand('publish', `${named(other).name}?key=${STREAM_KEY}`), media]));
  await client.ended;
  expect(hostEvents.some((event) => event.includes(other))).toBe(false);
  expect(hostTables().broadcasts.has(other)).toBe(false);
});

test('HTTP, and nothing, on the RTMP listener', async () => {
  const { socket, ended } = openSocket(house.ports.rtmp);
  socket.write(`GET ${steady.path}.flv HTTP/1.1\r\n\r\n`);
  await ended;
  const nothing = openSocket(house.ports.rtmp);
  nothing.socket.end();
  await nothing.ended;
});

test('of all that nothing is left at the host but the stream and its viewer', async () => {
  await eventually(() => house.gate.sessions().length === 1);
  await eventually(() => house.guard.streams().length === 1);
  await eventually(() => hostTables().sessions.size === 2);
});
