/** The RTSP server from a client's side of the socket, with the real gate. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, test, vi } from 'vitest';
import { openRtsp, type RtspOptions, type RtspServer } from '../../../plugin/adapters/rtsp.ts';
import { createRequests } from '../../../plugin/adapters/rtsp/requests.ts';
import { systemClock } from '../../../plugin/clock.ts';
import { Denial } from '../../../plugin/errors.ts';
import { createProof } from '../../../plugin/ticket/index.ts';
import { createSrtpSender, formatKeyMgmtHeader } from '../../../plugin/srtp/index.ts';
import { buildNullMessage } from '../../../plugin/srtp/mikey/index.ts';
import { makeGrant, silentLog } from '../../support/doubles.ts';
import { setUpGate } from '../../support/gates.ts';
import { connectRtsp, receiversOf, type RtspAnswer, type RtspTestClient } from '../../support/rtsp-client.ts';
import { createTicketWorld, PATH, type TicketWorld } from '../../support/tickets.ts';
import { createFakeStream, type FakeStream } from './rtsp/fake-stream.ts';

const PUBLIC = 'rtsp://media.example:8554';
const URL = `rtsp://127.0.0.1${PATH}`;

let world: TicketWorld;
let house: ReturnType<typeof setUpGate>;
let stream: FakeStream;
let server: RtspServer;
const opened: { close(): void }[] = [];

async function open(options: Partial<RtspOptions> = {}): Promise<RtspServer> {
  const rtsp = await openRtsp({
    gate: house.gate,
    stage: stream,
    host: '127.0.0.1',
    rtsp: { port: 0, publicUrl: PUBLIC },
    udpPort: 0,
    clock: systemClock,
    log: silentLog,
    ...options,
  });
  opened.push(rtsp);
  return rtsp;
}

beforeEach(async () => {
  world = await createTicketWorld(systemClock);
  house = setUpGate(world, systemClock);
  stream = createFakeStream();
  server = await open();
});
afterEach(async () => {
  await house.gate.close('server_stopped');
  for (const each of opened.splice(0)) each.close();
});

async function connect(to = server): Promise<RtspTestClient> {
  const client = await connectRtsp(to.ports.rtsp);
  opened.push({ close: () => client.socket.destroy() });
  return client;
}

/** A ticket that is not bound to a key, with counted accesses. */
async function bearer(claims = {}): Promise<string> {
  const { rights } = makeGrant();
  return `Bearer ${await world.ticketFor(await world.newViewer(), { cnf: undefined, rights, ...claims })}`;
}

async function describeIt(client: RtspTestClient): Promise<RtspAnswer> {
  const answer = await client.ask('DESCRIBE', URL, { Authorization: await bearer() });
  expect(answer.status, answer.body).toBe(200);
  return answer;
}

const control = (line: 'video' | 'audio'): string => `${URL}/track=${line}`;
const sessionOf = (answer: RtspAnswer): string => answer.headers.get('session')?.split(';')[0] ?? '';

/** Describes and sets up both lines on channels 0 to 3. */
async function setUpByTcp(
  client: RtspTestClient,
): Promise<{ session: string; sdp: string; transport: string }> {
  const { body: sdp } = await describeIt(client);
  const video = await client.ask('SETUP', control('video'), {
    Transport: 'RTP/AVP/TCP;unicast;interleaved=0-1',
  });
  expect(video.status).toBe(200);
  const session = sessionOf(video);
  const audio = await client.ask('SETUP', control('audio'), {
    Transport: 'RTP/AVP/TCP;unicast;interleaved=2-3',
    Session: session,
  });
  expect([audio.status, sessionOf(audio)]).toEqual([200, session]);
  return { session, sdp, transport: video.headers.get('transport') ?? '' };
}

const payloadOf = (packet: Buffer): Buffer => packet.subarray(12);

async function rejectionOf(answer: Promise<RtspAnswer>): Promise<[number, unknown]> {
  const { status, body } = await answer;
  return [status, body === '' ? undefined : (JSON.parse(body) as { code: string }).code];
}

