/** What a session's URL answers beside PATCH: its end and why, lost media, receipts, another ticket. */
import { beforeEach, describe, expect, it } from 'vitest';
import { createWhep, type Whep, type WhepViewing } from '../../../../plugin/adapters/whep.ts';
import { createEndedSessions } from '../../../../plugin/adapters/whep/ended.ts';
import { END_REASONS, type Receipt } from '../../../../plugin/contract.ts';
import { Denial } from '../../../../plugin/errors.ts';
import { silentLog } from '../../../support/doubles.ts';
import { OFFERS } from '../../media/offers/index.ts';
import { fakeStage, type FakeStage } from './fake-stage.ts';
import { GRANT, openGate, type OpenGate } from './open-gate.ts';
import { codeOf } from './replies.ts';

const PUBLIC = 'https://media.example/base';
const FINAL: Receipt = {
  session: GRANT.sessionId,
  ticket: GRANT.ticketId,
  uri: GRANT.uri,
  seq: 0,
  prev: null,
  startedAt: 1,
  at: 6,
  mediaMs: 5000,
  bytes: 1_000_000,
  state: 'final',
  reason: 'expired',
};
const clock = { ms: 0, nowMs: () => clock.ms, monotonicMs: () => clock.ms };

let gate: OpenGate<WhepViewing>;
let stage: FakeStage;
let whep: Whep;
beforeEach(() => {
  clock.ms = 0;
  gate = openGate<WhepViewing>();
  stage = fakeStage();
  whep = createWhep({
    ...{ gate, stage, clock, log: silentLog },
    publicUrl: new URL(PUBLIC),
    bodyDeadlineMs: 50,
    signReceipts: (receipts) => ({ heads: `of ${String(receipts.length)}`, key: { kty: 'OKP' } }),
  });
});

const send = (method: string, path: string, init: RequestInit = {}): Promise<Response> =>
  whep.fetch(new Request(`http://127.0.0.1:4001/base${path}`, { method, ...init }), { peer: '192.0.2.7' });

function post(body: string = OFFERS.chromium, dpop = 'd.e.f'): Promise<Response> {
  const headers = { 'content-type': 'application/sdp', authorization: 'DPoP a.b.c', dpop };
  return send('POST', '/whep/live/test', { headers, body });
}

/** The path of a new session's URL. */
const open = async (): Promise<string> => ((await post()).headers.get('location') ?? '').slice(PUBLIC.length);

const patch = (path: string, body: string): Promise<Response> =>
  send('PATCH', path, {
    headers: { 'content-type': 'application/trickle-ice-sdpfrag', 'if-match': '*' },
    body,
  });

describe('DELETE', () => {
  it('ends the session: 200, and 404 from then on', async () => {
    const path = await open();
    const response = await send('DELETE', path, { headers: { 'if-match': '"any"' } });
    expect(response.status).toBe(200);
    expect(await gate.last().ended).toBe('viewer_left');
    expect(await codeOf(await send('DELETE', path))).toEqual([404, 'session_ended']);
    expect(await codeOf(await patch(path, 'a=x'))).toEqual([404, 'session_ended']);
  });

  it('without a proof changes nothing', async () => {
    const path = await open();
    gate.check = () => {
      throw new Denial('proof_missing');
    };
    expect(await codeOf(await send('DELETE', path))).toEqual([401, 'proof_missing']);
    expect(gate.last().isEnded()).toBe(false);
  });
});

it('forgets a session that ended by itself', async () => {
  const path = await open();
  await gate.last().end('expired');
  expect(await codeOf(await send('DELETE', path))).toEqual([404, 'session_ended']);
});

it('says when the media of a session is lost, and goes on in it with another offer', async () => {
  const session = await open();
  gate.mediaLost = true;
  expect(await codeOf(await send('GET', session))).toEqual([409, 'media_lost']);
  expect((await send('HEAD', session)).status).toBe(409);
  const restart = await patch(session, 'a=ice-ufrag:abcd');
  expect(await codeOf(restart)).toEqual([409, 'media_lost']);
  const { grant } = gate.last();
  Object.assign(gate.last(), {
    grant: { ...grant, rights: { ...grant.rights, tier: { maxHeight: 720 } } },
  });
  const again = await post(OFFERS.firefoxLike, 'd.e.f2');
  expect([again.status, again.headers.get('location'), again.headers.get('etag')]).toEqual([
    201,
    `${PUBLIC}${session}`,
    '"ice-1"',
  ]);
  expect((await send('GET', session)).status).toBe(204);
  expect(gate.sessions).toHaveLength(1);
  // Of the ticket that the session has by then, which may be another one than when its media were opened.
  expect(stage.tiers).toEqual([{}, {}, { maxHeight: 720 }]);
});

