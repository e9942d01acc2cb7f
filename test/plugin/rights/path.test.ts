import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { coversPath, isStreamPath } from '../../../plugin/rights/index.ts';

describe('a stream path', () => {
  it.each([
    '/live/a',
    '/live/A.b_c~d-e',
    '/a/b/c',
    '/a/b/c/d',
    '/live/...',
    '/live/.a',
    `/live/${'a'.repeat(64)}`,
  ])('may be %s', (text) => {
    expect(isStreamPath(text)).toBe(true);
  });

  it.each([
    '',
    '/',
    '/live',
    '/live/',
    'live/a',
    '//live/a',
    '/live//a',
    '/live/.',
    '/live/..',
    '/../a',
    '/live/a/',
    '/live/a?b',
    '/live/a#b',
    '/live/%61',
    '/live/a b',
    '/live/a\n',
    '/live/a\0',
    '/live\\a',
    '/live/ä',
    '/a/b/c/d/e',
    `/live/${'a'.repeat(65)}`,
    `/${['a', 'b', 'c', 'd'].map((char) => char.repeat(64)).join('/')}`,
  ])('is not %j', (text) => {
    expect(isStreamPath(text)).toBe(false);
  });
});

const segment = fc
  .string({ unit: fc.constantFrom(...Array.from('abcABC019._~-')), minLength: 1, maxLength: 8 })
  .filter((text) => text !== '.' && text !== '..');
const path = fc.array(segment, { minLength: 2, maxLength: 4 }).map((segments) => `/${segments.join('/')}`);

describe('a ticket for one path', () => {
  it.each([
    ['/live/foo', '/live/foobar'],
    ['/live/foobar', '/live/foo'],
    ['/live/foo', '/live/foo/bar'],
    ['/live/foo/bar', '/live/foo'],
    ['/live/foo', '/LIVE/foo'],
    ['/live/foo', '/live/foo/'],
    ['/live/foo', '/live/fo%6f'],
    ['/live/', '/live/'],
    ['/live/..', '/live/..'],
  ])('%s does not cover %s', (granted, asked) => {
    expect(coversPath(granted, asked)).toBe(false);
  });

  it('covers that path', () => {
    fc.assert(
      fc.property(path, (granted) => {
        expect(coversPath(granted, granted)).toBe(true);
      }),
      { seed: 5, numRuns: 300 },
    );
  });

  it('covers a path with the same segments, all of them, and no other', () => {
    fc.assert(
      fc.property(path, path, (granted, asked) => {
        const same = JSON.stringify(granted.split('/')) === JSON.stringify(asked.split('/'));
        expect(coversPath(granted, asked)).toBe(same);
      }),
      { seed: 6, numRuns: 500 },
    );
  });

  it('covers nothing that differs from it by one character more, less or other', () => {
    const char = fc.constantFrom(...Array.from('ab/._%?#\\ A\0'));
    fc.assert(
      fc.property(path, fc.nat(), char, (granted, seed, inserted) => {
        const index = seed % (granted.length + 1);
        expect(coversPath(granted, granted.slice(0, index) + inserted + granted.slice(index))).toBe(false);
        const cut = granted.slice(0, index) + granted.slice(index + 1);
        if (cut !== granted) expect(coversPath(granted, cut)).toBe(false);
      }),
      { seed: 7, numRuns: 500 },
    );
  });
});
