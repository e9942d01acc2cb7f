/** A stream with one viewer, whom nothing that others do may disturb. */
import { createRequire } from 'node:module';
import { expect } from 'vitest';
import { eventually, openReader, type Reader } from '../../../support/flv-readers.ts';
import { newPath, STREAM_KEY, type GuardedNms } from '../../../support/guarded-nms.ts';
import { publishStamped, readStamp, type Stamp } from '../../../support/stamped-source.ts';

export interface HostTables {
  readonly sessions: ReadonlyMap<string, object>;
  readonly broadcasts: ReadonlyMap<string, object>;
}

/** The host's own tables. */
export function hostTables(): HostTables {
  return createRequire(import.meta.url)('node-media-server/src/core/context.js') as HostTables;
}

export interface SteadyStream {
  readonly path: string;
  readonly viewer: Reader;
  /** Resolves when the viewer has got so many more pictures. */
  flowing(pictures?: number): Promise<void>;
  /** True if these bytes are anywhere in what the viewer got. */
  carried(bytes: string): boolean;
  /** The viewer is there, has missed nothing since he came, and goes on. */
  expectUnharmed(): Promise<void>;
  stop(): void;
}

const stampsOf = (viewer: Reader): Stamp[] =>
  viewer.messages.flatMap(({ payload }) => readStamp(payload) ?? []);

export async function startSteadyStream(house: GuardedNms): Promise<SteadyStream> {
  const path = newPath();
  const source = await publishStamped(house.ports.rtmp, path, STREAM_KEY);
  await eventually(() => source.sent() > 2);
  const viewer = openReader('http-flv', {
    ports: house.ports,
    path,
    query: `pass=${await house.pass(path)}`,
  });
  expect((await viewer.answer).status).toBe(200);
  let hasEnded = false;
  void viewer.ended.then(() => (hasEnded = true));
  async function flowing(pictures = 10): Promise<void> {
    const before = stampsOf(viewer).length;
    await eventually(() => hasEnded || stampsOf(viewer).length >= before + pictures);
  }
  await flowing();
  return {
    path,
    viewer,
    flowing,
    carried: (bytes) => viewer.messages.some(({ payload }) => payload.includes(bytes)),
    async expectUnharmed() {
      await flowing();
      expect(hasEnded).toBe(false);
      const stamps = stampsOf(viewer);
      expect(stamps.length).toBe(stamps.at(-1)!.index - stamps[0]!.index + 1);
    },
    stop() {
      viewer.destroy();
      source.stop();
    },
  };
}
