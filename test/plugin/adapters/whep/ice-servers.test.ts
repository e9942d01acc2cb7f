import { beforeEach, describe, expect, it } from 'vitest';
import { createWhep, type Whep, type WhepViewing } from '../../../../plugin/adapters/whep.ts';
import { Denial } from '../../../../plugin/errors.ts';
import type { IceClient } from '../../../../plugin/http/ice-servers.ts';
import { fakeTimerClock, recordingLog } from '../../../support/doubles.ts';
import { OFFERS } from '../../media/offers/index.ts';
import { fakeStage } from './fake-stage.ts';
import { openGate, type OpenGate } from './open-gate.ts';

const TICKET = 'eyJhbGciOiJFZERTQSJ9.c2VjcmV0LXRpY2tldA.c2lnbmF0dXJl';
const PROOF = 'eyJhbGciOiJFUzI1NiJ9.cHJvb2Y.c2ln';
const LINKS = ['<stun:s>; rel="ice-server"', '<turn:t>; rel="ice-server"; username="u"; credential="c"'];

describe('STUN and TURN servers', () => {
  let gate: OpenGate<WhepViewing>;
  let log: ReturnType<typeof recordingLog>;
  let clients: IceClient[];
  let whep: Whep;

  beforeEach(() => {
    gate = openGate<WhepViewing>();
    log = recordingLog();
    clients = [];
    whep = createWhep({
      gate,
      stage: fakeStage(),
      publicUrl: new URL('https://media.example'),
      log,
      clock: fakeTimerClock,
      iceServers(client) {
        clients.push(client);
        return LINKS;
      },
    });
  });

  const send = (method: string, init: RequestInit = {}): Promise<Response> => {
    const request = new Request('http://127.0.0.1:4001/whep/live/test', { method, ...init });
    return whep.fetch(request, { peer: '192.0.2.7' });
  };

  const post = (): Promise<Response> =>
    send('POST', {
      headers: { 'content-type': 'application/sdp', authorization: `DPoP ${TICKET}`, dpop: PROOF },
      body: OFFERS.chromium,
    });

  it('are named to who was admitted, for his session', async () => {
    const response = await post();
    expect(response.headers.get('link')).toBe(LINKS.join(', '));
    expect(clients).toEqual([
      { sessionId: 'session-0', expiresAtSeconds: gate.last().grant.expiresAtSeconds },
    ]);
    expect(response.headers.get('access-control-expose-headers')).toContain('Link');
  });

  it('are named to nobody else', async () => {
    gate.check = () => {
      throw new Denial('ticket_expired');
    };
    const replies = [
      await post(),
      await send('OPTIONS'),
      await send('OPTIONS', {
        headers: { origin: 'https://shop.example', 'access-control-request-method': 'POST' },
      }),
      await send('GET'),
    ];
    expect(replies.map(({ headers }) => headers.get('link'))).toEqual([null, null, null, null]);
    expect(clients).toEqual([]);
  });

  it('are not logged', async () => {
    const response = await post();
    expect(response.status).toBe(201);
    expect(log.lines.join()).not.toContain('ice-server');
  });
});
