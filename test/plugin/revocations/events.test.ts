import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createEventParser, type ServerSentEvent } from '../../../plugin/revocations/events.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text);
const parseAll = (text: string): ServerSentEvent[] => createEventParser(1000).push(bytes(text));

describe('an event', () => {
  it.each<[string, string, ServerSentEvent[]]>([
    ['with a name and data', 'event: a\ndata: 1\n\n', [{ event: 'a', data: '1' }]],
    ['with an id, which is not read', 'id: 7\nevent: a\ndata: 1\n\n', [{ event: 'a', data: '1' }]],
    ['without a name', 'data: 1\n\n', [{ event: 'message', data: '1' }]],
    ['with several lines of data', 'data: 1\ndata\ndata:  2\n\n', [{ event: 'message', data: '1\n\n 2' }]],
    ['with CRLF', 'event: a\r\ndata: 1\r\n\r\n', [{ event: 'a', data: '1' }]],
    ['with CR', 'event: a\rdata: 1\r\r ', [{ event: 'a', data: '1' }]],
    ['with a byte order mark before it', '\ufeffdata: 1\n\n', [{ event: 'message', data: '1' }]],
    ['after comments', ': hello\n\n:\ndata: 1\n\n', [{ event: 'message', data: '1' }]],
    ['without data is none', 'event: a\n\nevent: b\n\n', []],
    ['without its end is none yet', 'event: a\ndata: 1\n', []],
    [
      'does not pass its name on',
      'event: a\ndata: 1\n\ndata: 2\n\n',
      [
        { event: 'a', data: '1' },
        { event: 'message', data: '2' },
      ],
    ],
  ])('%s', (_name, text, events) => {
    expect(parseAll(text)).toEqual(events);
  });

  it('may come in pieces, cut anywhere', () => {
    const text = '\ufeffevent: ä\r\ndata: {"x":"€😀"}\r\n\r\n: c\n\ndata: 2\rdata: 3\r\n\n';
    const whole = parseAll(text);
    expect(whole).toHaveLength(2);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (sizes) => {
        const parser = createEventParser(1000);
        const all = bytes(text);
        const events: ServerSentEvent[] = [];
        for (let at = 0, index = 0; at < all.byteLength; index += 1) {
          const size = sizes[index % sizes.length] ?? 1;
          events.push(...parser.push(all.subarray(at, at + size)));
          at += size;
        }
        expect(events).toEqual(whole);
      }),
      { seed: 6, numRuns: 300 },
    );
  });
});

describe('a stream is given up', () => {
  it.each<[string, (parser: ReturnType<typeof createEventParser>) => void]>([
    [
      'for an event that is too long',
      (parser) => {
        for (let line = 0; line < 11; line += 1) parser.push(bytes(`data: ${'x'.repeat(99)}\n`));
      },
    ],
    [
      'for a line without an end',
      (parser) => {
        for (let piece = 0; piece < 11; piece += 1) parser.push(bytes('x'.repeat(100)));
      },
    ],
    ['for bytes that are no UTF-8', (parser) => parser.push(Uint8Array.of(0x64, 0xff, 0x0a))],
  ])('%s', (_name, feed) => {
    expect(() => feed(createEventParser(1000))).toThrow();
  });

  it('but not for one that is just as long as it may be', () => {
    const parser = createEventParser(1000);
    expect(parser.push(bytes(`data: ${'x'.repeat(999)}\n\n`))).toHaveLength(1);
  });
});
