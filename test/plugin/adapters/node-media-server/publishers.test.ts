import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createPublishers } from '../../../../plugin/adapters/node-media-server/publishers.ts';
import { asDenial } from '../../../../plugin/errors.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function create() {
  const events: string[] = [];
  const publishers = createPublishers((path) => {
    events.push(`open ${path}`);
    return {
      pushTag: () => undefined,
      restart: () => events.push(`restart ${path}`),
      close: () => events.push(`close ${path}`),
    };
  }, 30_000);
  return { events, publishers };
}

test('one publisher per stream; the second one is refused', () => {
  const { publishers } = create();
  publishers.claim('/a/b');
  publishers.claim('/a/c');
  let code = '';
  try {
    publishers.claim('/a/b');
  } catch (error) {
    code = asDenial(error).code;
  }
  expect(code).toBe('stream_busy');
});

test('who comes back within the grace time gets the same tap, who comes later another', () => {
  const { events, publishers } = create();
  const tap = publishers.claim('/a/b');
  publishers.leave('/a/b');
  vi.advanceTimersByTime(29_999);
  expect(publishers.claim('/a/b')).toBe(tap);
  vi.advanceTimersByTime(60_000);
  expect(events).toEqual(['open /a/b', 'restart /a/b']);
  publishers.leave('/a/b');
  publishers.leave('/a/b');
  vi.advanceTimersByTime(30_000);
  expect(publishers.claim('/a/b')).not.toBe(tap);
  expect(events).toEqual(['open /a/b', 'restart /a/b', 'close /a/b', 'open /a/b']);
});

test('the end closes every tap once', () => {
  const { events, publishers } = create();
  publishers.claim('/a/b');
  publishers.claim('/a/c');
  publishers.leave('/a/c');
  publishers.closeAll();
  vi.advanceTimersByTime(60_000);
  expect(events).toEqual(['open /a/b', 'open /a/c', 'close /a/b', 'close /a/c']);
});
