/** Who is admitted sees and hears what was published, on every protocol; real ffmpeg and curl, and readers that count. */
import { execFile } from 'node:child_process';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import WebSocket from 'ws';
import { COLUMNS, eventually, openReader, type Column, type Reader } from '../../../support/flv-readers.ts';
import { newPath, startGuardedNms, STREAM_KEY, type GuardedNms } from '../../../support/guarded-nms.ts';
import { isKeyframe, isPicture, isVideo } from '../../../support/media-parsers.ts';
import { publishTestCard, type Encoder } from '../../../support/stack.ts';
import { colourError, decodeTestCard, type Decoded } from '../../../support/test-card.ts';

const WATCH_MS = 4500;
/** Keyframes every 8 s: whoever comes in between must get the pictures since the last one. */
const KEYFRAME_FRAMES = 240;
const live = newPath();
let house: GuardedNms;
let encoder: Encoder;

const isOnAir = (path: string): boolean =>
  house.guard.streams().some(({ uri, health }) => uri === path && health.video !== null);

/** Milliseconds of pictures that have come. */
function picturesMs({ messages }: Reader): number {
  const pictures = messages.filter(isPicture);
  return (pictures.at(-1)?.timeMs ?? 0) - (pictures[0]?.timeMs ?? 0);
}

/** Reads HTTP-FLV until so much has come. */
async function readFor(path: string, forMs: number): Promise<Reader> {
  const query = `pass=${await house.pass(path)}`;
  const reader = openReader('http-flv', { ports: house.ports, path, query });
  await eventually(() => picturesMs(reader) >= forMs);
  reader.destroy();
  await reader.ended;
  return reader;
}

beforeAll(async () => {
  house = await startGuardedNms();
  encoder = publishTestCard(`rtmp://127.0.0.1:${String(house.ports.rtmp)}${live}?key=${STREAM_KEY}`, {
    keyframeFrames: KEYFRAME_FRAMES,
  });
  await eventually(() => isOnAir(live));
  await readFor(live, 1200); // Then there is something since the keyframe.
});

afterAll(async () => {
  await encoder.stop();
  await house.stop();
});

/** What ffmpeg can be given to play; it knows neither WebSocket nor HTTP/2. */
const FFMPEG_COLUMNS = ['rtmp', 'rtmps', 'http-flv', 'https-flv'] as const;
type FfmpegColumn = (typeof FFMPEG_COLUMNS)[number];

function urlOf(column: FfmpegColumn, path: string, query: string): string {
  const { http, https, rtmp, rtmps } = house.ports;
  const base = {
    rtmp: `rtmp://127.0.0.1:${String(rtmp)}${path}`,
    rtmps: `rtmps://127.0.0.1:${String(rtmps)}${path}`,
    'http-flv': `http://127.0.0.1:${String(http)}${path}.flv`,
    'https-flv': `https://127.0.0.1:${String(https)}${path}.flv`,
  }[column];
  return query === '' ? base : `${base}?${query}`;
}

function expectCard({ quadrants, beepAfterFlashMs, stderr }: Decoded, label: string): void {
  expect(colourError(quadrants), `${label}: colours ${JSON.stringify(quadrants)} ${stderr}`).toBeLessThan(40);
  expect(beepAfterFlashMs.length, `${label}: flashes`).toBeGreaterThanOrEqual(2);
  for (const ms of beepAfterFlashMs) expect(Math.abs(ms), `${label}: flash and beep`).toBeLessThan(60);
}

interface Watched {
  readonly column: Column;
  readonly reader: Reader;
  readonly jti: string;
  readonly watchedMs: number;
}

interface Begun {
  readonly column: Column;
  readonly reader: Reader;
  readonly jti: string;
  readonly admittedMs: number;
}

async function begin(column: Column): Promise<Begun> {
  const held = await house.ticket({ uri: live });
  const { jti = '' } = decodeJwt(held.ticket);
  const query = `pass=${await house.pass(live, held)}`;
  const reader = openReader(column, { ports: house.ports, path: live, query });
  expect((await reader.answer).code, column).toBeUndefined();
  const admittedMs = performance.now();
  await eventually(() => reader.messages.some(isPicture));
  return { column, reader, jti, admittedMs };
}

