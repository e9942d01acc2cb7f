/** The RTSP server from a client's side of the sockets: media by UDP. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createSrtpSender, formatKeyMgmtHeader } from '../../../../plugin/srtp/index.ts';
import { buildNullMessage } from '../../../../plugin/srtp/mikey/index.ts';
import { receiversOf, type RtspAnswer, type RtspTestClient } from '../../../support/rtsp-client.ts';
import { control, createRtspWorld, payloadOf, sessionOf, URL, type RtspWorld } from './rtsp-world.ts';

let rtsp: RtspWorld;
beforeEach(async () => {
  rtsp = await createRtspWorld();
});
afterEach(() => rtsp.close());

describe('by UDP', () => {
  let sockets: [Socket, Socket];
  const at = (socket: Socket): number => socket.address().port;

  beforeEach(async () => {
    const pair = [createSocket('udp4'), createSocket('udp4')] as const;
    for (const socket of pair) await once(socket.bind(0, '127.0.0.1'), 'listening');
    sockets = [...pair];
    rtsp.opened.push({ close: () => sockets.forEach((socket) => socket.close()) });
  });

  async function playByUdp(client: RtspTestClient, more = {}): Promise<{ sdp: string; answer: RtspAnswer }> {
    const { body: sdp } = await rtsp.describeIt(client);
    const answer = await client.ask('SETUP', control('video'), {
      Transport: `RTP/SAVP;unicast;destination=192.0.2.1;client_port=${String(at(sockets[0]))}-${String(at(sockets[1]))}`,
      ...more,
    });
    expect(answer.status).toBe(200);
    await client.ask('PLAY', URL, { Session: sessionOf(answer) });
    return { sdp, answer };
  }

  it('packets and reports come to the ports that were named, and a BYE at the end', async () => {
    const client = await rtsp.connect();
    const { sdp, answer } = await playByUdp(client);
    expect(answer.headers.get('transport')).toContain(`server_port=${String(rtsp.server.ports.udp)}-`);
    const came = once(sockets[0], 'message');
    rtsp.stream.picture(true);
    const [receiver] = receiversOf(sdp);
    const [packet, from] = (await came) as [Buffer, { port: number }];
    expect(from.port).toBe(rtsp.server.ports.udp);
    expect(payloadOf(receiver?.unprotectRtp(packet) as Buffer)).toEqual(
      payloadOf(rtsp.stream.latest[0] as Buffer),
    );
    const said = once(sockets[1], 'message');
    await rtsp.house.gate.sessions()[0]?.end('expired');
    const [bye] = (await said) as [Buffer];
    expect((receiver?.unprotectRtcp(bye) as Buffer).readUInt8(9)).toBe(203);
  });

  it('ports that another viewer has are not given twice', async () => {
    await playByUdp(await rtsp.connect());
    const second = await rtsp.connect();
    await rtsp.describeIt(second);
    const Transport = `RTP/SAVP;unicast;client_port=${String(at(sockets[0]))}-${String(at(sockets[1]))}`;
    expect((await second.ask('SETUP', control('video'), { Transport })).status).toBe(461);
  });

  it('a line goes on by TCP, under its key and numbers, when it is set up again: UDP does not reach everybody', async () => {
    const client = await rtsp.connect();
    const { sdp, answer } = await playByUdp(client);
    const came = once(sockets[0], 'message');
    rtsp.stream.picture(true);
    const [receiver] = receiversOf(sdp);
    const opened = receiver?.unprotectRtp(((await came) as [Buffer])[0]) as Buffer;
    const Session = sessionOf(answer);
    const again = { Transport: 'RTP/AVP/TCP;unicast;interleaved=0-1' };
    // Not while it plays.
    const busy = await client.ask('SETUP', control('video'), again);
    expect([busy.status, busy.headers.get('allow')]).toEqual([
      455,
      'OPTIONS, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER',
    ]);
    await client.ask('PAUSE', URL, { Session });
    // As ffmpeg does, without a word of the session.
    const anew = await client.ask('SETUP', control('video'), again);
    expect([anew.status, sessionOf(anew), rtsp.house.redemptions.calls]).toEqual([
      200,
      Session,
      ['reserve', 'commit'],
    ]);
    await client.ask('PLAY', URL, { Session });
    rtsp.stream.picture(true);
    const { data } = await client.frame(0);
    const next = receiver?.unprotectRtp(data) as Buffer;
    expect([next.readUInt32BE(8), next.readUInt16BE(2)]).toEqual([
      opened.readUInt32BE(8),
      (opened.readUInt16BE(2) + rtsp.stream.latest.length) & 0xffff,
    ]);
    // The ports are free again.
    await playByUdp(await rtsp.connect());
  });

  it('lines go all by UDP or all by TCP', async () => {
    const client = await rtsp.connect();
    const { session } = await rtsp.setUpByTcp(client);
    const Transport = `RTP/SAVP;unicast;client_port=${String(at(sockets[0]))}-${String(at(sockets[1]))}`;
    expect((await client.ask('SETUP', control('video'), { Transport, Session: session })).status).toBe(200);
    const { status, headers } = await client.ask('PLAY', URL, { Session: session });
    expect([status, headers.get('allow')]).toEqual([
      455,
      'OPTIONS, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER',
    ]);
  });

  it('where it is turned off there is TCP', async () => {
    const only = await rtsp.open({ udpPort: undefined });
    expect(only.ports.udp).toBeUndefined();
    const client = await rtsp.connect(only);
    await rtsp.describeIt(client);
    const ports = `client_port=${String(at(sockets[0]))}-${String(at(sockets[1]))}`;
    const udp = `RTP/AVP;unicast;${ports}`;
    expect((await client.ask('SETUP', control('video'), { Transport: udp })).status).toBe(461);
    const Transport = `${udp},RTP/AVP/TCP;unicast;interleaved=0-1`;
    const { status, headers } = await client.ask('SETUP', control('video'), { Transport });
    expect([status, headers.get('transport')]).toEqual([200, expect.stringContaining('interleaved=0-1')]);
  });

  it('reports that are authentic keep a silent viewer; others do not', async () => {
    const impatient = await rtsp.open({ silentAfterSeconds: 0.6 });
    const master = { key: randomBytes(16), salt: randomBytes(14) };
    const suite = 'AES_CM_128_HMAC_SHA1_80';
    const data = buildNullMessage({ suite, master, sessions: [{ ssrc: 77 }], nowMs: Date.now() });
    const { answer } = await playByUdp(await rtsp.connect(impatient), {
      KeyMgmt: formatKeyMgmtHeader([{ data }]),
    });
    const rtcpPort = Number(/server_port=\d+-(\d+)/.exec(answer.headers.get('transport') ?? '')?.[1]);
    const sender = createSrtpSender({ suite, master });
    const report = Buffer.from('80c900010000004d', 'hex');
    const [session] = rtsp.house.gate.sessions();
    const startedMs = Date.now();
    const authentic = setInterval(() => {
      const into = Buffer.alloc(64);
      sockets[1].send(into.subarray(0, sender.protectRtcp(report, into)), rtcpPort, '127.0.0.1');
    }, 100);
    setTimeout(() => clearInterval(authentic), 1500);
    // Cleartext reports go on.
    const others = setInterval(() => sockets[1].send(report, rtcpPort, '127.0.0.1'), 100);
    expect(await session?.ended).toBe('viewer_left');
    clearInterval(others);
    expect(Date.now() - startedMs).toBeGreaterThan(1400);
  });
});