it('shows the receipts of a session to its holder', async () => {
  const path = `${await open()}/receipts`;
  expect(await (await send('GET', path)).json()).toEqual({ receipts: [] });
  const receipt = { ...FINAL, state: 'progress', reason: null } as const;
  gate.receipts.push(receipt);
  const response = await send('GET', path);
  expect(response.status).toBe(200);
  expect(await response.json()).toEqual({ receipts: [receipt], heads: 'of 1', key: { kty: 'OKP' } });
  gate.check = () => {
    throw new Denial('proof_missing');
  };
  expect(await codeOf(await send('GET', path))).toEqual([401, 'proof_missing']);
});

describe('POST {session}/ticket', () => {
  it('hands ticket and proof to the gate, and has the media go on within the new limits', async () => {
    const path = await open();
    const headers = { authorization: 'DPoP g.h.i', dpop: 'j.k.l' };
    const response = await send('POST', `${path}/ticket`, { headers });
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({ session: 'session-0', expiresAt: GRANT.expiresAtSeconds });
    expect(response.headers.get('dpop-nonce')).toBe('nonce-1');
    expect(gate.renewals).toEqual([
      {
        protocol: 'whep',
        authorization: 'DPoP g.h.i',
        proof: 'j.k.l',
        method: 'POST',
        url: `${PUBLIC}${path}/ticket`,
        peer: '192.0.2.7',
        confidential: true,
      },
    ]);
    expect(stage.tiers).toEqual([{}, {}]);
    expect(stage.views).toHaveLength(1);
  });

  it('passes a refusal on and leaves the limits as they are', async () => {
    const path = await open();
    gate.check = () => {
      throw new Denial('rights_insufficient', { detail: 'tier.maxHeight' });
    };
    const response = await send('POST', `${path}/ticket`);
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({ code: 'rights_insufficient', detail: 'tier.maxHeight' });
    expect(stage.tiers).toHaveLength(1);
    expect(gate.last().isEnded()).toBe(false);
  });

  it('has no body, and no other method', async () => {
    const path = `${await open()}/ticket`;
    const withBody = await send('POST', path, { body: 'x' });
    expect(withBody.status).toBe(413);
    expect(gate.renewals).toEqual([]);
    for (const method of ['GET', 'PATCH', 'DELETE']) expect((await send(method, path)).status).toBe(405);
    const options = await send('OPTIONS', path);
    expect([options.status, options.headers.get('allow')]).toEqual([200, 'POST, OPTIONS']);
  });
});

describe('the URL of a session that has ended', () => {
  it.each(END_REASONS)('says why: %s', async (reason) => {
    const path = await open();
    await gate.last().end(reason);
    for (const [method, part] of [
      ['GET', ''],
      ['PATCH', ''],
      ['POST', '/ticket'],
    ] as const) {
      const response = await send(method, path + part);
      expect(response.status).toBe(404);
      expect(await response.json()).toMatchObject({ code: 'session_ended', reason });
    }
  });

  it('shows the last receipts to the holder for a minute, and nobody else', async () => {
    const path = `${await open()}/receipts`;
    gate.receipts = [FINAL];
    await gate.last().end('expired');
    clock.ms = 59_999;
    const response = await send('GET', path);
    expect([response.status, await response.json()]).toEqual([
      200,
      { receipts: [FINAL], heads: 'of 1', key: { kty: 'OKP' } },
    ]);
    gate.check = () => {
      throw new Denial('proof_missing');
    };
    expect((await send('GET', path)).status).toBe(401);
    clock.ms = 60_000;
    expect((await send('GET', path)).status).toBe(404);
  });

  it('says no more than that it has ended when that is long ago, or it never was', async () => {
    const path = await open();
    await gate.last().end('expired');
    clock.ms = 600_001;
    for (const asked of [path, '/session/0123456789abcdef012345'])
      expect(await (await send('GET', asked)).json()).toEqual({
        type: 'urn:usher:problem:session_ended',
        title: 'The session has ended',
        status: 404,
        code: 'session_ended',
      });
  });
});

describe('the memory of ended sessions', () => {
  it('is bounded: the oldest are forgotten first', () => {
    const ended = createEndedSessions<string>({ clock, rememberMs: 1000, max: 3 });
    for (let count = 0; count < 5; count++) ended.note(`token-${count}`, 'expired');
    expect([0, 1, 2, 3, 4].map((count) => ended.find(`token-${count}`))).toEqual([
      undefined,
      undefined,
      'expired',
      'expired',
      'expired',
    ]);
  });
});