async function finish({ column, reader, jti, admittedMs }: Begun): Promise<Watched> {
  await new Promise((resolve) => setTimeout(resolve, WATCH_MS));
  const session = house.gate.sessions().find(({ grant }) => grant.ticketId === jti);
  const watchedMs = performance.now() - admittedMs;
  await session?.end('completed');
  await reader.ended;
  return { column, reader, jti, watchedMs };
}

describe('on every protocol at the same time', () => {
  let watched: readonly Watched[];
  let decoded: ReadonlyMap<string, Decoded>;

  beforeAll(async () => {
    const begun: Begun[] = [];
    // One after the other: how soon each begins is measured.
    for (const column of COLUMNS) begun.push(await begin(column));
    const byFfmpeg = FFMPEG_COLUMNS.map(async (column) => {
      const url = urlOf(column, live, `pass=${await house.pass(live)}`);
      return [column, await decodeTestCard(['-i', url], 4)] as const;
    });
    watched = await Promise.all(begun.map(finish));
    const others = watched.filter(({ column }) => !FFMPEG_COLUMNS.some((name) => name === column));
    const byReader = others.map(
      async ({ column, reader }) => [column, await decodeTestCard(reader.file(), 4)] as const,
    );
    decoded = new Map<string, Decoded>(await Promise.all([...byFfmpeg, ...byReader]));
  });

  test.each(COLUMNS)('%s: picture and sound are what was published', (column) => {
    const card = decoded.get(column);
    if (card === undefined) throw new Error('not decoded');
    expect(card.seconds).toBeGreaterThan(3.5);
    expectCard(card, column);
  });

  test.each(COLUMNS)('%s: it starts with a keyframe within 500 ms, and no picture is missing', (column) => {
    const { messages } = watched.find((one) => one.column === column)!.reader;
    const pictures = messages.filter(isPicture);
    const [first] = pictures;
    if (first === undefined) throw new Error('no pictures');
    expect(isKeyframe(first)).toBe(true);
    expect(first.atMs).toBeLessThan(500);
    // Its configuration comes before it, and nothing of video before that.
    expect(messages.filter(isVideo)[0]?.payload[1]).toBe(0);
    const steps = pictures.slice(1).map(({ timeMs }, index) => timeMs - (pictures[index]?.timeMs ?? 0));
    expect([Math.min(...steps), Math.max(...steps)]).toEqual([33, 34]);
    expect(pictures.length).toBeGreaterThan((WATCH_MS / 1000) * 30 * 0.9);
  });

  test.each(COLUMNS)('%s: the receipt counts what the client counted', (column) => {
    const { reader, jti, watchedMs } = watched.find((one) => one.column === column)!;
    const receipt = house.sink.receipts.findLast(({ ticket }) => ticket === jti);
    expect(receipt).toMatchObject({ state: 'final', reason: 'completed', uri: live });
    const { bytes = 0, mediaMs = 0 } = receipt ?? {};
    expect(Math.abs(bytes - reader.mediaBytes()) / reader.mediaBytes()).toBeLessThan(0.01);
    expect(Math.abs(mediaMs - watchedMs)).toBeLessThan(1000);
  });
});

interface Run {
  readonly code: number;
  readonly output: string;
}

function run(command: string, args: readonly string[]): Promise<Run> {
  return new Promise((resolve) => {
    execFile(command, args, { timeout: 15_000 }, (error, stdout, stderr) => {
      resolve({
        code: typeof error?.code === 'number' ? error.code : error === null ? 0 : 1,
        output: stdout + stderr,
      });
    });
  });
}

