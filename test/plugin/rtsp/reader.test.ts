import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import {
  createRtspReader,
  MAX_BODY_BYTES,
  MAX_FRAME_BYTES,
  MAX_HEAD_BYTES,
  type RtspMessage,
} from '../../../plugin/rtsp/reader.ts';
import { RtspSyntaxError } from '../../../plugin/rtsp/syntax-error.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

function readAll(...chunks: Buffer[]): RtspMessage[] {
  const reader = createRtspReader();
  const messages: RtspMessage[] = [];
  for (const chunk of chunks) {
    reader.push(chunk);
    for (let next = reader.next(); next !== undefined; next = reader.next()) messages.push(next);
  }
  return messages;
}

/** The status that a text is refused with. */
function refusalOf(text: string | Buffer): number | undefined {
  try {
    readAll(typeof text === 'string' ? bytes(text) : text);
    return undefined;
  } catch (error) {
    if (error instanceof RtspSyntaxError) return error.status;
    throw error;
  }
}

const head = (...fields: string[]): string =>
  ['OPTIONS rtsp://h/live/a RTSP/1.0', ...fields, '', ''].join('\r\n');

describe('what is read', () => {
  it('a request with its header fields, whose names have no case', () => {
    const [request, ...others] = readAll(
      bytes('DESCRIBE rtsps://h:8322/live/a?pass=x RTSP/1.0\r\nCSeq: 2\r\nACCEPT:  application/sdp \r\n\r\n'),
    );
    expect(others).toEqual([]);
    expect(request).toEqual({
      kind: 'request',
      method: 'DESCRIBE',
      url: 'rtsps://h:8322/live/a?pass=x',
      cseq: 2,
      headers: new Map([
        ['cseq', '2'],
        ['accept', 'application/sdp'],
      ]),
      body: Buffer.alloc(0),
    });
  });

  it('bodies, pipelined requests and packets between them', () => {
    const frame = Buffer.concat([Buffer.from([0x24, 1, 0, 3]), Buffer.from('abc')]);
    const messages = readAll(
      Buffer.concat([
        bytes(head('CSeq: 1', 'Content-Length: 4')),
        bytes('\r\n$x'),
        frame,
        bytes(head('CSeq: 2')),
      ]),
    );
    expect(messages).toMatchObject([
      { kind: 'request', cseq: 1, body: bytes('\r\n$x') },
      { kind: 'frame', channel: 1, data: bytes('abc') },
      { kind: 'request', cseq: 2 },
    ]);
  });

  it('empty lines before a request are passed over', () => {
    expect(readAll(bytes(`\r\n\r\n${head('CSeq: 1')}`))).toHaveLength(1);
  });

  it('a packet behind empty lines is one', () => {
    const frame = Buffer.from([0x24, 1, 0, 1, 7]);
    expect(readAll(bytes('\r\n\r'), bytes('\n'), frame)).toMatchObject([{ kind: 'frame', channel: 1 }]);
  });

  it('a field that comes twice is a list', () => {
    const [request] = readAll(bytes(head('CSeq: 1', 'Via: a', 'via: b')));
    expect(request?.kind === 'request' && request.headers.get('via')).toBe('a, b');
  });
});

test.each([
  ['no CSeq', head(), 400],
  ['a CSeq that is no number', head('CSeq: one'), 400],
  ['two CSeqs', head('CSeq: 1', 'CSeq: 2'), 400],
  ['two lengths', head('CSeq: 1', 'Content-Length: 0', 'Content-Length: 5'), 400],
  ['a negative length', head('CSeq: 1', 'Content-Length: -1'), 400],
  ['a body that is too large', head('CSeq: 1', `Content-Length: ${String(MAX_BODY_BYTES + 1)}`), 413],
  ['another version', head('CSeq: 1').replace('RTSP/1.0', 'RTSP/2.0'), 505],
  ['HTTP', 'GET / HTTP/1.1\r\nHost: h\r\n\r\n', 400],
  ['an answer', 'RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n', 400],
  ['a method in small letters', 'options * RTSP/1.0\r\nCSeq: 1\r\n\r\n', 400],
  ['two spaces', 'OPTIONS  * RTSP/1.0\r\nCSeq: 1\r\n\r\n', 400],
  ['a folded line', head('CSeq: 1', 'Accept: a', ' b'), 400],
  ['a space before the colon', head('CSeq : 1'), 400],
  ['a line end within a line', head('CSeq: 1\nX: 2'), 400],
  ['a zero in a value', head('CSeq: 1', 'Accept: a\0'), 400],
  ['too many fields', head('CSeq: 1', ...Array.from({ length: 40 }, (_, at) => `X-${String(at)}: y`)), 400],
  ['a long URL', `OPTIONS rtsp://h/${'a'.repeat(2048)} RTSP/1.0\r\nCSeq: 1\r\n\r\n`, 414],
  ['a long line', head('CSeq: 1', `X: ${'a'.repeat(9000)}`), 400],
  ['a header without end', `OPTIONS * RTSP/1.0\r\n${'X: y\r\n'.repeat(MAX_HEAD_BYTES / 6 + 1)}`, 413],
])('%s is refused', (_what, text, status) => {
  expect(refusalOf(text)).toBe(status);
});

