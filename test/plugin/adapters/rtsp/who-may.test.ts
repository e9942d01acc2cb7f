/** Who may describe, set up, control and renew a session of RTSP, and who may not. */
import { afterEach, beforeEach, describe, expect, it, test, vi } from 'vitest';
import { Denial } from '../../../../plugin/errors.ts';
import { createProof } from '../../../../plugin/ticket/index.ts';
import { makeGrant } from '../../../support/doubles.ts';
import { eventually } from '../../../support/eventually.ts';
import { receiversOf, type RtspAnswer, type RtspTestClient } from '../../../support/rtsp-client.ts';
import { PATH, type TicketWorld } from '../../../support/tickets.ts';
import {
  control,
  createRtspWorld,
  PUBLIC,
  rejectionOf,
  sessionOf,
  URL,
  type RtspWorld,
} from './rtsp-world.ts';

let rtsp: RtspWorld;
beforeEach(async () => {
  rtsp = await createRtspWorld();
});
afterEach(() => rtsp.close());

describe('who may', () => {
  it('a ticket that is bound to a key needs its proof, for DESCRIBE and the public URL', async () => {
    const client = await rtsp.connect();
    const viewer = await rtsp.world.newViewer();
    const ticket = await rtsp.world.ticketFor(viewer);
    const Authorization = `DPoP ${ticket}`;
    const missing = await client.ask('DESCRIBE', URL, { Authorization });
    expect([missing.status, missing.headers.has('www-authenticate')]).toEqual([401, true]);
    const { privateKey, publicJwk, alg } = viewer.proofKey;
    const DPoP = await createProof({
      ...{ privateKey, publicJwk, alg, method: 'DESCRIBE', url: PUBLIC + PATH, ticket },
      nonce: missing.headers.get('dpop-nonce') ?? '',
    });
    expect((await client.ask('DESCRIBE', URL, { Authorization, DPoP })).status).toBe(200);
    expect(await rejectionOf(client.ask('DESCRIBE', URL, { Authorization, DPoP }))).toEqual([
      401,
      'proof_replayed',
    ]);
  });

  it('a pass in the URL is for one connection', async () => {
    const pass = await rtsp.pass();
    const client = await rtsp.connect();
    expect((await client.ask('DESCRIBE', `${URL}?pass=${pass}`)).status).toBe(200);
    expect(
      (await client.ask('SETUP', control('video'), { Transport: 'RTP/AVP/TCP;interleaved=0-1' })).status,
    ).toBe(200);
    expect(await rejectionOf((await rtsp.connect()).ask('DESCRIBE', `${URL}?pass=${pass}`))).toEqual([
      401,
      'pass_invalid',
    ]);
  });

  it('only a pass that is good hears whether the stream is on air, and is good for another try', async () => {
    const pass = await rtsp.pass();
    const client = await rtsp.connect();
    const describeWith = (what: string) => client.ask('DESCRIBE', `${URL}?pass=${what}`);
    const MADE_UP = `ps_${'A'.repeat(22)}`;
    rtsp.stream.live = false;
    expect(await rejectionOf(describeWith(MADE_UP))).toEqual([401, 'pass_invalid']);
    expect(await rejectionOf(describeWith(pass))).toEqual([404, 'stream_offline']);
    rtsp.stream.live = true;
    expect(await rejectionOf(describeWith(MADE_UP))).toEqual([401, 'pass_invalid']);
    const tap = vi.spyOn(rtsp.stream, 'tap').mockRejectedValueOnce(new Denial('offer_unsupported'));
    expect(await rejectionOf(describeWith(pass))).toEqual([461, 'offer_unsupported']);
    tap.mockRestore();
    expect((await describeWith(pass)).status).toBe(200);
    expect((await describeWith(pass)).status).toBe(401);
  });

  it('only the connection that set a session up can control it', async () => {
    const client = await rtsp.connect();
    const { session } = await rtsp.setUpByTcp(client);
    const other = await rtsp.connect();
    await rtsp.describeIt(other);
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
    if (state === 'offline') rtsp.stream.live = false;
    const Authorization = what === 'no ticket' ? undefined : await rtsp.bearer(claims);
    const client = await rtsp.connect();
    const answer = client.ask('DESCRIBE', URL, Authorization === undefined ? {} : { Authorization });
    expect(await rejectionOf(answer)).toEqual([status, code]);
    expect(
      (await client.ask('SETUP', control('video'), { Transport: 'RTP/AVP/TCP;interleaved=0-1' })).status,
    ).toBe(455);
    expect(rtsp.house.redemptions.calls).toEqual([]);
  });
});

