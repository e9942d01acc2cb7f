import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import { createEventPort } from '../../admin/events/port.ts';
import { withShown } from '../../admin/events/shown.ts';

const silent = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

it('who listens in this process is told that events could not be sent', async () => {
  const channel = {
    notify: () => Promise.reject(new Error('the database is away')),
    listen: () => Promise.resolve(),
  };
  const events = await createEventPort(channel, silent);
  const gap = new Promise<void>((resolve) => {
    events.subscribe({ onEvents: () => undefined, onGap: resolve });
  });
  events.publish([{ kind: 'session', id: randomUUID() }]);
  await gap;
});

it('what was shown may have been missed until its end is shown', async () => {
  const ended = new Set<string>();
  const running = (): string[] => ['a', 'b', 'c'].filter((id) => !ended.has(id));
  const { missed, load } = withShown(
    {
      missed: () => Promise.resolve(running()),
      load: (ids) => Promise.resolve(ids.filter((id) => id !== 'unknown').map((id) => ({ id }))),
    },
    ({ id }) => ended.has(id),
  );
  await load(await missed());
  await load(['unknown']);
  ended.add('a').add('b');
  expect(await missed()).toEqual(['a', 'b', 'c']);
  await load(['a']);
  expect(await missed()).toEqual(['b', 'c']);
});

it('of very many things that were shown the newest are remembered', async () => {
  const { missed, load } = withShown(
    { missed: () => Promise.resolve([]), load: (ids) => Promise.resolve(ids.map((id) => ({ id }))) },
    () => false,
  );
  const ids = Array.from({ length: 1200 }, (_, n) => String(n));
  await load(ids);
  expect(await missed()).toEqual(ids.slice(200));
});
