/** The parts of requests and answers that have a syntax of their own. */
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { Denial } from '../../../plugin/errors.ts';
import { readRtspCredentials, rtspChallenges } from '../../../plugin/rtsp/credentials.ts';
import { formatDescription } from '../../../plugin/rtsp/description.ts';
import { formatRtspResponse } from '../../../plugin/rtsp/response.ts';
import { RtspSyntaxError } from '../../../plugin/rtsp/syntax-error.ts';
import { formatTransport, parseTransport } from '../../../plugin/rtsp/transport.ts';
import { parseRtspUrl } from '../../../plugin/rtsp/url.ts';
import { parseKeyMgmtAttribute, parseSdes } from '../../../plugin/srtp/index.ts';
import { readNullMessage } from '../../../plugin/srtp/mikey/index.ts';

describe('Transport', () => {
  test.each([
    // As ffmpeg 5.1 and GStreamer 1.22 write them.
    ['RTP/AVP/UDP;unicast;client_port=20000-20001', 'udp', [20_000, 20_001]],
    ['RTP/AVP/TCP;unicast;interleaved=0-1', 'tcp', [0, 1]],
    ['RTP/SAVP;unicast;client_port=49652-49653', 'udp', [49_652, 49_653]],
    ['RTP/SAVP/TCP;unicast;interleaved=2-3', 'tcp', [2, 3]],
    ['RTP/SAVP/TCP;unicast', 'tcp', undefined],
    ['RTP/AVP;unicast;client_port=5000', 'udp', [5000, 5001]],
    ['RTP/SAVP;unicast;client_port=5000-5001;mode="PLAY"', 'udp', [5000, 5001]],
    ['RTP/AVP;multicast,RTP/AVP/TCP;interleaved=0-1', 'tcp', [0, 1]],
  ])('%s', (text, lower, range) => {
    const [spec] = parseTransport(text);
    expect(spec?.lower === 'udp' ? spec.clientPorts : spec?.channels).toEqual(range);
    expect(spec?.lower).toBe(lower);
  });

  test.each([
    ['', 'nothing'],
    ['RTP/AVP;multicast;client_port=5000-5001', 'multicast'],
    ['RTP/AVP;unicast', 'no port'],
    ['RTP/AVP;unicast;client_port=80-81', 'ports of services'],
    ['RTP/AVP;unicast;client_port=65535', 'a port that is none'],
    ['RTP/AVP;unicast;client_port=5000-5000', 'one port for both'],
    ['RTP/AVP/TCP;interleaved=255-256', 'a channel that is none'],
    ['RTP/AVP;unicast;client_port=5000-5001;mode="RECORD"', 'recording'],
    ['UDP/TLS/RTP/SAVPF;unicast;client_port=5000-5001', 'DTLS'],
  ])('%s is no way (%s)', (text) => {
    expect(parseTransport(text)).toEqual([]);
  });

  test.each([
    `RTP/AVP;${'a;'.repeat(20)}`,
    'RTP/AVP;client_port=5000-5001;client_port=6000-6001',
    'RTP/AVP;cli ent_port=5000-5001',
    Array.from({ length: 9 }, () => 'RTP/AVP').join(),
    'R'.repeat(3000),
  ])('%s is refused', (text) => {
    expect(() => parseTransport(text)).toThrow(RtspSyntaxError);
  });

  it('another destination than the peer cannot be asked for', () => {
    const [spec] = parseTransport('RTP/AVP;unicast;destination=192.0.2.7;client_port=5000-5001');
    expect(spec).toEqual({ lower: 'udp', profile: 'RTP/AVP', clientPorts: [5000, 5001] });
  });

  it('the answer repeats the profile that was asked for', () => {
    const udp = {
      lower: 'udp',
      profile: 'RTP/AVP/UDP',
      clientPorts: [5000, 5001],
      serverPorts: [8556, 8557],
    } as const;
    expect(formatTransport(udp, 0xabc)).toBe(
      'RTP/AVP/UDP;unicast;client_port=5000-5001;server_port=8556-8557;ssrc=00000ABC;mode="PLAY"',
    );
    expect(formatTransport({ lower: 'tcp', profile: 'RTP/SAVP/TCP', channels: [0, 1] }, 1)).toBe(
      'RTP/SAVP/TCP;unicast;interleaved=0-1;ssrc=00000001;mode="PLAY"',
    );
  });

  test('whatever is asked for, it is a way or a refusal', () => {
    const part = fc.constantFrom(
      'RTP/AVP',
      'RTP/SAVP/TCP',
      'unicast',
      'client_port=',
      '5000',
      '-',
      ';',
      ',',
      '=',
      '"',
      '256',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.array(part, { maxLength: 20 }).map((parts) => parts.join('')),
          fc.string(),
        ),
        (text) => {
          try {
            expect(Array.isArray(parseTransport(text))).toBe(true);
          } catch (error) {
            expect(error).toBeInstanceOf(RtspSyntaxError);
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('URLs', () => {
  test.each([
    ['rtsp://h/live/a', '/live/a', undefined, undefined, 'rtsp://h/live/a'],
    ['rtsps://h:8322/live/a/', '/live/a', undefined, undefined, 'rtsps://h:8322/live/a'],
    ['rtsps://[::1]:1/live/a/track=video', '/live/a', 'video', undefined, 'rtsps://[::1]:1/live/a'],
    ['rtsp://h/live/a?pass=ps_x', '/live/a', undefined, 'ps_x', 'rtsp://h/live/a'],
    // GStreamer puts the control's name behind the query.
    ['rtsp://h/live/a?pass=ps_x/track=audio', '/live/a', 'audio', 'ps_x', 'rtsp://h/live/a'],
    ['rtsp://h/live/video/track=audio/', '/live/video', 'audio', undefined, 'rtsp://h/live/video'],
  ])('%s', (url, uri, line, pass, base) => {
    expect(parseRtspUrl(url)).toEqual({ uri, line, pass, base });
  });

  test.each([
    ['*', 'request_malformed'],
    ['http://h/live/a', 'request_malformed'],
    ['rtsp://user:x@h/live/a', 'request_malformed'],
    ['rtsp://h/live/a?pass=a&pass=b', 'request_malformed'],
    ['rtsp://h/live/a?key=x', 'request_malformed'],
    ['rtsp://h/live/a#x', 'request_malformed'],
    ['rtsp://h/live', 'not_found'],
    ['rtsp://h/live//a', 'not_found'],
    ['rtsp://h/live/../a', 'not_found'],
    ['rtsp://h/live/%61', 'not_found'],
    ['rtsp://h/live/a/track=text', 'not_found'],
  ])('%s is refused: %s', (url, code) => {
    expect(() => parseRtspUrl(url)).toThrow(expect.objectContaining({ code }) as Error);
  });
});

describe('credentials', () => {
  const pass = `ps_${'a'.repeat(22)}`;
  const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
  const read = (authorization?: string, inUrl?: string) =>
    readRtspCredentials(
      new Map(authorization === undefined ? [] : [['authorization', authorization]]),
      inUrl,
    );

  it('the pass of the URL counts first', () => {
    expect(read('Bearer a.b.c', pass)).toEqual({ authorization: undefined, proof: undefined, pass });
  });
  it.each([basic(`user:${pass}`), basic(`${pass}:`)])('a pass in the place of user or password', (value) => {
    expect(read(value).pass).toBe(pass);
  });
  it('a ticket is handed on as it is', () => {
    expect(read('Bearer a.b.c')).toEqual({
      authorization: 'Bearer a.b.c',
      proof: undefined,
      pass: undefined,
    });
  });
  it.each([
    [undefined, 'ticket_missing'],
    [basic('user:secret'), 'pass_invalid'],
    ['Bearer a, Bearer b', 'ticket_malformed'],
  ])('%s is refused: %s', (value, code) => {
    expect(() => read(value)).toThrow(expect.objectContaining({ code }) as Denial);
  });
});

test('Basic is the first challenge: the one that live555 keeps', () => {
  const schemes = rtspChallenges(new Denial('ticket_missing')).map((each) => each.split(' ')[0]);
  expect(schemes).toEqual(['Basic', 'DPoP']);
});

describe('answers', () => {
  it('have CSeq, the fields that there are, and the length of the body', () => {
    const response = {
      status: 401,
      headers: { 'WWW-Authenticate': ['DPoP', 'Basic'], X: undefined },
      body: 'ü',
    };
    expect(formatRtspResponse(response, 7).toString()).toBe(
      'RTSP/1.0 401 Unauthorized\r\nCSeq: 7\r\nWWW-Authenticate: DPoP\r\nWWW-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nü',
    );
  });
  it('no value can begin another line', () => {
    expect(() => formatRtspResponse({ status: 200, headers: { X: 'a\r\nY: b' } })).toThrow(RangeError);
  });
});

test.each([
  [{ sampleRateHz: 44_100, channels: 2 }, 41],
  [{ sampleRateHz: 48_000, channels: 6 }, 42],
  [{ sampleRateHz: 96_000, channels: 2 }, 43],
  [{ sampleRateHz: 48_000, channels: 8 }, 254],
])('a description of AAC says what RFC 3640 asks for: %o', (form, level) => {
  const master = { key: Buffer.alloc(16, 1), salt: Buffer.alloc(14, 2) };
  const key = { suite: 'AES_CM_128_HMAC_SHA1_80', master, ssrc: 1 } as const;
  const codec = { name: 'AAC', config: Buffer.from('1210', 'hex'), ...form } as const;
  const lines = [{ kind: 'audio', codec, payloadType: 97, key }] as const;
  const sdp = formatDescription({ id: 1, lines, nowMs: 0, saysKeys: false }).split('\r\n');
  expect(sdp.filter((line) => /^a=(rtpmap|fmtp)/.test(line))).toEqual([
    `a=rtpmap:97 mpeg4-generic/${String(form.sampleRateHz)}/${String(form.channels)}`,
    `a=fmtp:97 streamtype=5;profile-level-id=${String(level)};mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1210`,
  ]);
});

it('a description says the same key twice: in SDES and in MIKEY', () => {
  const master = { key: Buffer.alloc(16, 1), salt: Buffer.alloc(14, 2) };
  const key = { suite: 'AES_CM_128_HMAC_SHA1_80', master, ssrc: 0x1234 } as const;
  const codec = { name: 'H264', profileLevelId: '42e01f' } as const;
  const lines = [
    { kind: 'video', codec, payloadType: 96, key },
    { kind: 'audio', codec: undefined, payloadType: 97, key: { ...key, ssrc: 0x5678 } },
  ] as const;
  const sdp = formatDescription({ id: 1, lines, nowMs: 0, saysKeys: true }).split('\r\n');
  expect(sdp.filter((line) => /^(m=|a=rtpmap|a=fmtp|a=control)/.test(line))).toEqual([
    'a=control:*',
    'm=video 0 RTP/SAVP 96',
    'a=rtpmap:96 H264/90000',
    'a=fmtp:96 packetization-mode=1;profile-level-id=42e01f',
    'a=control:track=video',
    'm=audio 0 RTP/SAVP 97',
    'a=rtpmap:97 opus/48000/2',
    'a=control:track=audio',
  ]);
  const sdes = sdp.filter((line) => line.startsWith('a=crypto')).map((line) => parseSdes(line).master);
  const mikey = sdp
    .filter((line) => line.startsWith('a=key-mgmt'))
    .flatMap((line) => readNullMessage(parseKeyMgmtAttribute(line)));
  expect(mikey.map((session) => session.ssrc)).toEqual([0x1234, 0x5678]);
  for (const found of [...sdes, ...mikey.map((session) => session.master)]) {
    expect([Buffer.from(found.key), Buffer.from(found.salt)]).toEqual([master.key, master.salt]);
  }
});
