/** The life of a re-encoder's child, with programs in ffmpeg's place that do nothing, end, or do not listen. */
import { randomUUID } from 'node:crypto';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { createGopCache, type GopCache, type SourcePicture } from '../../../plugin/media/gop.ts';
import { createReencoder, type Reencoder } from '../../../plugin/media/reencoder.ts';
import type { ReencodedCodec } from '../../../plugin/media/reencoder-formats.ts';
import type { MatroskaTrack } from '../../../plugin/rtp/index.ts';
import { createManualClock, createRecordedLog, type ManualClock, type RecordedLog } from './fakes.ts';

const TRACK: MatroskaTrack = { codecId: 'V_VP8', codecPrivate: Buffer.alloc(0) };

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'usher-reencoder-'));
});
afterAll(() => rm(directory, { recursive: true }));

/** A program that takes ffmpeg's arguments and heeds none. */
async function program(body: string): Promise<string> {
  const path = join(directory, `${randomUUID()}.sh`);
  await writeFile(path, `#!/bin/sh\n${body}\n`);
  await chmod(path, 0o755);
  return path;
}

const READS = 'exec cat >/dev/null';
const DEAF = 'exec sleep 60';

interface Setup {
  readonly reencoder: Reencoder;
  readonly clock: ManualClock;
  readonly log: RecordedLog;
  readonly gop: GopCache;
  push(options?: { keyframe?: boolean; bytes?: number }): void;
}

interface Options {
  readonly retryMs?: number;
  readonly lingerMs?: number;
  readonly peakBits?: () => number;
  readonly codec?: ReencodedCodec;
  readonly onPicture?: () => void;
}

