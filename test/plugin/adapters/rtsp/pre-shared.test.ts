/** Clients that share the ticket's secret: keys by MIKEY over any link, and control from any connection. */
import { randomBytes } from 'node:crypto';
import { decodeJwt } from 'jose';
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { formatControlProof } from '../../../../plugin/rtsp/control.ts';
import { deriveRtspKeys, PRE_SHARED_KEY_FEATURE, type RtspKeys } from '../../../../plugin/rtsp/keys.ts';
import {
  createSrtpReceiver,
  formatKeyMgmtHeader,
  parseKeyMgmtHeader,
  type SrtpReceiver,
} from '../../../../plugin/srtp/index.ts';
import { buildPskInit, type PskInitOptions } from '../../../../plugin/srtp/mikey/index.ts';
import { openClientPart } from '../../../../plugin/ticket/index.ts';
import { makeGrant } from '../../../support/doubles.ts';
import { eventually } from '../../../support/eventually.ts';
import type { RtspAnswer, RtspTestClient } from '../../../support/rtsp-client.ts';
import type { Viewer } from '../../../support/tickets.ts';
import {
  control as urlOf,
  createRtspWorld,
  rejectionOf,
  sessionOf,
  URL,
  type RtspWorld,
} from './rtsp-world.ts';

const REQUIRE = { Require: PRE_SHARED_KEY_FEATURE };
const SUITE = 'AES_CM_128_HMAC_SHA1_80';

let rtsp: RtspWorld;
let viewer: Viewer;
let ticket: string;
let secret: Uint8Array;

beforeEach(async () => {
  rtsp = await createRtspWorld();
  viewer = await rtsp.world.newViewer();
  const { rights } = makeGrant();
  const issued = await rtsp.world.issueFor(viewer, { rights });
  ({ ticket } = issued);
  const claims = decodeJwt<{ jti: string; cph: string }>(ticket);
  secret = await openClientPart(issued.clientPart ?? '', viewer.sealKey.privateJwk, claims);
});
afterEach(() => rtsp.close());

async function credentials(): Promise<Record<string, string>> {
  return { Authorization: `DPoP ${ticket}`, DPoP: await rtsp.proofBy(viewer, ticket, 'DESCRIBE') };
}

async function describeIt(client: RtspTestClient): Promise<{ sdp: string; keys: RtspKeys }> {
  const { status, headers, body } = await client.ask('DESCRIBE', URL, {
    ...REQUIRE,
    ...(await credentials()),
  });
  expect(status, body).toBe(200);
  return { sdp: body, keys: deriveRtspKeys(secret, headers.get('usher-nonce') ?? '') };
}

const offer = ({ preShared: psk }: RtspKeys, more: Partial<PskInitOptions> = {}) =>
  buildPskInit({
    psk,
    sessions: [{ ssrc: 0, suite: SUITE }],
    nowMs: Date.now(),
    mki: randomBytes(4),
    requestVerification: true,
    ...more,
  });

function setUp(
  client: RtspTestClient,
  data: Uint8Array,
  { line = 'video', session = '' }: { line?: 'video' | 'audio'; session?: string } = {},
): Promise<RtspAnswer> {
  const first = line === 'video' ? 0 : 2;
  return client.ask('SETUP', urlOf(line), {
    Transport: `RTP/SAVP/TCP;unicast;interleaved=${String(first)}-${String(first + 1)}`,
    KeyMgmt: formatKeyMgmtHeader([{ uri: urlOf(line), data }]),
    ...(session === '' ? {} : { Session: session }),
  });
}

interface Watching {
  readonly keys: RtspKeys;
  readonly session: string;
  readonly video: SrtpReceiver;
  readonly master: Buffer;
}

async function watch(client: RtspTestClient): Promise<Watching> {
  const { keys } = await describeIt(client);
  const init = offer(keys);
  const answer = await setUp(client, init.message);
  expect(answer.status).toBe(200);
  const [spec] = parseKeyMgmtHeader(answer.headers.get('keymgmt') ?? '');
  const [opened] = init.readVerification(spec?.data ?? Buffer.alloc(0));
  if (opened === undefined) throw new Error('no crypto session');
  const ssrc = Number.parseInt(
    /ssrc=([0-9A-F]{8})/.exec(answer.headers.get('transport') ?? '')?.[1] ?? '',
    16,
  );
  expect(opened.ssrc).toBe(ssrc);
  const session = sessionOf(answer);
  const master = Buffer.concat([opened.master.key, opened.master.salt]);
  return { keys, session, video: createSrtpReceiver(opened), master };
}

