/** Requests to the RTSP server that are out of place, malformed, too many or do not come. */
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { eventually } from '../../../support/eventually.ts';
import { control, createRtspWorld, URL, type RtspWorld } from './rtsp-world.ts';

let rtsp: RtspWorld;
beforeEach(async () => {
  rtsp = await createRtspWorld();
});
afterEach(() => rtsp.close());

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
    expect((await (await rtsp.connect()).ask(method, url, headers)).status).toBe(status);
  });

  test.each([
    ['a way that there is not', 'RTP/AVP;multicast', 461],
    ['no way', '', 461],
    ['a malformed one', 'RTP/AVP;a b', 400],
  ])('SETUP with %s', async (_what, Transport, status) => {
    const client = await rtsp.connect();
    await rtsp.describeIt(client);
    expect((await client.ask('SETUP', control('video'), { Transport })).status).toBe(status);
    expect(rtsp.house.redemptions.calls).toEqual([]);
  });

  it('SETUP with keys that are none', async () => {
    const client = await rtsp.connect();
    await rtsp.describeIt(client);
    const Transport = 'RTP/SAVP/TCP;interleaved=0-1';
    const answer = await client.ask('SETUP', control('video'), {
      Transport,
      KeyMgmt: 'prot=mikey; data="AAAA"',
    });
    expect(answer.status).toBe(463);
  });

  it('what is no RTSP is told so, and cut off', async () => {
    const client = await rtsp.connect();
    client.socket.write('GET / HTTP/1.1\r\n\r\n');
    await client.closed;
  });

  it('a flood of messages is the end of the connection', async () => {
    const client = await rtsp.connect();
    const { session } = await rtsp.setUpByTcp(client);
    await client.ask('PLAY', URL, { Session: session });
    client.socket.write(Buffer.concat(Array.from({ length: 300 }, () => Buffer.from([0x24, 1, 0, 0]))));
    await client.closed;
    await eventually(() => rtsp.house.gate.sessions().length === 0);
  });

  it('who has ended his session is waited for as he was before it', async () => {
    const impatient = await rtsp.open({ askWithinSeconds: 0.3 });
    const client = await rtsp.connect(impatient);
    for (let request = 0; request < 25; request++) await client.ask('OPTIONS', '*');
    const { session } = await rtsp.setUpByTcp(client);
    expect((await client.ask('TEARDOWN', URL, { Session: session })).status).toBe(200);
    for (let request = 0; request < 25; request++)
      expect((await client.ask('OPTIONS', '*')).status).toBe(200);
    await client.closed;
  });

  it('who asks for nothing is not waited for', async () => {
    const impatient = await rtsp.open({ askWithinSeconds: 0.2 });
    await (
      await rtsp.connect(impatient)
    ).closed;
  });
});