async function create(body: string, options: Options = {}): Promise<Setup> {
  const clock = createManualClock();
  const log = createRecordedLog();
  const gop = createGopCache();
  const reencoder = createReencoder({
    path: '/live/test',
    codec: 'H264',
    ffmpegPath: body.startsWith('/') ? body : await program(body),
    clock,
    log,
    gop,
    peakBits: () => 0,
    maxBits: 8_000_000,
    onParameterSets: () => undefined,
    onPicture: () => undefined,
    ...options,
  });
  onTestFinished(() => reencoder.close());
  reencoder.configure(TRACK);
  let presentationMs = 0;
  return {
    reencoder,
    clock,
    log,
    gop,
    push({ keyframe = false, bytes = 100 } = {}) {
      const picture: SourcePicture = {
        units: [Buffer.alloc(bytes)],
        presentationMs,
        keyframe,
        heldBytes: bytes,
      };
      presentationMs += 40;
      gop.add(picture);
      reencoder.push(picture);
    },
  };
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('the child', () => {
  test('starts when somebody watches and there is a keyframe to start with', async () => {
    const { reencoder, push } = await create(READS);
    push({ keyframe: true });
    expect([reencoder.pid(), reencoder.status()]).toEqual([undefined, null]);
    reencoder.want(true);
    expect(reencoder.status()).toMatchObject({ codec: 'H.264', running: false });
    push();
    expect(reencoder.pid()).toBeTypeOf('number');
    expect(reencoder.status()).toEqual({
      codec: 'H.264',
      running: true,
      restarts: 0,
      droppedPictures: 0,
      lagMs: 0,
      reduction: 0,
    });
  });

  test('does not start in the middle of a group whose beginning is not known', async () => {
    const { reencoder, push } = await create(READS);
    reencoder.want(true);
    push();
    expect(reencoder.pid()).toBeUndefined();
    push({ keyframe: true });
    expect(reencoder.pid()).toBeTypeOf('number');
  });

  test('outlives its last viewer for a while, and is there for the next one', async () => {
    const { reencoder, push } = await create(READS, { lingerMs: 50 });
    reencoder.want(true);
    push({ keyframe: true });
    const pid = reencoder.pid()!;
    reencoder.want(false);
    reencoder.want(true);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(reencoder.pid()).toBe(pid);
    reencoder.want(false);
    await vi.waitFor(() => expect(isAlive(pid)).toBe(false));
    expect(reencoder.status()).toBeNull();
  });

  test('outlives him no longer for being said to be unwanted again and again', async () => {
    const { reencoder, push } = await create(READS, { lingerMs: 50 });
    reencoder.want(true);
    push({ keyframe: true });
    const pid = reencoder.pid()!;
    await vi.waitFor(
      () => {
        reencoder.want(false);
        expect(isAlive(pid)).toBe(false);
      },
      { interval: 5 },
    );
  });

  test('is another one when something else is published', async () => {
    const { reencoder, push } = await create(READS);
    reencoder.want(true);
    push({ keyframe: true });
    const pid = reencoder.pid()!;
    reencoder.configure(TRACK);
    push();
    expect(reencoder.pid()).toBe(pid);
    reencoder.configure({ codecId: 'V_VP9', codecPrivate: Buffer.alloc(0) });
    push({ keyframe: true });
    expect(reencoder.pid()).not.toBe(pid);
    await vi.waitFor(() => expect(isAlive(pid)).toBe(false));
    expect(reencoder.status()).toMatchObject({ restarts: 0 });
  });

  test('is replaced at most five times at once, and then once a second, however often that changes', async () => {
    const { reencoder, push, clock } = await create(READS);
    reencoder.want(true);
    const pids = new Set<number | undefined>();
    const change = (): void => {
      for (let index = 0; index < 20; index++) {
        reencoder.configure({ codecId: 'V_VP9', codecPrivate: Buffer.alloc(0) });
        push({ keyframe: true });
        pids.add(reencoder.pid());
      }
      pids.delete(undefined);
    };
    change();
    expect(pids.size).toBe(5);
    clock.advance(1000);
    change();
    expect(pids.size).toBe(6);
  });

  test('goes with its owner', async () => {
    const { reencoder, push } = await create(READS);
    reencoder.want(true);
    push({ keyframe: true });
    const pid = reencoder.pid()!;
    reencoder.close();
    push({ keyframe: true });
    expect(reencoder.pid()).toBeUndefined();
    await vi.waitFor(() => expect(isAlive(pid)).toBe(false));
  });
});

describe('a child may use', () => {
  test('what is published, and makes way at a keyframe when that was far more than was known', async () => {
    let peakBits = 800_000;
    const told = join(directory, randomUUID());
    const notes = `echo "$@" >>${told}; ${READS}`;
    const { reencoder, push } = await create(notes, { peakBits: () => peakBits });
    const rates = async (): Promise<string[]> => {
      const lines = (await readFile(told, 'utf8')).trim().split('\n');
      return lines.map((line) => /-maxrate \d+ -bufsize \d+/.exec(line)?.[0] ?? '');
    };
    reencoder.want(true);
    push({ keyframe: true });
    await vi.waitFor(async () => expect(await rates()).toEqual(['-maxrate 1000000 -bufsize 666667']));
    const pid = reencoder.pid();
    peakBits = 1_600_000;
    push();
    expect(reencoder.pid()).toBe(pid);
    push({ keyframe: true });
    await vi.waitFor(async () => expect((await rates())[1]).toBe('-maxrate 2000000 -bufsize 1333333'));
    const second = reencoder.pid();
    expect(second).not.toBe(pid);
    peakBits = 3_000_000;
    push({ keyframe: true });
    expect(reencoder.pid()).toBe(second);
    expect(reencoder.status()).toMatchObject({ restarts: 0, reduction: 0 });
  });
});

describe('a child that was quick once and is no longer', () => {
  /** One VP8 keyframe at 0, and nothing more. */
  function onePicture(): Buffer {
    const ivf = Buffer.alloc(32 + 12 + 10);
    ivf.write('DKIF', 'latin1');
    ivf.writeUInt32LE(10, 32);
    return ivf;
  }

  /** Children that each make one picture; the first is running. */
  async function createQuickOnce() {
    const output = join(directory, randomUUID());
    await writeFile(output, onePicture());
    let made = 0;
    let children = 0;
    const setup = await create(`cat ${output}; ${READS}`, { codec: 'VP8', onPicture: () => (made += 1) });
    const { reencoder, push, clock } = setup;
    reencoder.want(true);
    push({ keyframe: true });
    return {
      ...setup,
      /** Resolves when a child more than before has made its picture. */
      nextHasMade(): Promise<void> {
        children += 1;
        return vi.waitFor(() => expect(made).toBe(children));
      },
      /** Pictures that the child does not make, for more than a second, until it should have caught up with its start. */
      fallBehind(): void {
        for (let index = 0; index < 25; index++) push();
        clock.advance(1001);
        push();
        expect(reencoder.status()!.lagMs).toBe(1001);
        clock.advance(4000);
        push();
      },
    };
  }

  test('makes way for one that makes less, and that later for one that makes more', async () => {
    const { reencoder, nextHasMade, fallBehind, push, clock, log } = await createQuickOnce();
    const status = { codec: 'VP8', running: true, restarts: 0, droppedPictures: 0, lagMs: 0 };
    for (const reduction of [1, 2]) {
      const pid = reencoder.pid();
      await nextHasMade();
      fallBehind();
      expect(reencoder.pid()).not.toBe(pid);
      expect(reencoder.status()).toEqual({ ...status, reduction });
    }
    const warnings = log.lines.filter(({ level }) => level === 'warn').map(({ message }) => message);
    expect(new Set(warnings)).toEqual(new Set(['ffmpeg does not keep up: another child makes less']));
    for (const reduction of [1, 0]) {
      await nextHasMade();
      clock.advance(30_000);
      push();
      expect(reencoder.status()).toMatchObject({ reduction: reduction + 1 });
      push({ keyframe: true });
      expect(reencoder.status()).toEqual({ ...status, reduction });
    }
  });

  test('and makes the least already is given whole groups or nothing', async () => {
    const { reencoder, nextHasMade, fallBehind, push } = await createQuickOnce();
    for (let times = 0; times < 2; times++) {
      await nextHasMade();
      fallBehind();
    }
    await nextHasMade();
    const pid = reencoder.pid();
    fallBehind();
    push();
    expect(reencoder.status()).toMatchObject({ reduction: 2, droppedPictures: 2, restarts: 0 });
    expect(reencoder.pid()).toBe(pid);
  });

  test('and makes the least already goes on with a group that is no longer cached', async () => {
    const { reencoder, nextHasMade, fallBehind, push, gop } = await createQuickOnce();
    for (let times = 0; times < 2; times++) {
      await nextHasMade();
      fallBehind();
    }
    await nextHasMade();
    const pid = reencoder.pid();
    gop.clear();
    fallBehind();
    push();
    expect(reencoder.status()).toMatchObject({ reduction: 2, droppedPictures: 0, restarts: 0 });
    expect(reencoder.pid()).toBe(pid);
  });
});

describe('a child that', () => {
  test('is killed is replaced, and the replacement starts with the group of pictures', async () => {
    const { reencoder, push, log } = await create(READS, { retryMs: 5 });
    reencoder.want(true);
    push({ keyframe: true });
    push();
    const pid = reencoder.pid()!;
    process.kill(pid, 'SIGKILL');
    await vi.waitFor(() => {
      push();
      expect(reencoder.pid()).toBeTypeOf('number');
      expect(reencoder.pid()).not.toBe(pid);
    });
    expect(reencoder.status()).toMatchObject({ running: true, restarts: 1 });
    expect(log.lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
  });

  test.each([
    ['ends at once', '/bin/false'],
    ['does not exist', '/nonexistent/ffmpeg'],
    ['writes something else', 'echo this is no video; exec sleep 60'],
  ])('%s is tried again after pauses that double, with one line in the log', async (_, body) => {
    const { reencoder, push, log } = await create(body, { retryMs: 20 });
    reencoder.want(true);
    const failedAtMs: number[] = [];
    await vi.waitFor(
      () => {
        push({ keyframe: true });
        const restarts = reencoder.status()?.restarts ?? 0;
        while (failedAtMs.length < restarts) failedAtMs.push(performance.now());
        expect(failedAtMs.length).toBeGreaterThanOrEqual(4);
      },
      { timeout: 10_000, interval: 1 },
    );
    const [first = 0, second = 0, , fourth = 0] = failedAtMs;
    expect(second - first).toBeGreaterThanOrEqual(15);
    expect(fourth - first).toBeGreaterThanOrEqual(20 + 40 + 80 - 10);
    expect(log.lines.filter(({ level }) => level === 'warn')).toHaveLength(1);
  });

  test('takes pictures and makes none is replaced', async () => {
    const { reencoder, push, clock, log } = await create(READS, { retryMs: 5 });
    reencoder.want(true);
    push({ keyframe: true });
    const pid = reencoder.pid();
    for (let index = 0; index < 40; index++) push();
    expect(reencoder.pid()).toBe(pid);
    clock.advance(10_001);
    push();
    expect(reencoder.pid()).toBeUndefined();
    expect(reencoder.status()).toMatchObject({ running: false, restarts: 1 });
    expect(log.lines.at(-1)?.message).toContain('stuck');
  });

  test('holds its last pictures back while the publisher pauses is not stuck', async () => {
    const { reencoder, push, clock } = await create(READS);
    reencoder.want(true);
    push({ keyframe: true });
    push();
    clock.advance(60_000);
    push();
    expect(reencoder.status()).toMatchObject({ running: true, restarts: 0 });
  });

  test('does not keep up is given whole groups or nothing, within bounds, with one warning', async () => {
    const { reencoder, push, log } = await create(DEAF);
    reencoder.want(true);
    push({ keyframe: true });
    for (let index = 0; index < 20; index++) push({ bytes: 1024 * 1024 });
    const dropped = reencoder.status()!.droppedPictures;
    expect(dropped).toBeGreaterThan(5);
    expect(dropped).toBeLessThan(9);
    push({ keyframe: true });
    push();
    expect(reencoder.status()!.droppedPictures).toBe(dropped + 2);
    expect(log.lines.filter(({ level }) => level === 'warn').map(({ message }) => message)).toEqual([
      'ffmpeg does not keep up: groups of pictures are dropped',
    ]);
  });
});