/** Asks with a control proof of a number, made for what `proven` says, or the request itself. */
function control(
  client: RtspTestClient,
  { keys, session }: Pick<Watching, 'keys' | 'session'>,
  method: string,
  number: number,
  { body = '', proven = {} }: { body?: string; proven?: object } = {},
): Promise<RtspAnswer> {
  const request = { method, url: URL, session, body: Buffer.from(body), ...proven };
  const headers = { Session: session, 'Usher-Control': formatControlProof(keys.control, request, number) };
  return client.ask(method, URL, headers, body);
}

describe('keys', () => {
  it('come from the client: none is in the description, media opens with those of MIKEY', async () => {
    const client = await rtsp.connect();
    const { sdp, keys } = await describeIt(client);
    expect(sdp).toContain('m=video 0 RTP/SAVP 96');
    expect(sdp).not.toMatch(/a=crypto|a=key-mgmt/);
    expect(keys.preShared.equals(keys.control)).toBe(false);
    const watching = await watch(client);
    expect((await control(client, watching, 'PLAY', 1)).status).toBe(200);
    await eventually(() => rtsp.stream.listeners() === 1);
    rtsp.stream.picture(true);
    const { data } = await client.frame(0);
    const packet = watching.video.unprotectRtp(Buffer.from(data)) as Buffer;
    expect(packet.subarray(12)).toEqual(rtsp.stream.latest[0]?.subarray(12));
  });

  it('differ on every connection, of one ticket too', async () => {
    const [first, second] = [await watch(await rtsp.connect()), await watch(await rtsp.connect())];
    expect(first.keys.preShared).not.toEqual(second.keys.preShared);
    expect(first.keys.control).not.toEqual(second.keys.control);
    expect(first.master).not.toEqual(second.master);
  });

  it('of a message that came before are refused, on its own connection and on another one', async () => {
    const client = await rtsp.connect();
    const { message } = offer((await describeIt(client)).keys);
    const answer = await setUp(client, message);
    const session = sessionOf(answer);
    expect((await setUp(client, message, { line: 'audio', session })).status).toBe(463);
    const other = await rtsp.connect();
    await describeIt(other);
    expect((await setUp(other, message)).status).toBe(463);
  });

  test.each<[string, (keys: RtspKeys) => Uint8Array]>([
    ['another secret', () => offer(deriveRtspKeys(randomBytes(32), '')).message],
    [
      'the control key',
      ({ control: preShared, ...keys }) => offer({ ...keys, control: preShared, preShared }).message,
    ],
    ['a time long ago', (keys) => offer(keys, { nowMs: Date.now() - 400_000 }).message],
    ['an SSRC of the client', (keys) => offer(keys, { sessions: [{ ssrc: 7, suite: SUITE }] }).message],
    ['no wish for an answer', (keys) => offer(keys, { requestVerification: false }).message],
    ['a byte less', (keys) => offer(keys).message.subarray(1)],
  ])('with %s are refused, and no access is taken', async (_what, make) => {
    const client = await rtsp.connect();
    const { keys } = await describeIt(client);
    expect((await setUp(client, make(keys))).status).toBe(463);
    expect(rtsp.house.redemptions.calls).toEqual([]);
    expect((await setUp(client, offer(keys).message)).status).toBe(200);
  });
});

describe('over a link that is not confidential', () => {
  it('a ticket with its proof is described, without keys', async () => {
    const { body: sdp } = await rtsp.describeInTheClear({ ...REQUIRE, ...(await credentials()) });
    expect(sdp).toContain('m=audio');
    expect(sdp).not.toMatch(/a=crypto|a=key-mgmt/);
  });

  test.each<[string, () => Promise<Record<string, string>>]>([
    ['the same without its wish', () => credentials()],
    [
      'a ticket that needs no proof',
      async () => {
        const bearer = await rtsp.world.ticketFor(viewer, { cnf: undefined, transport: 'clear' });
        return { ...REQUIRE, Authorization: `Bearer ${bearer}` };
      },
    ],
  ])('%s is refused', async (_what, headers) => {
    await expect(rtsp.describeInTheClear(await headers())).rejects.toMatchObject({
      code: 'transport_insecure',
    });
  });
});