describe('by TCP', () => {
  it('media goes out after PLAY, protected under the keys of the description, from a keyframe on', async () => {
    const client = await connect();
    const { session, sdp, transport } = await setUpByTcp(client);
    stream.picture(true);
    const play = await client.ask('PLAY', URL, { Session: session });
    expect(play.status).toBe(200);
    await vi.waitUntil(() => stream.listeners() === 2);
    expect([client.frames, stream.keyframeRequests]).toEqual([[], 2]);

    stream.picture(false);
    stream.picture(true);
    const pictures = stream.latest.map(payloadOf);
    stream.sound();
    const sounds = stream.latest.map(payloadOf);
    stream.reports();
    await client.frame(5);
    const [video, audio] = receiversOf(sdp);
    const open = (channel: number) =>
      client.frames.filter((frame) => frame.channel === channel).map(({ data }) => Buffer.from(data));
    const clear = open(0).map((packet) => video?.unprotectRtp(packet)) as Buffer[];
    expect(clear.map(payloadOf)).toEqual(pictures);
    expect((open(2).map((packet) => audio?.unprotectRtp(packet)) as Buffer[]).map(payloadOf)).toEqual(sounds);
    // Its own numbers, SSRC and payload type; a report of what this viewer was sent.
    const first = clear[0] as Buffer;
    const ssrc = Number.parseInt(/ssrc=([0-9A-F]{8})/.exec(transport)?.[1] ?? '', 16);
    expect(play.headers.get('rtp-info')).toContain(`track=video;seq=${String(first.readUInt16BE(2))}`);
    expect([first.readUInt8(1) & 0x7f, first.readUInt32BE(8)]).toEqual([96, ssrc]);
    const report = video?.unprotectRtcp(open(1)[0] as Buffer) as Buffer;
    expect([report.readUInt32BE(4), report.readUInt32BE(20)]).toEqual([first.readUInt32BE(8), 3]);
  });

  it('DESCRIBE takes nothing, SETUP reserves, the first packet commits', async () => {
    const client = await connect();
    await describeIt(client);
    expect(house.redemptions.calls).toEqual([]);
    const { headers } = await client.ask('SETUP', control('video'), {
      Transport: 'RTP/AVP/TCP;interleaved=0-1',
    });
    expect(house.redemptions.calls).toEqual(['reserve']);
    await client.ask('PLAY', URL, { Session: headers.get('session') ?? '' });
    expect(house.redemptions.calls).toEqual(['reserve']);
    stream.picture(true);
    await vi.waitUntil(() => house.redemptions.calls.includes('commit'));
    stream.mediaMs += 400;
    stream.picture(false);
    const [session] = house.gate.sessions();
    await session?.end('kicked');
    await client.closed;
    const plainBytes = house.sink.receipts.at(-1)?.bytes ?? 0;
    expect(house.sink.receipts.at(-1)).toMatchObject({ reason: 'kicked', mediaMs: 400 });
    expect(plainBytes).toBeGreaterThan(100);
  });

  it('after a pause numbers go on and media begins anew; what passed meanwhile is not counted', async () => {
    const client = await connect();
    const { session, sdp } = await setUpByTcp(client);
    await client.ask('PLAY', URL, { Session: session });
    stream.picture(true);
    await client.frame(2);
    stream.mediaMs = 1000;
    stream.picture(false);
    expect((await client.ask('PAUSE', URL, { Session: session })).status).toBe(200);
    expect(stream.listeners()).toBe(0);
    stream.picture(true);
    stream.mediaMs = 5000;
    await client.ask('PLAY', URL, { Session: session });
    stream.picture(false);
    stream.picture(true);
    await client.frame(6);
    const [video] = receiversOf(sdp);
    const numbers = client.frames.map(({ data }) => (video?.unprotectRtp(data) as Buffer).readUInt16BE(2));
    expect(numbers).toEqual(numbers.map((_number, index) => ((numbers[0] ?? 0) + index) & 0xffff));
    stream.mediaMs = 5300;
    stream.picture(false);
    await client.ask('TEARDOWN', URL, { Session: session });
    expect(house.sink.receipts.at(-1)).toMatchObject({ reason: 'viewer_left', mediaMs: 1300 });
  });

  it('no two sessions share a key, an SSRC or a byte of media', async () => {
    const clients = [await connect(), await connect()];
    const all: { sdp: string; packet: Buffer }[] = [];
    for (const client of clients) {
      const { session, sdp } = await setUpByTcp(client);
      await client.ask('PLAY', URL, { Session: session });
      all.push({ sdp, packet: Buffer.alloc(0) });
    }
    stream.picture(true, 1000);
    const packets = await Promise.all(clients.map(async (client) => (await client.frame(2)).data));
    const [first, second] = packets as [Buffer, Buffer];
    const plain = payloadOf(stream.latest[2] as Buffer);
    const same = (a: Buffer, b: Buffer): number => a.filter((byte, at) => byte === b[at]).length / a.length;
    expect(same(payloadOf(first), payloadOf(second))).toBeLessThan(0.05);
    expect(same(payloadOf(first).subarray(0, plain.length), plain)).toBeLessThan(0.05);
    expect(first.readUInt32BE(8)).not.toBe(second.readUInt32BE(8));
    const keys = all.flatMap(({ sdp }) => sdp.match(/inline:\S+/g) ?? []);
    expect(new Set(keys).size).toBe(4);
  });

  it('the end of the source, and of the server, is the end of the connection', async () => {
    const client = await connect();
    const { session } = await setUpByTcp(client);
    await client.ask('PLAY', URL, { Session: session });
    stream.end();
    await client.closed;
    expect(house.gate.sessions()).toEqual([]);
  });

  it('who goes away has left', async () => {
    const client = await connect();
    const { session } = await setUpByTcp(client);
    await client.ask('PLAY', URL, { Session: session });
    stream.picture(true);
    await client.frame(0);
    client.socket.destroy();
    await vi.waitUntil(() => house.sink.receipts.at(-1)?.reason === 'viewer_left');
    expect(stream.listeners()).toBe(0);
  });
});

