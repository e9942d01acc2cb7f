import { expect, it } from 'vitest';
import { createRtspReader, type RtspMessage } from '../../plugin/rtsp/reader.ts';

it.each([1, 2, 3, 5, 1000])(
  'RTSP: a packet behind empty lines is one, by pieces of %i bytes',
  (pieceBytes) => {
    const bytes = Buffer.from(
      '\r\n\r\n$\u0001\u0000\u0002xy\r\nOPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n',
      'latin1',
    );
    const reader = createRtspReader();
    const messages: RtspMessage[] = [];
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      reader.push(bytes.subarray(at, at + pieceBytes));
      for (let message = reader.next(); message !== undefined; message = reader.next())
        messages.push(message);
    }
    expect(messages).toMatchObject([
      { kind: 'frame', channel: 1, data: Buffer.from('xy') },
      { kind: 'request', method: 'OPTIONS', cseq: 1 },
    ]);
  },
);
