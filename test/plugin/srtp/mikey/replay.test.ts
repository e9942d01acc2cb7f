/** What is remembered of messages, and for how long. */
import { describe, expect, it } from 'vitest';
import { createMikeyReplay, MikeyError, type MikeyErrorCode } from '../../../../plugin/srtp/mikey/index.ts';

const NOW_MS = 1_700_000_000_000;

/** The code that something is refused with. */
function refusal(act: () => unknown): MikeyErrorCode | undefined {
  try {
    act();
  } catch (error) {
    if (error instanceof MikeyError) return error.code;
    throw error;
  }
  return undefined;
}

describe('the memory of messages', () => {
  it('forgets when a message is too old anyway, and never while it could come again', () => {
    const replay = createMikeyReplay({ windowMs: 1000 });
    replay.use('a', 2000, 1000);
    expect(refusal(() => replay.use('a', 2000, 3000))).toBe('replayed');
    // From 1000 ms ahead: it could come until 7100.
    replay.use('b', 6100, 5100);
    expect(refusal(() => replay.use('b', 6100, 7100))).toBe('replayed');
    replay.use('c', 20_000, 20_000);
    expect(replay.size()).toBe(1);
  });

  it('refuses what it may have forgotten, when the clock goes ahead and back', () => {
    const replay = createMikeyReplay({ windowMs: 1000 });
    replay.use('a', 1000, 1000);
    replay.use('b', 100_000, 100_000);
    replay.use('c', 200_000, 200_000);
    expect(refusal(() => replay.use('a', 1000, 1000))).toBe('invalid_timestamp');
  });

  it('is full rather than forgetful', () => {
    const replay = createMikeyReplay({ capacity: 2 });
    for (const id of ['a', 'b']) replay.use(id, NOW_MS, NOW_MS);
    expect(refusal(() => replay.use('c', NOW_MS, NOW_MS))).toBe('overloaded');
    expect(refusal(() => replay.use('a', NOW_MS, NOW_MS))).toBe('replayed');
  });

  it('counts an owner’s messages for as long as it remembers them', () => {
    const replay = createMikeyReplay({ windowMs: 1000, capacityPerOwner: 1 });
    replay.use('a', 2000, 2000, 'one');
    expect(refusal(() => replay.use('b', 2000, 2000, 'one'))).toBe('overloaded');
    replay.use('b', 2000, 2000, 'another');
    replay.use('c', 2000, 2000);
    replay.use('d', 2000, 2000);
    expect(refusal(() => replay.use('e', 4000, 4000, 'one'))).toBe('overloaded');
    replay.use('e', 6000, 6000, 'one');
  });

  it('refuses a time that is none', () => {
    expect(refusal(() => createMikeyReplay().use('a', Number.NaN, NOW_MS))).toBe('invalid_timestamp');
  });
});