test.each([
  [64, 1],
  [65, 'refused'],
])('%i empty lines in a row before a request, in one piece or in many: %s', (lines, outcome) => {
  const whole = bytes('\r\n'.repeat(lines) + head('CSeq: 1'));
  for (const chunks of [[whole], [...whole].map((byte) => Buffer.from([byte]))]) {
    if (outcome === 'refused') expect(() => readAll(...chunks)).toThrow(RtspSyntaxError);
    else expect(readAll(...chunks)).toHaveLength(1);
  }
});

it('empty lines are counted anew behind each message', () => {
  const each = '\r\n'.repeat(64) + head('CSeq: 1');
  expect(readAll(bytes(each + each))).toHaveLength(2);
});

it('a packet that is too large is refused by its length alone', () => {
  const length = Buffer.from([0x24, 0, 0, 0]);
  length.writeUInt16BE(MAX_FRAME_BYTES + 1, 2);
  expect(refusalOf(length)).toBe(413);
});

it('after a refusal nothing more is read', () => {
  const reader = createRtspReader();
  reader.push(bytes(head()));
  expect(() => reader.next()).toThrow(RtspSyntaxError);
  reader.push(bytes(head('CSeq: 1')));
  expect(() => reader.next()).toThrow(RtspSyntaxError);
});

const request = fc.record({
  cseq: fc.nat(999_999_999),
  fields: fc.array(fc.tuple(fc.stringMatching(/^X-[A-Za-z]{1,10}$/), fc.stringMatching(/^[!-~]{1,20}$/)), {
    maxLength: 5,
  }),
  body: fc.uint8Array({ maxLength: 60 }),
});
const frame = fc.record({ channel: fc.nat(255), data: fc.uint8Array({ maxLength: 60 }) });

function written(message: typeof request extends fc.Arbitrary<infer T> ? T : never): Buffer {
  const { cseq, fields, body } = message;
  const lines = fields.map(([name, value]) => `${name}: ${value}`);
  const text = head(`CSeq: ${String(cseq)}`, ...lines, `Content-Length: ${String(body.length)}`);
  return Buffer.concat([bytes(text), body]);
}

/** Cuts at the places given, wherever they are. */
function cut(whole: Buffer, places: readonly number[]): Buffer[] {
  const at = [...new Set(places.map((place) => place % (whole.length + 1)))].sort((a, b) => a - b);
  return [...at, whole.length].map((end, index) => whole.subarray(at[index - 1] ?? 0, end));
}

const places = fc.array(fc.nat(5000), { maxLength: 12 });

test('however the bytes are cut, the messages are the same', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(request, frame), { maxLength: 5 }), places, (messages, at) => {
      const whole = Buffer.concat(
        messages.map((message) => {
          if (!('channel' in message)) return written(message);
          const { channel, data } = message;
          return Buffer.concat([Buffer.from([0x24, channel, 0, data.length]), data]);
        }),
      );
      const read = readAll(...cut(whole, at));
      expect(read).toEqual(readAll(whole));
      expect(read.map((message) => (message.kind === 'frame' ? message.channel : message.cseq))).toEqual(
        messages.map((message) => ('channel' in message ? message.channel : message.cseq)),
      );
      expect(read.map((message) => [...(message.kind === 'frame' ? message.data : message.body)])).toEqual(
        messages.map((message) => [...('channel' in message ? message.data : message.body)]),
      );
    }),
  );
});

test('changed bytes of requests give messages or a refusal, and nothing else', () => {
  const changes = fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { maxLength: 8 });
  fc.assert(
    fc.property(request, changes, places, (message, changed, at) => {
      const whole = Buffer.concat([written(message), bytes(head('CSeq: 7'))]);
      for (const [place, value] of changed) whole[place % whole.length] = value;
      try {
        readAll(...cut(whole, at));
      } catch (error) {
        expect(error).toBeInstanceOf(RtspSyntaxError);
      }
    }),
    { numRuns: 500 },
  );
});

test('any bytes give messages or a refusal, and nothing else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), places, (whole, at) => {
      try {
        readAll(...cut(Buffer.from(whole), at));
      } catch (error) {
        expect(error).toBeInstanceOf(RtspSyntaxError);
      }
    }),
    { numRuns: 500 },
  );
});
