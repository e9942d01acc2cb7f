import { describe, expect, it } from 'vitest';
import { normalizeUrl } from '../../../plugin/ticket/index.ts';

describe('two spellings of one URL (RFC 3986 section 6.2)', () => {
  it.each([
    ['HTTP://Example.COM/a', 'http://example.com/a'],
    ['https://example.com', 'https://example.com:443/'],
    ['http://example.com:80/', 'http://example.com/'],
    ['rtsp://example.com/live/a', 'rtsp://EXAMPLE.com:554/live/a'],
    ['rtsps://example.com/live/a', 'rtsps://example.com:322/live/a'],
    ['rtmp://example.com/live/a', 'rtmp://example.com:1935/live/a'],
    ['https://example.com/a/./b/../c', 'https://example.com/a/c'],
    ['https://example.com/%7euser', 'https://example.com/~user'],
    ['https://example.com/%2fa', 'https://example.com/%2Fa'],
    ['https://example.com/a?b=c#d', 'https://example.com/a'],
    ['https://[2001:DB8::1]/a', 'https://[2001:db8:0::1]/a'],
  ])('%s is %s', (one, other) => {
    expect(normalizeUrl(one)).not.toBeNull();
    expect(normalizeUrl(one)).toBe(normalizeUrl(other));
  });
});

describe('two URLs', () => {
  it.each([
    ['http://example.com/a', 'https://example.com/a'],
    ['http://example.com/a', 'http://example.com/A'],
    ['http://example.com/a', 'http://example.com/a/'],
    ['http://example.com/a%2Fb', 'http://example.com/a/b'],
    ['rtsp://example.com:80/a', 'rtsp://example.com/a'],
    ['rtsp://example.com:443/a', 'rtsp://example.com/a'],
    ['https://example.com:80/a', 'https://example.com/a'],
    ['http://example.com:443/a', 'http://example.com/a'],
    ['http://example.com/a', 'http://example.com.evil/a'],
  ])('%s is not %s', (one, other) => {
    expect(normalizeUrl(one)).not.toBeNull();
    expect(normalizeUrl(other)).not.toBeNull();
    expect(normalizeUrl(one)).not.toBe(normalizeUrl(other));
  });
});

describe('what is not taken for a URL', () => {
  it.each([
    '',
    'example.com',
    '/a',
    'ftp://example.com/',
    'http:example.com',
    'http://',
    'http://a b/',
    'http://example.com/\\a',
    'http://exam\nple.com/',
    'http://me@example.com/',
    'http://me:pw@example.com/',
    'http://example.com:99999/',
    'http://exämple.com/',
  ])('%j', (text) => {
    expect(normalizeUrl(text)).toBeNull();
  });
});