it('keys are not sent in the clear, whatever the ticket says', async () => {
  const mintPass = vi.spyOn(rtsp.house.gate, 'mintPass');
  const Authorization = await rtsp.bearer({ transport: 'clear' });
  await expect(rtsp.describeInTheClear({ Authorization })).rejects.toMatchObject({
    code: 'transport_insecure',
  });
  expect(mintPass).not.toHaveBeenCalled();
});

describe('SET_PARAMETER with another ticket', () => {
  const TEXT = { 'Content-Type': 'text/parameters' };
  let client: RtspTestClient;
  let viewer: Awaited<ReturnType<TicketWorld['newViewer']>>;
  let session: string;
  let sdp: string;
  const nowSeconds = (): number => Math.floor(Date.now() / 1000);
  const { rights } = makeGrant();

  const proofFor = (ticket: string, method: string): Promise<string> => rtsp.proofBy(viewer, ticket, method);
  const next = (claims = {}): Promise<string> =>
    rtsp.world.ticketFor(viewer, { exp: nowSeconds() + 7200, rights, ...claims });
  const renew = (ticket: string, headers: Record<string, string> = {}): Promise<RtspAnswer> =>
    client.ask('SET_PARAMETER', URL, { Session: session, ...TEXT, ...headers }, `ticket: ${ticket}\r\n`);

  beforeEach(async () => {
    client = await rtsp.connect();
    viewer = await rtsp.world.newViewer();
    const ticket = await rtsp.world.ticketFor(viewer, { rights });
    const headers = { Authorization: `DPoP ${ticket}`, DPoP: await proofFor(ticket, 'DESCRIBE') };
    ({ body: sdp } = await client.ask('DESCRIBE', URL, headers));
    const answer = await client.ask('SETUP', control('video'), {
      Transport: 'RTP/AVP/TCP;interleaved=0-1',
    });
    session = sessionOf(answer);
    await client.ask('PLAY', URL, { Session: session });
    rtsp.stream.picture(true);
    await client.frame(2);
  });

  it('the session goes on under it, and no packet is missing', async () => {
    const [running] = rtsp.house.gate.sessions();
    const before = running?.grant;
    rtsp.stream.mediaMs = 1000;
    rtsp.stream.picture(false);
    const exp = nowSeconds() + 7200;
    const ticket = await next({ exp });
    const DPoP = await proofFor(ticket, 'SET_PARAMETER');
    const renewed = renew(ticket, { DPoP });
    // While the order server is asked.
    await eventually(() => {
      rtsp.stream.picture(false);
      return running?.grant !== before;
    });
    const answer = await renewed;
    expect([answer.status, sessionOf(answer)]).toEqual([200, session]);
    rtsp.stream.picture(false);
    expect(running?.grant).toMatchObject({ expiresAtSeconds: exp, uri: PATH });
    expect(rtsp.house.sink.receipts.at(-1)).toMatchObject({ reason: 'replaced', mediaMs: 1000 });
    const [marker] = rtsp.stream.latest as [Buffer];
    await eventually(() => client.frames.at(-1)?.data.length === marker.length + 10);
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
    rtsp.stream.picture(false);
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
    rtsp.stream.picture(false);
    await client.frame(3);
  });
});
