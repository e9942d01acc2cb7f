/** The RTSP server from a client's side of the socket: media by TCP, on the connection of the requests. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../../../support/eventually.ts';
import { receiversOf } from '../../../support/rtsp-client.ts';
import { control, createRtspWorld, payloadOf, URL, type RtspWorld } from './rtsp-world.ts';

let rtsp: RtspWorld;
beforeEach(async () => {
  rtsp = await createRtspWorld();
});
afterEach(() => rtsp.close());

describe('by TCP', () => {
  it('media goes out after PLAY, protected under the keys of the description, from a keyframe on', async () => {
    const client = await rtsp.connect();
    const { session, sdp, transport } = await rtsp.setUpByTcp(client);
    rtsp.stream.picture(true);
    const play = await client.ask('PLAY', URL, { Session: session });
    expect(play.status).toBe(200);
    await eventually(() => rtsp.stream.listeners() === 2);
    expect([client.frames, rtsp.stream.keyframeRequests]).toEqual([[], 2]);

    rtsp.stream.picture(false);
    rtsp.stream.picture(true);
    const pictures = rtsp.stream.latest.map(payloadOf);
    rtsp.stream.sound();
    const sounds = rtsp.stream.latest.map(payloadOf);
    rtsp.stream.reports();
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
    const client = await rtsp.connect();
    await rtsp.describeIt(client);
    expect(rtsp.house.redemptions.calls).toEqual([]);
    const { headers } = await client.ask('SETUP', control('video'), {
      Transport: 'RTP/AVP/TCP;interleaved=0-1',
    });
    expect(rtsp.house.redemptions.calls).toEqual(['reserve']);
    await client.ask('PLAY', URL, { Session: headers.get('session') ?? '' });
    expect(rtsp.house.redemptions.calls).toEqual(['reserve']);
    rtsp.stream.picture(true);
    await eventually(() => rtsp.house.redemptions.calls.includes('commit'));
    rtsp.stream.mediaMs += 400;
    rtsp.stream.picture(false);
    const [session] = rtsp.house.gate.sessions();
    await session?.end('kicked');
    await client.closed;
    const plainBytes = rtsp.house.sink.receipts.at(-1)?.bytes ?? 0;
    expect(rtsp.house.sink.receipts.at(-1)).toMatchObject({ reason: 'kicked', mediaMs: 400 });
    expect(plainBytes).toBeGreaterThan(100);
  });

  it('after a pause numbers go on and media begins anew; what passed meanwhile is not counted', async () => {
    const client = await rtsp.connect();
    const { session, sdp } = await rtsp.setUpByTcp(client);
    await client.ask('PLAY', URL, { Session: session });
    rtsp.stream.picture(true);
    await client.frame(2);
    rtsp.stream.mediaMs = 1000;
    rtsp.stream.picture(false);
    expect((await client.ask('PAUSE', URL, { Session: session })).status).toBe(200);
    expect(rtsp.stream.listeners()).toBe(0);
    rtsp.stream.picture(true);
    rtsp.stream.mediaMs = 5000;
    await client.ask('PLAY', URL, { Session: session });
    rtsp.stream.picture(false);
    rtsp.stream.picture(true);
    await client.frame(6);
    const [video] = receiversOf(sdp);
    const numbers = client.frames.map(({ data }) => (video?.unprotectRtp(data) as Buffer).readUInt16BE(2));
    expect(numbers).toEqual(numbers.map((_number, index) => ((numbers[0] ?? 0) + index) & 0xffff));
    rtsp.stream.mediaMs = 5300;
    rtsp.stream.picture(false);
    await client.ask('TEARDOWN', URL, { Session: session });
    expect(rtsp.house.sink.receipts.at(-1)).toMatchObject({ reason: 'viewer_left', mediaMs: 1300 });
  });

  it('no two sessions share a key, an SSRC or a byte of media', async () => {
    const clients = [await rtsp.connect(), await rtsp.connect()];
    const all: { sdp: string; packet: Buffer }[] = [];
    for (const client of clients) {
      const { session, sdp } = await rtsp.setUpByTcp(client);
      await client.ask('PLAY', URL, { Session: session });
      all.push({ sdp, packet: Buffer.alloc(0) });
    }
    rtsp.stream.picture(true, 1000);
    const packets = await Promise.all(clients.map(async (client) => (await client.frame(2)).data));
    const [first, second] = packets as [Buffer, Buffer];
    const plain = payloadOf(rtsp.stream.latest[2] as Buffer);
    const same = (a: Buffer, b: Buffer): number => a.filter((byte, at) => byte === b[at]).length / a.length;
    expect(same(payloadOf(first), payloadOf(second))).toBeLessThan(0.05);
    expect(same(payloadOf(first).subarray(0, plain.length), plain)).toBeLessThan(0.05);
    expect(first.readUInt32BE(8)).not.toBe(second.readUInt32BE(8));
    const keys = all.flatMap(({ sdp }) => sdp.match(/inline:\S+/g) ?? []);
    expect(new Set(keys).size).toBe(4);
  });

  it('the end of the source, and of the server, is the end of the connection', async () => {
    const client = await rtsp.connect();
    const { session } = await rtsp.setUpByTcp(client);
    await client.ask('PLAY', URL, { Session: session });
    rtsp.stream.end();
    await client.closed;
    expect(rtsp.house.gate.sessions()).toEqual([]);
  });

  it('who goes away has left', async () => {
    const client = await rtsp.connect();
    const { session } = await rtsp.setUpByTcp(client);
    await client.ask('PLAY', URL, { Session: session });
    rtsp.stream.picture(true);
    await client.frame(0);
    client.socket.destroy();
    await eventually(() => rtsp.house.sink.receipts.at(-1)?.reason === 'viewer_left');
    expect(rtsp.stream.listeners()).toBe(0);
  });
});

it('who does not read has a bounded queue, is ended, and pays for what has left only', async () => {
  const impatient = await rtsp.open({ stalledAfterSeconds: 0.3 });
  const client = await rtsp.connect(impatient);
  const { session } = await rtsp.setUpByTcp(client);
  await client.ask('PLAY', URL, { Session: session });
  client.socket.pause();
  const [running] = rtsp.house.gate.sessions();
  const ended = running?.ended;
  let sentBytes = 0;
  const pictures = setInterval(() => {
    rtsp.stream.mediaMs += 40;
    rtsp.stream.picture(true, 100_000);
    sentBytes += 100_000;
  }, 1);
  expect(await ended).toBe('viewer_stalled');
  clearInterval(pictures);
  const { bytes = 0, mediaMs = 0 } = rtsp.house.sink.receipts.at(-1) ?? {};
  // What the kernels' buffers have taken; nothing of what came while he did not read.
  expect(bytes).toBeLessThan(sentBytes);
  expect(bytes).toBeLessThan(16 * 1024 * 1024);
  expect(mediaMs).toBeLessThan(rtsp.stream.mediaMs);
  client.socket.resume();
  await client.closed;
});