describe('control', () => {
  let client: RtspTestClient;
  let watching: Watching;

  beforeEach(async () => {
    client = await rtsp.connect();
    watching = await watch(client);
  });

  it('is had over another connection, which has no session of its own', async () => {
    const remote = await rtsp.connect();
    expect((await control(remote, watching, 'PLAY', 1)).status).toBe(200);
    expect(rtsp.stream.listeners()).toBe(1);
    expect((await control(remote, watching, 'PAUSE', 2)).status).toBe(200);
    expect(rtsp.stream.listeners()).toBe(0);
    expect((await control(await rtsp.connect(), watching, 'TEARDOWN', 3)).status).toBe(200);
    await client.closed;
    expect(rtsp.house.gate.sessions()).toEqual([]);
    expect((await control(remote, watching, 'PLAY', 4)).status).toBe(454);
  });

  it.each(['PLAY', 'PAUSE', 'TEARDOWN', 'GET_PARAMETER', 'SET_PARAMETER'])(
    'who knows the session id alone can do nothing: %s',
    async (method) => {
      for (const over of [await rtsp.connect(), client])
        expect(await rejectionOf(over.ask(method, URL, { Session: watching.session }))).toEqual([
          401,
          'proof_missing',
        ]);
    },
  );

  test.each<[string, { proven?: object; keys?: RtspKeys }]>([
    ['another method', { proven: { method: 'PAUSE' } }],
    ['another URL', { proven: { url: urlOf('video') } }],
    ['another session', { proven: { session: 'x' } }],
    ['another body', { proven: { body: Buffer.from('x') } }],
    ['another key', { keys: deriveRtspKeys(randomBytes(32), '') }],
  ])('a proof for %s is refused, and does not use its number up', async (_what, { proven = {}, keys }) => {
    const wrong = control(client, { ...watching, ...(keys && { keys }) }, 'PLAY', 900, { proven });
    expect(await rejectionOf(wrong)).toEqual([401, 'proof_invalid']);
    expect((await control(client, watching, 'PLAY', 1)).status).toBe(200);
  });

  it('proofs keep a silent viewer, over any connection; what else comes over his own does not', async () => {
    const impatient = await rtsp.open({ silentAfterSeconds: 0.6 });
    const [own, remote] = [await rtsp.connect(impatient), await rtsp.connect(impatient)];
    const kept = await watch(own);
    const [session] = rtsp.house.gate.sessions().slice(-1);
    const startedMs = Date.now();
    let number = 0;
    const proofs = setInterval(() => void control(remote, kept, 'GET_PARAMETER', (number += 1)), 100);
    setTimeout(() => clearInterval(proofs), 1500);
    // Somebody on the way, who keeps back that the viewer has gone.
    const others = setInterval(() => void own.ask('OPTIONS', URL, {}).catch(() => undefined), 100);
    expect(await session?.ended).toBe('viewer_left');
    clearInterval(others);
    expect(Date.now() - startedMs).toBeGreaterThan(1400);
  });

  it('a proof is good once, and older numbers are not good any more', async () => {
    expect((await control(client, watching, 'PLAY', 5)).status).toBe(200);
    for (const number of [5, 4])
      expect(await rejectionOf(control(client, watching, 'PLAY', number))).toEqual([401, 'proof_replayed']);
    expect((await control(client, watching, 'PLAY', 6)).status).toBe(200);
  });

  it('receipts of a session that the server has ended are told over another connection, and nothing else', async () => {
    await control(client, watching, 'PLAY', 1);
    rtsp.stream.picture(true);
    await client.frame(0);
    await rtsp.house.gate.sessions()[0]?.end('kicked');
    await client.closed;
    const remote = await rtsp.connect();
    const body = 'receipts\r\n';
    expect(await rejectionOf(remote.ask('GET_PARAMETER', URL, { Session: watching.session }, body))).toEqual([
      401,
      'proof_missing',
    ]);
    expect(await rejectionOf(control(remote, watching, 'GET_PARAMETER', 1, { body }))).toEqual([
      401,
      'proof_replayed',
    ]);
    const told = await control(remote, watching, 'GET_PARAMETER', 2, { body });
    expect(JSON.parse(told.body)).toMatchObject({ receipts: [{ state: 'final', reason: 'kicked' }] });
    expect((await control(remote, watching, 'PLAY', 3)).status).toBe(454);
  });

  it('receipts are told, the last one with the end', async () => {
    await control(client, watching, 'PLAY', 1);
    rtsp.stream.picture(true);
    await client.frame(0);
    const { body } = await control(client, watching, 'GET_PARAMETER', 2, { body: 'receipts\r\n' });
    expect(JSON.parse(body)).toEqual({ receipts: [] });
    const request = { method: 'TEARDOWN', url: URL, session: watching.session, body: Buffer.alloc(0) };
    const ended = await client.ask('TEARDOWN', URL, {
      ...{ Session: watching.session, Accept: 'application/json' },
      'Usher-Control': formatControlProof(watching.keys.control, request, 3),
    });
    expect(JSON.parse(ended.body)).toMatchObject({ receipts: [{ state: 'final', reason: 'viewer_left' }] });
  });
});
