import { describe, expect, it } from 'vitest';
import { createStreamKey, hashStreamKey, isStreamKey } from '../../../plugin/ticket/index.ts';

describe('a stream key', () => {
  it('is short enough for an RTMP URL, and no two are alike', () => {
    const keys = Array.from({ length: 200 }, createStreamKey);
    expect(keys.every((key) => isStreamKey(key) && key.length <= 80)).toBe(true);
    expect(new Set(keys).size).toBe(keys.length);
  });

  it('is stored as its SHA-256', () => {
    // printf %s sk_AAAAAAAAAAAAAAAAAAAAAA | openssl dgst -sha256 -binary | basenc --base64url
    expect(hashStreamKey('sk_AAAAAAAAAAAAAAAAAAAAAA')).toBe('gZJbbiiAfwCWlTBvu1aSQk4fXT7aLXYAMO6oZpIFFkY');
  });

  it.each([
    '',
    'sk_',
    'AAAAAAAAAAAAAAAAAAAAAA',
    'sk_AAAAAAAAAAAAAAAAAAAAA',
    'sk_AAAAAAAAAAAAAAAAAAAAAAA',
    'sk_AAAAAAAAAAAAAAAAAAAAA=',
    'SK_AAAAAAAAAAAAAAAAAAAAAA',
    'sk_AAAAAAAAAAAAAAAAAAAAA\n',
    'sk_AAAAAAAAAAAAAAAAAAAAAA\n',
  ])('is not %j', (text) => {
    expect(isStreamKey(text)).toBe(false);
  });
});
