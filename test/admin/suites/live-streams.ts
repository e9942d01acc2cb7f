import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createTitle } from '../../../admin/catalog/titles.ts';
import { findOnAir, listLiveStreams, replaceStreams } from '../../../admin/trust/live-streams.ts';
import { registerServer } from '../../../admin/trust/servers.ts';
import { MAX_STREAMS_PER_REPORT, type StreamStatus } from '../../../plugin/contract.ts';
import { START_MS, type World } from '../../support/databases.ts';
import { HEALTHY, ON_AIR_SINCE, streamStatus } from '../../support/streams.ts';

/** A server of its own for a test. */
async function addServer({ db, server }: World): Promise<string> {
  const id = `ss-${randomUUID()}`;
  await registerServer(db, { ...server, id }, new Date(START_MS));
  return id;
}

async function addTitle({ db }: World, serverIds: string[] = []): Promise<{ id: string; path: string }> {
  const path = `/live/${randomUUID()}`;
  const title = { path, name: 'Test', description: '', published: true, serverIds };
  const id = await db.transaction((tx) => createTitle(tx, title, new Date(START_MS)));
  return { id, path };
}

const report = ({ db }: World, serverId: string, streams: readonly StreamStatus[], nowMs = START_MS) =>
  db.transaction((tx) => replaceStreams(tx, serverId, streams, nowMs));

async function pathsOf({ db }: World, serverId: string, nowMs = START_MS): Promise<string[] | undefined> {
  const found = await listLiveStreams(db, [serverId], nowMs);
  return found.get(serverId)?.map(({ path }) => path);
}

export function liveStreamsSuite(world: () => World): void {
  it('a report is shown as it came', async () => {
    const serverId = await addServer(world());
    const health = { ...HEALTHY, warnings: [{ code: 'b_frames' as const, text: 'B-frames on' }] };
    await report(world(), serverId, [streamStatus('/live/a', { viewers: 7, health })]);
    const found = await listLiveStreams(world().db, [serverId], START_MS);
    expect(found.get(serverId)).toEqual([
      {
        path: '/live/a',
        onAirSince: new Date(ON_AIR_SINCE * 1000),
        viewers: 7,
        health,
        reportedAt: new Date(START_MS),
      },
    ]);
  });

  it('takes the place of the one before, and of no other server’s', async () => {
    const [one, other] = [await addServer(world()), await addServer(world())];
    await report(world(), one, [streamStatus('/live/a'), streamStatus('/live/b')]);
    await report(world(), other, [streamStatus('/live/a')]);
    await report(world(), one, [streamStatus('/live/c'), streamStatus('/live/b')]);
    expect(await pathsOf(world(), one)).toEqual(['/live/b', '/live/c']);
    expect(await pathsOf(world(), other)).toEqual(['/live/a']);
    await report(world(), one, []);
    expect(await pathsOf(world(), one)).toEqual([]);
  });

  it('is shown for 30 s', async () => {
    const serverId = await addServer(world());
    await report(world(), serverId, [streamStatus('/live/a')]);
    expect(await pathsOf(world(), serverId, START_MS + 29_999)).toEqual(['/live/a']);
    expect(await pathsOf(world(), serverId, START_MS + 30_000)).toEqual([]);
  });

  it('takes 10 reports of a server at once, and one of them is what is left', async () => {
    const serverId = await addServer(world());
    const paths = Array.from({ length: 10 }, (_, index) => `/live/${String(index)}`);
    const reports = paths.map((path) =>
      report(world(), serverId, [streamStatus('/live/all'), streamStatus(path)]),
    );
    await Promise.all(reports);
    const left = await pathsOf(world(), serverId);
    expect(left).toHaveLength(2);
    expect(left).toContain('/live/all');
  });

  it('takes as many streams as a report may have', async () => {
    const serverId = await addServer(world());
    const streams = Array.from({ length: MAX_STREAMS_PER_REPORT }, (_, index) =>
      streamStatus(`/live/${String(index)}`),
    );
    await report(world(), serverId, streams);
    expect(await pathsOf(world(), serverId)).toHaveLength(MAX_STREAMS_PER_REPORT);
  });

  describe('a title is on the air', () => {
    async function isOnAir(title: { id: string }, nowMs = START_MS): Promise<boolean | undefined> {
      return (await findOnAir(world().db, [title], nowMs)).get(title);
    }

    it('while any server reports its path, when all carry it', async () => {
      const serverId = await addServer(world());
      const [title, silent] = [await addTitle(world()), await addTitle(world())];
      expect(await isOnAir(title)).toBe(false);
      await report(world(), serverId, [streamStatus(title.path), streamStatus(`${title.path}-other`)]);
      expect(await findOnAir(world().db, [title, silent], START_MS)).toEqual(
        new Map([
          [title, true],
          [silent, false],
        ]),
      );
      expect(await isOnAir(title, START_MS + 30_000)).toBe(false);
    });

    it('by the word of the servers that carry it, of no other', async () => {
      const [carries, other] = [await addServer(world()), await addServer(world())];
      const title = await addTitle(world(), [carries]);
      await report(world(), other, [streamStatus(title.path)]);
      expect(await isOnAir(title)).toBe(false);
      await report(world(), carries, [streamStatus(title.path)]);
      expect(await isOnAir(title)).toBe(true);
    });
  });
}
