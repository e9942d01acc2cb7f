/**
 * Runs in a process of its own whose `process.argv[1]` lies beside the copy of node-media-server that is tried, and
 * tells its parent what came of it.
 */
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { kindOfBody, type MediaKind } from '../../../../plugin/adapters/node-media-server/media-kind.ts';
import {
  connectEnhanced,
  encodeOpus,
  encodeVideo,
  interleave,
  sendMessages,
} from '../../../support/enhanced-publisher.ts';
import { COLUMNS, eventually, openReader, type Column, type Reader } from '../../../support/flv-readers.ts';
import { newPath, startGuardedNms, STREAM_KEY, type GuardedNms } from '../../../support/guarded-nms.ts';
import { createFlvParser, isKeyframe, isPicture, type MediaMessage } from '../../../support/media-parsers.ts';
import { publishTestCard, type Encoder } from '../../../support/stack.ts';

export interface VersionReport {
  readonly version: string;
  /** What those without pass or key were told. */
  readonly refused: Readonly<Record<Column | 'publish rtmp' | 'publish http-flv', string | undefined>>;
  /** Columns that began with a keyframe and got a second of pictures. */
  readonly played: readonly Column[];
  /** Milliseconds from expiry to the last byte. */
  readonly lateMs: Readonly<Record<string, number>>;
  readonly endReasons: readonly string[];
  /** Pictures in the recording, which begins with a keyframe; 0 if there is none. */
  readonly recordedPictures: number;
  /** `null` where the host knows no relay. */
  readonly relayed: boolean | null;
  /** A viewer got a second of pictures from a publisher who had come back. */
  readonly goesOn: boolean;
  /** What a viewer who came late to H.264 and Opus in Enhanced RTMP got first. */
  readonly enhanced: readonly MediaKind[];
  readonly hostEvents: readonly string[];
}

const main = process.argv[1] ?? '';
const require = createRequire(main);

/** `guardNodeMediaServer` on a version that it should not know, and forced. */
async function tryUnknown(): Promise<{ refusedWith: string; forced: boolean }> {
  const start = (allowUntestedVersion: boolean): Promise<GuardedNms> =>
    startGuardedNms({ requireFrom: main, guard: { allowUntestedVersion } });
  const refusedWith = await start(false).then(
    () => '',
    (error: unknown) => String(error),
  );
  const house = await start(true);
  const reader = openReader('rtmp', { ports: house.ports, path: newPath() });
  const { code } = await reader.answer;
  return { refusedWith, forced: code === 'ticket_missing' };
}

