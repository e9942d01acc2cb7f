/** What a connection is answered when the gate, or the stage, will not have it; with a gate that does as the test says. */
import { afterEach, beforeEach, describe, expect, it, test, vi } from 'vitest';
import { openRtsp, type RtspServer } from '../../../../plugin/adapters/rtsp.ts';
import type { RtspGate } from '../../../../plugin/adapters/rtsp/requests.ts';
import { systemClock } from '../../../../plugin/clock.ts';
import type { Grant } from '../../../../plugin/contract.ts';
import { Denial } from '../../../../plugin/errors.ts';
import { startSession } from '../../../../plugin/session.ts';
import { makeGrant, recordedRedemptions, recordedSink, silentLog } from '../../../support/doubles.ts';
import { connectRtsp, type RtspTestClient } from '../../../support/rtsp-client.ts';
import { createFakeStream, type FakeStream } from './fake-stream.ts';

const URL = 'rtsp://127.0.0.1/live/demo';
const PASS_URL = `${URL}?pass=ps_x`;
const TCP = { Transport: 'RTP/AVP/TCP;unicast;interleaved=0-1' };

let stream: FakeStream;
let server: RtspServer;
let client: RtspTestClient;
let grant: Grant;
/** What the gate does with media that it has opened. */
let admits: 'not' | 'and ends';
const mintPass = vi.fn<RtspGate['mintPass']>();

beforeEach(async () => {
  stream = createFakeStream();
  grant = makeGrant();
  admits = 'not';
  mintPass.mockReset();
  mintPass.mockImplementation(async (_request, prepare) => {
    await prepare?.();
    return { pass: 'ps_y', expiresInSeconds: 30, key: null };
  });
  server = await openRtsp({
    gate: {
      mintPass,
      nonce: () => 'nonce',
      renew: () => Promise.reject(new Denial('session_ended')),
      // As the real one does when the order server says no while the media is being opened.
      async admit(_request, media) {
        const viewing = await media.open(grant);
        if (admits === 'not') {
          viewing.close('completed');
          throw new Denial('rights_exhausted');
        }
        const session = startSession({
          ...{ grant, viewing, redeemed: null, redemptions: recordedRedemptions(), sink: recordedSink() },
          ...{ clock: systemClock, log: silentLog, receiptIntervalMs: 60_000 },
        });
        await session.end('server_stopped');
        return session;
      },
    },
    stage: stream,
    host: '127.0.0.1',
    rtsp: { port: 0, publicUrl: 'rtsp://media.example' },
    udpPort: 0,
    clock: systemClock,
    log: silentLog,
  });
  client = await connectRtsp(server.ports.rtsp);
});
afterEach(() => {
  client.socket.destroy();
  server.close();
});

/** Status and problem that SETUP is answered with. */
async function setUp(): Promise<unknown> {
  expect((await client.ask('DESCRIBE', PASS_URL)).status).toBe(200);
  const { status, body } = await client.ask('SETUP', `${URL}/track=video`, TCP);
  return { status, ...(JSON.parse(body) as object) };
}

it('a refusal after the media was opened is answered, and the connection goes on', async () => {
  expect(await setUp()).toMatchObject({ status: 403, code: 'rights_exhausted' });
  expect((await client.ask('OPTIONS', URL)).status).toBe(200);
  expect(await setUp()).toMatchObject({ status: 403, code: 'rights_exhausted' });
});

it('a session that has ended before it could be answered is the end of the connection', async () => {
  admits = 'and ends';
  await client.ask('DESCRIBE', PASS_URL);
  await expect(client.ask('SETUP', `${URL}/track=video`, TCP)).rejects.toThrow('closed');
});

describe('a tier', () => {
  const { rights } = makeGrant();
  const TIER = { maxHeight: 480 };
  const REFUSED = { code: 'rights_insufficient', detail: 'tier: RTSP sends the best layer only' };
  test.each([
    ['of the ticket, and a stream with layers', 2, { rights: { ...rights, tier: TIER } }, REFUSED],
    ['that was asked for, and one with layers', 3, { ask: { action: 'play', tier: TIER } }, REFUSED],
    [
      'of the ticket, and one without',
      1,
      { rights: { ...rights, tier: TIER } },
      { code: 'rights_exhausted' },
    ],
    ['that limits nothing, and one with layers', 3, {}, { code: 'rights_exhausted' }],
    [
      'that limits sound, of which there are no layers',
      3,
      { rights: { ...rights, tier: { audioBitrate: 64_000 } } },
      { code: 'rights_exhausted' },
    ],
  ] as const)('%s', async (_what, layers, of, outcome) => {
    stream.layers = layers;
    grant = makeGrant(of);
    expect(await setUp()).toMatchObject({ status: 403, ...outcome });
  });
});

test.each([
  ['implicit-play', 'implicit-play'],
  ['sch\u00f6n', undefined],
])(
  'an extension %s that is required is not there; its name is repeated where that can be',
  async (name, repeated) => {
    const { status, headers } = await client.ask('OPTIONS', URL, { Require: name });
    expect([status, headers.get('unsupported')]).toEqual([551, repeated]);
  },
);