it('who does not read has a bounded queue, is ended, and pays for what has left only', async () => {
  const impatient = await open({ stalledAfterSeconds: 0.3 });
  const client = await connect(impatient);
  const { session } = await setUpByTcp(client);
  await client.ask('PLAY', URL, { Session: session });
  client.socket.pause();
  const [running] = house.gate.sessions();
  const ended = running?.ended;
  let sentBytes = 0;
  const pictures = setInterval(() => {
    stream.mediaMs += 40;
    stream.picture(true, 100_000);
    sentBytes += 100_000;
  }, 1);
  expect(await ended).toBe('viewer_stalled');
  clearInterval(pictures);
  const { bytes = 0, mediaMs = 0 } = house.sink.receipts.at(-1) ?? {};
  // What the kernels' buffers have taken; nothing of what came while he did not read.
  expect(bytes).toBeLessThan(sentBytes);
  expect(bytes).toBeLessThan(16 * 1024 * 1024);
  expect(mediaMs).toBeLessThan(stream.mediaMs);
  client.socket.resume();
  await client.closed;
});

describe('by UDP', () => {
  let sockets: [Socket, Socket];
  const at = (socket: Socket): number => socket.address().port;

  beforeEach(async () => {
    const pair = [createSocket('udp4'), createSocket('udp4')] as const;
    for (const socket of pair) await once(socket.bind(0, '127.0.0.1'), 'listening');
    sockets = [...pair];
    opened.push({ close: () => sockets.forEach((socket) => socket.close()) });
  });

  async function playByUdp(client: RtspTestClient, more = {}): Promise<{ sdp: string; answer: RtspAnswer }> {
    const { body: sdp } = await describeIt(client);
    const answer = await client.ask('SETUP', control('video'), {
      Transport: `RTP/SAVP;unicast;destination=192.0.2.1;client_port=${String(at(sockets[0]))}-${String(at(sockets[1]))}`,
      ...more,
    });
    expect(answer.status).toBe(200);
    await client.ask('PLAY', URL, { Session: sessionOf(answer) });
    return { sdp, answer };
  }

  it('packets and reports come to the ports that were named, and a BYE at the end', async () => {
    const client = await connect();
    const { sdp, answer } = await playByUdp(client);
    expect(answer.headers.get('transport')).toContain(`server_port=${String(server.ports.udp)}-`);
    const came = once(sockets[0], 'message');
    stream.picture(true);
    const [receiver] = receiversOf(sdp);
    const [packet, from] = (await came) as [Buffer, { port: number }];
    expect(from.port).toBe(server.ports.udp);
    expect(payloadOf(receiver?.unprotectRtp(packet) as Buffer)).toEqual(
      payloadOf(stream.latest[0] as Buffer),
    );
    const said = once(sockets[1], 'message');
    await house.gate.sessions()[0]?.end('expired');
    const [bye] = (await said) as [Buffer];
    expect((receiver?.unprotectRtcp(bye) as Buffer).readUInt8(9)).toBe(203);
  });

  it('ports that another viewer has are not given twice', async () => {
    await playByUdp(await connect());
    const second = await connect();
    await describeIt(second);
    const Transport = `RTP/SAVP;unicast;client_port=${String(at(sockets[0]))}-${String(at(sockets[1]))}`;
    expect((await second.ask('SETUP', control('video'), { Transport })).status).toBe(461);
  });

  it('a line goes on by TCP, under its key and numbers, when it is set up again: UDP does not reach everybody', async () => {
    const client = await connect();
    const { sdp, answer } = await playByUdp(client);
    const came = once(sockets[0], 'message');
    stream.picture(true);
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
    expect([anew.status, sessionOf(anew), house.redemptions.calls]).toEqual([
      200,
      Session,
      ['reserve', 'commit'],
    ]);
    await client.ask('PLAY', URL, { Session });
    stream.picture(true);
    const { data } = await client.frame(0);
    const next = receiver?.unprotectRtp(data) as Buffer;
    expect([next.readUInt32BE(8), next.readUInt16BE(2)]).toEqual([
      opened.readUInt32BE(8),
      (opened.readUInt16BE(2) + stream.latest.length) & 0xffff,
    ]);
    // The ports are free again.
    await playByUdp(await connect());
  });

  it('lines go all by UDP or all by TCP', async () => {
    const client = await connect();
    const { session } = await setUpByTcp(client);
    const Transport = `RTP/SAVP;unicast;client_port=${String(at(sockets[0]))}-${String(at(sockets[1]))}`;
    expect((await client.ask('SETUP', control('video'), { Transport, Session: session })).status).toBe(200);
    const { status, headers } = await client.ask('PLAY', URL, { Session: session });
    expect([status, headers.get('allow')]).toEqual([
      455,
      'OPTIONS, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER',
    ]);
  });

  it('where it is turned off there is TCP', async () => {
    const only = await open({ udpPort: undefined });
    expect(only.ports.udp).toBeUndefined();
    const client = await connect(only);
    await describeIt(client);
    const ports = `client_port=${String(at(sockets[0]))}-${String(at(sockets[1]))}`;
    const udp = `RTP/AVP;unicast;${ports}`;
    expect((await client.ask('SETUP', control('video'), { Transport: udp })).status).toBe(461);
    const Transport = `${udp},RTP/AVP/TCP;unicast;interleaved=0-1`;
    const { status, headers } = await client.ask('SETUP', control('video'), { Transport });
    expect([status, headers.get('transport')]).toEqual([200, expect.stringContaining('interleaved=0-1')]);
  });

  it('reports that are authentic keep a silent viewer; others do not', async () => {
    const impatient = await open({ silentAfterSeconds: 0.6 });
    const master = { key: randomBytes(16), salt: randomBytes(14) };
    const suite = 'AES_CM_128_HMAC_SHA1_80';
    const data = buildNullMessage({ suite, master, sessions: [{ ssrc: 77 }], nowMs: Date.now() });
    const { answer } = await playByUdp(await connect(impatient), {
      KeyMgmt: formatKeyMgmtHeader([{ data }]),
    });
    const rtcpPort = Number(/server_port=\d+-(\d+)/.exec(answer.headers.get('transport') ?? '')?.[1]);
    const sender = createSrtpSender({ suite, master });
    const report = Buffer.from('80c900010000004d', 'hex');
    const [session] = house.gate.sessions();
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

describe('who may', () => {
  it('a ticket that is bound to a key needs its proof, for DESCRIBE and the public URL', async () => {
    const client = await connect();
    const viewer = await world.newViewer();
    const ticket = await world.ticketFor(viewer);
    const Authorization = `DPoP ${ticket}`;
    const missing = await client.ask('DESCRIBE', URL, { Authorization });
    expect([missing.status, missing.headers.has('www-authenticate')]).toEqual([401, true]);
    const DPoP = await createProof({
      ...{
        privateKey: viewer.proofKey.privateKey,
        publicJwk: viewer.proofKey.publicJwk,
        alg: viewer.proofKey.alg,
      },
      ...{ method: 'DESCRIBE', url: `${PUBLIC}${PATH}`, ticket, nowSeconds: Math.floor(Date.now() / 1000) },
      nonce: missing.headers.get('dpop-nonce') ?? '',
    });
    expect((await client.ask('DESCRIBE', URL, { Authorization, DPoP })).status).toBe(200);
    expect(await rejectionOf(client.ask('DESCRIBE', URL, { Authorization, DPoP }))).toEqual([
      401,
      'proof_replayed',
    ]);
  });

  it('a pass in the URL is for one connection', async () => {
    const { pass } = await house.gate.mintPass({
      ...{ protocol: 'pass', uri: PATH, authorization: await bearer(), proof: undefined, method: 'POST' },
      ...{ url: '', bodyHash: '', peer: '', confidential: true },
    });
    const client = await connect();
    expect((await client.ask('DESCRIBE', `${URL}?pass=${pass}`)).status).toBe(200);
    expect(
      (await client.ask('SETUP', control('video'), { Transport: 'RTP/AVP/TCP;interleaved=0-1' })).status,
    ).toBe(200);
    expect(await rejectionOf((await connect()).ask('DESCRIBE', `${URL}?pass=${pass}`))).toEqual([
      401,
      'pass_invalid',
    ]);
  });

  it('only a pass that is good hears whether the stream is on air, and is good for another try', async () => {
    const { pass } = await house.gate.mintPass({
      ...{ protocol: 'pass', uri: PATH, authorization: await bearer(), proof: undefined, method: 'POST' },
      ...{ url: '', bodyHash: '', peer: '', confidential: true },
    });
    const client = await connect();
    const describeWith = (what: string) => client.ask('DESCRIBE', `${URL}?pass=${what}`);
    const MADE_UP = `ps_${'A'.repeat(22)}`;
    stream.live = false;
    expect(await rejectionOf(describeWith(MADE_UP))).toEqual([401, 'pass_invalid']);
    expect(await rejectionOf(describeWith(pass))).toEqual([404, 'stream_offline']);
    stream.live = true;
    expect(await rejectionOf(describeWith(MADE_UP))).toEqual([401, 'pass_invalid']);
    const tap = vi.spyOn(stream, 'tap').mockRejectedValueOnce(new Denial('offer_unsupported'));
    expect(await rejectionOf(describeWith(pass))).toEqual([461, 'offer_unsupported']);
    tap.mockRestore();
    expect((await describeWith(pass)).status).toBe(200);
    expect((await describeWith(pass)).status).toBe(401);
  });

  it('only the connection that set a session up can control it', async () => {
    const client = await connect();
    const { session } = await setUpByTcp(client);
    const other = await connect();
    await describeIt(other);
    for (const method of ['PLAY', 'PAUSE', 'TEARDOWN', 'GET_PARAMETER', 'SET_PARAMETER']) {
      expect((await other.ask(method, URL, { Session: session })).status).toBe(454);
    }
    const Transport = 'RTP/AVP/TCP;interleaved=0-1';
    await other.ask('SETUP', control('video'), { Transport });
    expect(
      (
        await other.ask('SETUP', control('audio'), {
          Transport: 'RTP/AVP/TCP;interleaved=2-3',
          Session: session,
        })
      ).status,
    ).toBe(454);
    expect((await client.ask('PLAY', URL, { Session: session })).status).toBe(200);
  });

  test.each([
    ['no ticket', {}, undefined, 401, 'ticket_missing'],
    ['another stream', { uri: '/live/other' }, undefined, 403, 'ticket_wrong_uri'],
    ['another server', { aud: ['other'] }, undefined, 403, 'ticket_wrong_audience'],
    ['an expired one', { iat: 1, nbf: 1, exp: 2 }, undefined, 401, 'ticket_expired'],
    ['off air', {}, 'offline', 404, 'stream_offline'],
  ])('%s is refused at DESCRIBE', async (what, claims, state, status, code) => {
    if (state === 'offline') stream.live = false;
    const Authorization = what === 'no ticket' ? undefined : await bearer(claims);
    const client = await connect();
    const answer = client.ask('DESCRIBE', URL, Authorization === undefined ? {} : { Authorization });
    expect(await rejectionOf(answer)).toEqual([status, code]);
    expect(
      (await client.ask('SETUP', control('video'), { Transport: 'RTP/AVP/TCP;interleaved=0-1' })).status,
    ).toBe(455);
    expect(house.redemptions.calls).toEqual([]);
  });
});

describe('SET_PARAMETER with another ticket', () => {
  const TEXT = { 'Content-Type': 'text/parameters' };
  let client: RtspTestClient;
  let viewer: Awaited<ReturnType<TicketWorld['newViewer']>>;
  let session: string;
  let sdp: string;
  const nowSeconds = (): number => Math.floor(Date.now() / 1000);
  const { rights } = makeGrant();

  async function proofFor(ticket: string, method: string): Promise<string> {
    const { privateKey, publicJwk, alg } = viewer.proofKey;
    const key = { privateKey, publicJwk, alg };
    const nonce = house.gate.nonce();
    return createProof({
      ...{ ...key, method, url: `${PUBLIC}${PATH}`, ticket, nowSeconds: nowSeconds(), nonce },
    });
  }
  const next = (claims = {}): Promise<string> =>
    world.ticketFor(viewer, { exp: nowSeconds() + 7200, rights, ...claims });
  const renew = (ticket: string, headers: Record<string, string> = {}): Promise<RtspAnswer> =>
    client.ask('SET_PARAMETER', URL, { Session: session, ...TEXT, ...headers }, `ticket: ${ticket}\r\n`);

  beforeEach(async () => {
    client = await connect();
    viewer = await world.newViewer();
    const ticket = await world.ticketFor(viewer, { rights });
    const headers = { Authorization: `DPoP ${ticket}`, DPoP: await proofFor(ticket, 'DESCRIBE') };
    ({ body: sdp } = await client.ask('DESCRIBE', URL, headers));
    const answer = await client.ask('SETUP', control('video'), {
      Transport: 'RTP/AVP/TCP;interleaved=0-1',
    });
    session = sessionOf(answer);
    await client.ask('PLAY', URL, { Session: session });
    stream.picture(true);
    await client.frame(2);
  });

  it('the session goes on under it, and no packet is missing', async () => {
    const [running] = house.gate.sessions();
    const before = running?.grant;
    stream.mediaMs = 1000;
    stream.picture(false);
    const ticket = await next();
    const DPoP = await proofFor(ticket, 'SET_PARAMETER');
    const renewed = renew(ticket, { DPoP });
    // While the order server is asked.
    await vi.waitUntil(() => {
      stream.picture(false);
      return running?.grant !== before;
    });
    const answer = await renewed;
    expect([answer.status, sessionOf(answer)]).toEqual([200, session]);
    stream.picture(false);
    expect(running?.grant).toMatchObject({ expiresAtSeconds: nowSeconds() + 7200, uri: PATH });
    expect(house.sink.receipts.at(-1)).toMatchObject({ reason: 'replaced', mediaMs: 1000 });
    const [marker] = stream.latest as [Buffer];
    await vi.waitUntil(() => client.frames.at(-1)?.data.length === marker.length + 10);
    const [video] = receiversOf(sdp);
    const numbers = client.frames.map(({ data }) => (video?.unprotectRtp(data) as Buffer).readUInt16BE(2));
    expect(numbers).toEqual(numbers.map((_number, index) => ((numbers[0] ?? 0) + index) & 0xffff));
    expect((await client.ask('TEARDOWN', URL, { Session: session })).status).toBe(200);
  });

  test.each([
    ['of another stream', { uri: '/live/other' }, 403, 'ticket_wrong_uri'],
    ['that has expired', { iat: 1, nbf: 1, exp: 2 }, 401, 'ticket_expired'],
    [
      'that takes something away',
      { rights: { ...rights, tier: { maxHeight: 480 } } },
      403,
      'rights_insufficient',
    ],
  ])('one %s is refused, and the session goes on', async (_what, claims, status, code) => {
    const ticket = await next(claims);
    const DPoP = await proofFor(ticket, 'SET_PARAMETER');
    expect(await rejectionOf(renew(ticket, { DPoP }))).toEqual([status, code]);
    stream.picture(false);
    await client.frame(3);
  });

  it('one of a key needs the proof of that key for this request', async () => {
    const ticket = await next();
    const bare = await renew(ticket);
    expect([bare.status, bare.headers.has('www-authenticate')]).toEqual([401, true]);
    const DPoP = await proofFor(ticket, 'DESCRIBE');
    expect(await rejectionOf(renew(ticket, { DPoP }))).toEqual([401, 'proof_invalid']);
  });

  test.each([
    ['another parameter', TEXT, 'volume: 11\r\n', 451],
    ['two parameters', TEXT, 'ticket: a.b.c\r\nvolume: 11\r\n', 451],
    ['what is no parameter', { 'Content-Type': 'application/json' }, '{}', 415],
    ['a ticket for a session that is not his', { ...TEXT, Session: 'x' }, 'ticket: a.b.c', 454],
    ['nothing, as a sign of life', {}, '', 200],
  ])('%s', async (_what, headers, body, status) => {
    const answer = await client.ask('SET_PARAMETER', URL, { Session: session, ...headers }, body);
    expect(answer.status).toBe(status);
    stream.picture(false);
    await client.frame(3);
  });
});

describe('requests out of place', () => {
  test.each([
    ['PLAY', URL, {}, 454],
    ['SETUP', control('video'), { Transport: 'RTP/AVP/TCP;interleaved=0-1' }, 455],
    ['TEARDOWN', URL, { Session: 'x' }, 454],
    ['RECORD', URL, {}, 501],
    ['OPTIONS', '*', { Require: 'implicit-play' }, 551],
    ['OPTIONS', '*', {}, 200],
    ['GET_PARAMETER', URL, {}, 200],
  ])('%s %s', async (method, url, headers, status) => {
    expect((await (await connect()).ask(method, url, headers)).status).toBe(status);
  });

  test.each([
    ['a way that there is not', 'RTP/AVP;multicast', 461],
    ['no way', '', 461],
    ['a malformed one', 'RTP/AVP;a b', 400],
  ])('SETUP with %s', async (_what, Transport, status) => {
    const client = await connect();
    await describeIt(client);
    expect((await client.ask('SETUP', control('video'), { Transport })).status).toBe(status);
    expect(house.redemptions.calls).toEqual([]);
  });

  it('SETUP with keys that are none', async () => {
    const client = await connect();
    await describeIt(client);
    const Transport = 'RTP/SAVP/TCP;interleaved=0-1';
    const answer = await client.ask('SETUP', control('video'), {
      Transport,
      KeyMgmt: 'prot=mikey; data="AAAA"',
    });
    expect(answer.status).toBe(463);
  });

  it('what is no RTSP is told so, and cut off', async () => {
    const client = await connect();
    client.socket.write('GET / HTTP/1.1\r\n\r\n');
    await client.closed;
  });

  it('a flood of messages is the end of the connection', async () => {
    const client = await connect();
    const { session } = await setUpByTcp(client);
    await client.ask('PLAY', URL, { Session: session });
    client.socket.write(Buffer.concat(Array.from({ length: 300 }, () => Buffer.from([0x24, 1, 0, 0]))));
    await client.closed;
    await vi.waitUntil(() => house.gate.sessions().length === 0);
  });

  it('who has ended his session is waited for as he was before it', async () => {
    const impatient = await open({ askWithinSeconds: 0.3 });
    const client = await connect(impatient);
    for (let request = 0; request < 25; request++) await client.ask('OPTIONS', '*');
    const { session } = await setUpByTcp(client);
    expect((await client.ask('TEARDOWN', URL, { Session: session })).status).toBe(200);
    for (let request = 0; request < 25; request++)
      expect((await client.ask('OPTIONS', '*')).status).toBe(200);
    await client.closed;
  });

  it('who asks for nothing is not waited for', async () => {
    const impatient = await open({ askWithinSeconds: 0.2 });
    await (
      await connect(impatient)
    ).closed;
  });
});

it('keys are not sent in the clear, whatever the ticket says', async () => {
  const mintPass = vi.fn();
  const requests = createRequests({
    gate: { ...house.gate, mintPass },
    stage: stream,
    ...{ udp: { ports: [1, 2], open: () => undefined, close: () => undefined }, publicUrl: PUBLIC },
    ...{ peer: '192.0.2.1', address: '192.0.2.1', confidential: false, clock: systemClock, log: silentLog },
    link: { write: () => undefined, pendingBytes: () => 0, waitedMs: () => 0 },
    ...{ stalledAfterMs: undefined, elsewhere: new Map(), onEnded: () => undefined, onSign: () => undefined },
  });
  const headers = new Map([['authorization', await bearer({ transport: 'clear' })]]);
  const request = {
    kind: 'request',
    method: 'DESCRIBE',
    url: URL,
    cseq: 1,
    headers,
    body: Buffer.alloc(0),
  } as const;
  await expect(requests.answer(request)).rejects.toMatchObject({ code: 'transport_insecure' });
  expect(mintPass).not.toHaveBeenCalled();
});