async function listening(house: GuardedNms): Promise<void> {
  // Before 4.3 `run` answers nothing.
  for (const column of ['rtmp', 'rtmps', 'http-flv', 'https-flv'] as const) {
    for (;;) {
      const reader = openReader(column, { ports: house.ports, path: newPath() });
      const { status } = await reader.answer;
      reader.destroy();
      if (status !== 0) break;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

const hasPlayed = ({ messages }: Reader): boolean => {
  const pictures = messages.filter(isPicture);
  return pictures[0] !== undefined && isKeyframe(pictures[0]) && pictures.length >= 30;
};

const publish = ({ ports }: GuardedNms, path: string): Encoder =>
  publishTestCard(`rtmp://127.0.0.1:${String(ports.rtmp)}${path}?key=${STREAM_KEY}`);

async function countRecorded(directory: string): Promise<number> {
  const [name] = (await readdir(directory)).filter((one) => one.endsWith('.flv'));
  if (name === undefined) return 0;
  const pictures: MediaMessage[] = [];
  const parse = createFlvParser((tag) => {
    if (isPicture(tag)) pictures.push(tag);
  });
  parse(await readFile(join(directory, name)));
  return pictures[0] !== undefined && isKeyframe(pictures[0]) ? pictures.length : 0;
}

async function tryVersion(): Promise<VersionReport> {
  const recordings = join(process.cwd(), 'recordings');
  const house = await startGuardedNms({
    requireFrom: main,
    guard: { graceSeconds: 5 },
    nms: { record: { path: recordings, auto: true } },
  });
  const { ports, guard, gate } = house;
  const hostEvents: string[] = [];
  for (const event of ['prePlay', 'postPlay', 'prePublish', 'postPublish', 'donePublish']) {
    house.nms.on(event, ({ streamPath }) => hostEvents.push(`${event} ${streamPath}`));
  }
  await listening(house);
  const path = newPath();
  const tell = async (column: Column, command: 'play' | 'publish'): Promise<string | undefined> =>
    (await openReader(column, { ports, path, command }).answer).code;
  const refused = Object.fromEntries([
    ...(await Promise.all(COLUMNS.map(async (column) => [column, await tell(column, 'play')] as const))),
    ['publish rtmp', await tell('rtmp', 'publish')],
    ['publish http-flv', await tell('http-flv', 'publish')],
  ]) as VersionReport['refused'];
  const eventsOfRefused = hostEvents.length;

  const encoder = publish(house, path);
  const isOnAir = (uri: string): boolean =>
    guard.streams().some((stream) => stream.uri === uri && stream.health.video !== null);
  await eventually(() => isOnAir(path), 20_000);
  const exp = Math.floor(Date.now() / 1000) + 5;
  const readers = await Promise.all(
    COLUMNS.map(async (column) => {
      const pass = await house.pass(path, await house.ticket({ uri: path, exp }));
      return openReader(column, { ports, path, query: `pass=${pass}` });
    }),
  );
  const ending = eventually(() => gate.sessions().length === COLUMNS.length, 4000).then(() =>
    Promise.all(gate.sessions().map(({ ended }) => ended)),
  );
  const expiresMs = performance.now() + exp * 1000 - Date.now();
  const endReasons = await ending;
  await Promise.all(readers.map(({ ended }) => ended));
  const played = readers.filter(hasPlayed).map(({ column }) => column);
  const lateMs = Object.fromEntries(
    readers.map((reader) => [reader.column, reader.lastMediaMs() - expiresMs]),
  );
  const relayed = await tryRelay(house, path, isOnAir);
  const goesOn = await tryReturn(house, path, encoder);
  const enhanced = await tryEnhanced(house, isOnAir);
  const recordedPictures = await countRecorded(join(recordings, path));
  const { version } = require('node-media-server/package.json') as { version: string };
  return {
    version,
    refused,
    played,
    lateMs,
    endReasons,
    recordedPictures,
    relayed,
    goesOn,
    enhanced,
    hostEvents: [
      `${String(eventsOfRefused)} of the refused`,
      ...hostEvents.filter((event) => event.endsWith(path)),
    ],
  };
}

/** The host pulls a stream, here from itself with a pass; it is the operator's, and may be watched with a ticket. */
async function tryRelay(
  house: GuardedNms,
  path: string,
  isOnAir: (uri: string) => boolean,
): Promise<boolean | null> {
  const { relayServer } = house.nms as { relayServer?: { addTask(task: object): unknown } };
  if (relayServer === undefined) return null;
  const streamPath = newPath();
  // The host's RTMP client leaves a query out, and decodes what looks like a part of the name.
  const url = `rtmp://127.0.0.1:${String(house.ports.rtmp)}${path}%3Fpass=${await house.pass(path)}`;
  relayServer.addTask({ url, streamPath, mode: 'pull', reconnect: false });
  await eventually(() => isOnAir(streamPath));
  const reader = openReader('http-flv', {
    ports: house.ports,
    path: streamPath,
    query: `pass=${await house.pass(streamPath)}`,
  });
  await eventually(() => hasPlayed(reader));
  reader.destroy();
  return true;
}

/** The publisher goes and comes back in time. */
async function tryReturn(house: GuardedNms, path: string, encoder: Encoder): Promise<boolean> {
  const query = `pass=${await house.pass(path)}`;
  const reader = openReader('ws-flv', { ports: house.ports, path, query });
  await eventually(() => hasPlayed(reader));
  await encoder.stop();
  const before = reader.messages.length;
  const again = publish(house, path);
  await eventually(() => reader.messages.slice(before).filter(isPicture).length >= 30);
  const [first] = reader.messages.slice(before).filter(isPicture);
  reader.destroy();
  await again.stop();
  return first !== undefined && isKeyframe(first);
}

/** What the host has read from a publisher. */
function receivedBytes(path: string): number {
  const { broadcasts } = require('node-media-server/src/core/context.js') as {
    broadcasts: ReadonlyMap<string, { publisher: { inBytes: number } | null }>;
  };
  return broadcasts.get(path)?.publisher?.inBytes ?? 0;
}

/** H.264 by FourCC, which no version of the host knows, and Opus, which the older ones do not. */
async function tryEnhanced(
  house: GuardedNms,
  isOnAir: (uri: string) => boolean,
): Promise<readonly MediaKind[]> {
  const path = newPath();
  const [, app = '', name = ''] = path.split('/');
  const messages = interleave(await encodeVideo('avc1', { seconds: 1 }), await encodeOpus(1));
  const client = await connectEnhanced(house.ports.rtmp, app, `${name}?key=${STREAM_KEY}`);
  await client.status(/NetStream\.Publish\.Start/);
  await sendMessages(client, messages);
  await eventually(() => isOnAir(path));
  // Late is who comes when the host has all of it, not when the publisher has sent it.
  const total = messages.reduce((sum, { body }) => sum + body.length, 0);
  await eventually(() => receivedBytes(path) >= total);
  const query = `pass=${await house.pass(path)}`;
  const reader = openReader('http-flv', { ports: house.ports, path, query });
  await eventually(() => reader.messages.length > 20);
  reader.destroy();
  client.socket.destroy();
  return reader.messages.slice(0, 3).map(({ type, payload }) => kindOfBody(type, payload, 0, payload.length));
}

const [, , mode] = process.argv;
const report = mode === 'unknown' ? await tryUnknown() : await tryVersion();
process.send?.(report, () => process.exit(0));
