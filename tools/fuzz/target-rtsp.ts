/** What an RTSP client sends: requests and packets on a connection, and what their fields say. */
import { isDeepStrictEqual } from 'node:util';
import { Denial } from '../../plugin/errors.ts';
import { createRtspReader, type RtspMessage } from '../../plugin/rtsp/reader.ts';
import { RtspSyntaxError } from '../../plugin/rtsp/syntax-error.ts';
import { parseTransport } from '../../plugin/rtsp/transport.ts';
import { parseRtspUrl } from '../../plugin/rtsp/url.ts';
import { KeySyntaxError, parseKeyMgmtHeader } from '../../plugin/srtp/index.ts';
import { must, type FuzzTarget } from './target.ts';

const requestOf = (method: string, url: string, ...fields: string[]): Buffer =>
  Buffer.from([`${method} ${url} RTSP/1.0`, 'CSeq: 2', ...fields, '', ''].join('\r\n'), 'latin1');

/** All messages of a connection, whose bytes come in pieces. */
function readAll(input: Buffer, pieceBytes: number): { messages: RtspMessage[]; refusal: unknown } {
  const reader = createRtspReader();
  const messages: RtspMessage[] = [];
  try {
    for (let at = 0; at < input.length; at += pieceBytes) {
      reader.push(input.subarray(at, at + pieceBytes));
      for (let message = reader.next(); message !== undefined; message = reader.next())
        messages.push(message);
    }
    return { messages, refusal: undefined };
  } catch (refusal) {
    if (!(refusal instanceof RtspSyntaxError)) throw refusal;
    return { messages, refusal };
  }
}

function takeField(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    const isRefusal =
      error instanceof RtspSyntaxError || error instanceof Denial || error instanceof KeySyntaxError;
    if (!isRefusal) throw error;
  }
}

export function createTarget(): FuzzTarget {
  const url = 'rtsps://media.example:8322/live/channel';
  return {
    take(input) {
      const { messages, refusal } = readAll(input, Math.max(1, input.length));
      const pieces = readAll(input, 61);
      must(isDeepStrictEqual(pieces.messages, messages), 'messages do not depend on the cuts');
      must(String(pieces.refusal) === String(refusal), 'nor does the refusal');
      for (const message of messages) {
        if (message.kind === 'frame') continue;
        takeField(() => parseRtspUrl(message.url));
        takeField(() => parseTransport(message.headers.get('transport') ?? ''));
        takeField(() => parseKeyMgmtHeader(message.headers.get('keymgmt') ?? ''));
      }
      if (refusal instanceof RtspSyntaxError) throw refusal;
    },
    refusals: [RtspSyntaxError],
    seeds: [
      requestOf('OPTIONS', '*'),
      requestOf('DESCRIBE', `${url}?pass=${'p'.repeat(43)}`, 'Accept: application/sdp'),
      requestOf(
        'SETUP',
        `${url}/track=video`,
        'Transport: RTP/SAVP;unicast;client_port=5000-5001, RTP/AVP/TCP;unicast;interleaved=0-1;mode="PLAY"',
        'KeyMgmt: prot=mikey; uri="rtsps://media.example/live/channel/track=video"; data="AQAF"',
      ),
      requestOf('PLAY', url, 'Session: abcdefgh', 'Range: npt=0.000-', 'Authorization: Basic dTpw'),
      Buffer.concat([requestOf('GET_PARAMETER', url, 'Content-Length: 4'), Buffer.from('ping')]),
      Buffer.concat([
        Buffer.from('$\u0001\u0000\u0008', 'latin1'),
        Buffer.alloc(8, 0x80),
        requestOf('TEARDOWN', url),
      ]),
    ],
    folders: [],
    words: [
      ...[
        '\r\n',
        '\r\n\r\n',
        '\n',
        ' RTSP/1.0',
        'Content-Length: 4097',
        'Content-Length: ',
        'CSeq: ',
        '$',
        ';',
        ',',
        '=',
      ],
      ...[
        'client_port=',
        'interleaved=',
        'multicast',
        'destination=192.0.2.1',
        'mode=record',
        'RTP/SAVPF/TCP',
        '"',
      ],
      ...[
        'rtsp://[::1]:8554/',
        '/track=audio',
        '?pass=',
        '%2f',
        '..',
        '@',
        'GET_PARAMETER ',
        '\t',
        'x: y\r\n',
      ],
    ],
  };
}