describe.concurrent('real programs', () => {
  test.each(FFMPEG_COLUMNS)(
    'ffprobe over %s is told why it may not, and plays when it may',
    async (column) => {
      const probe = (query: string): Promise<Run> =>
        run('ffprobe', [
          '-v',
          'error',
          '-show_entries',
          'stream=codec_name',
          '-of',
          'csv=p=0',
          urlOf(column, live, query),
        ]);
      const [refused, admitted] = await Promise.all([probe(''), probe(`pass=${await house.pass(live)}`)]);
      expect(refused.code).not.toBe(0);
      expect(refused.output).toContain(
        column.startsWith('rtmp') ? 'ticket_missing: A ticket is required' : '401 Unauthorized',
      );
      expect(admitted.code).toBe(0);
      expect(admitted.output.trim().split('\n')).toEqual(expect.arrayContaining(['aac', 'h264']));
    },
  );

  test.each([
    ['--http1.1', 'http-flv', '1.1'],
    ['--http1.1', 'https-flv', '1.1'],
    ['--http2', 'https-flv', '2'],
  ] as const)('curl %s over %s', async (option, column, version) => {
    const curl = (query: string): Promise<Run> => {
      const format = '\n%{http_code} %{http_version} %{size_download} %{content_type}';
      return run('curl', [
        option,
        '-sSk',
        '--max-time',
        '2',
        '-w',
        format,
        '--output',
        '-',
        urlOf(column, live, query),
      ]);
    };
    const [refused, admitted] = await Promise.all([curl(''), curl(`pass=${await house.pass(live)}`)]);
    expect(refused.output).toMatch(/"code":"ticket_missing"\}\n401 /);
    expect(refused.output).toContain(` ${version} `);
    expect(refused.output).not.toContain('FLV');
    expect(admitted.output).toMatch(/^FLV/);
    expect(admitted.output).toMatch(new RegExp(`\\n200 ${version.replace('.', '\\.')} \\d{4,} video/x-flv`));
  });

  test('ffmpeg that publishes without its key is told why', async () => {
    const publishing = publishTestCard(urlOf('rtmp', newPath(), ''));
    expect(await publishing.exited).not.toBe(0);
    expect(publishing.stderr()).toContain('stream_key_invalid: The stream key is not valid for this stream');
  });
});

describe('published in another way than RTMP', () => {
  /** What a viewer gets in some seconds. */
  async function view(path: string): Promise<Decoded> {
    await eventually(() => isOnAir(path));
    return decodeTestCard((await readFor(path, 3500)).file(), 10);
  }

  test('by ffmpeg over RTMPS, HTTP and HTTPS', async () => {
    const columns = ['rtmps', 'http-flv', 'https-flv'] as const;
    await Promise.all(
      columns.map(async (column) => {
        const path = newPath();
        const publishing = publishTestCard(urlOf(column, path, `key=${STREAM_KEY}`));
        try {
          expectCard(await view(path), `published over ${column}`);
        } finally {
          await publishing.stop();
        }
      }),
    );
  });

  test('over WebSocket: every message comes through as it was', async () => {
    const recorder = openReader('http-flv', {
      ports: house.ports,
      path: live,
      query: `pass=${await house.pass(live)}`,
    });
    await eventually(() => recorder.messages.filter(isPicture).length > 60);
    recorder.destroy();
    await recorder.ended;
    const path = newPath();
    const socket = new WebSocket(
      `ws://127.0.0.1:${String(house.ports.http)}${path}.flv?key=${STREAM_KEY}`,
      'publisher',
    );
    await new Promise((resolve) => socket.once('open', resolve));
    const file = recorder.file();
    for (let at = 0; at < file.length; at += 1000) socket.send(file.subarray(at, at + 1000));
    await eventually(() => isOnAir(path));
    const viewer = openReader('ws-flv', {
      ports: house.ports,
      path,
      query: `pass=${await house.pass(path)}`,
    });
    const sent = recorder.messages.filter(isPicture).map(({ payload }) => payload.toString('base64'));
    await eventually(() => viewer.messages.filter(isPicture).length >= sent.length);
    expect(viewer.messages.filter(isPicture).map(({ payload }) => payload.toString('base64'))).toEqual(sent);
    viewer.destroy();
    socket.close();
    await viewer.ended;
  });
});
