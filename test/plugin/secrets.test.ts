/**
 * Every refusal of a media server, with marked secrets: nothing that it writes, answers or measures may hold a part of
 * a ticket, a proof, a key, a stream key, a session's URL or a claim's value.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Denial, type Code } from '../../plugin/errors.ts';
import { UNLIMITED_PLAY } from '../../plugin/rights/index.ts';
import type { ProofOptions } from '../../plugin/ticket/index.ts';
import { WHEP_URL } from '../support/tickets.ts';
import {
  admitted,
  closeHouse,
  guard,
  house,
  inSession,
  leaksIn,
  mark,
  nowSeconds,
  openHouse,
  proofFor,
  publish,
  send,
  setUp,
  signedTicket,
  ticketFor,
} from './marked-house.ts';

const COUNTED = { ...UNLIMITED_PLAY, accesses: 1 };

beforeAll(openHouse);
afterAll(closeHouse);
beforeEach(() => setUp());

const refusing = (code: Code) => (): void => {
  house.redemptions.answer = () => {
    throw new Denial(code);
  };
};

/** In the letters that ICE allows. */
function iceSecret(name: string): string {
  const value = randomBytes(15).toString('hex');
  house.secrets.set(name, value);
  return value;
}

const CASES: [string, Code, () => Promise<unknown>][] = [
  ['no ticket', 'ticket_missing', () => send({})],
  ['a ticket that is none', 'ticket_malformed', () => send({ ticket: mark('text'), proof: 'a.b.c' })],
  ['another scheme', 'ticket_malformed', () => send({ ticket: mark('password'), scheme: 'Basic' })],
  [
    'an unknown claim',
    'ticket_malformed',
    async () => send({ ticket: await signedTicket({ iss: mark('iss'), [mark('claim')]: mark('value') }) }),
  ],
  [
    'an issuer that is not pinned',
    'ticket_untrusted',
    async () => send({ ticket: await ticketFor(house.viewer, { iss: `https://${mark('iss')}.example` }) }),
  ],
  [
    'a key that is not known',
    'ticket_untrusted',
    async () =>
      send({
        ticket: await ticketFor(house.viewer, {}, { signingKey: { ...house.stranger, kid: mark('kid') } }),
      }),
  ],
  [
    'a signature that is not right',
    'ticket_untrusted',
    async () => {
      const [header, payload] = (await ticketFor(house.viewer)).split('.');
      const [, , signature] = (await ticketFor(house.viewer)).split('.');
      return send({ ticket: [header, payload, signature].join('.') });
    },
  ],
  [
    'a ticket that is over',
    'ticket_expired',
    async () => send({ ticket: await ticketFor(house.viewer, { nbf: 1, iat: 1, exp: nowSeconds() - 1 }) }),
  ],
  [
    'a ticket of tomorrow',
    'ticket_not_yet_valid',
    async () => send({ ticket: await ticketFor(house.viewer, { nbf: nowSeconds() + 60 }) }),
  ],
  [
    'another audience',
    'ticket_wrong_audience',
    async () => send({ ticket: await ticketFor(house.viewer, { aud: [mark('aud')] }) }),
  ],
  [
    'another stream',
    'ticket_wrong_uri',
    async () => send({ ticket: await ticketFor(house.viewer, { uri: `/live/${mark('uri')}` }) }),
  ],
  [
    'a revoked ticket',
    'ticket_revoked',
    async () => {
      house.revocations.find = () => 'revoked';
      return send({ ticket: await ticketFor(house.viewer, { sub: mark('sub') }) });
    },
  ],
  [
    'no proof',
    'proof_missing',
    async () => send({ ticket: await ticketFor(house.viewer), proof: undefined }),
  ],
  [
    'a ticket as Bearer',
    'proof_missing',
    async () => send({ ticket: await ticketFor(house.viewer), scheme: 'Bearer' }),
  ],
  [
    'a proof that is none',
    'proof_invalid',
    async () => send({ ticket: await ticketFor(house.viewer), proof: mark('proof text') }),
  ],
  [
    'a proof for another URL',
    'proof_invalid',
    async () =>
      send({ ticket: await ticketFor(house.viewer), proof: { url: `https://${mark('htu')}.example/` } }),
  ],
  [
    'a proof for another method',
    'proof_invalid',
    async () => send({ ticket: await ticketFor(house.viewer), proof: { method: mark('htm').slice(0, 32) } }),
  ],
  [
    'a proof for another ticket',
    'proof_invalid',
    async () => send({ ticket: await ticketFor(house.viewer), proof: { ticket: mark('other ticket') } }),
  ],
  [
    'a proof for another fingerprint',
    'proof_invalid',
    async () => send({ ticket: await ticketFor(house.viewer), proof: { fingerprint: mark('fingerprint') } }),
  ],
  [
    'a proof with a claim of its own',
    'proof_invalid',
    async () =>
      send({
        ticket: await ticketFor(house.viewer),
        proof: { ask: { action: mark('ask') } as unknown as ProofOptions['ask'] },
      }),
  ],
  [
    'an old nonce',
    'proof_nonce_required',
    async () => send({ ticket: await ticketFor(house.viewer), proof: { nonce: mark('nonce') } }),
  ],
  [
    'a proof that was used',
    'proof_replayed',
    async () => {
      const ticket = await ticketFor(house.viewer);
      const proof = await proofFor(ticket);
      // Somebody should see this, but an order server that echoes what it was told must not bring it into the log.
      house.orderServerSays = (body) => {
        guard('report', body);
        return { status: 403, body: JSON.stringify({ code: 'forbidden', detail: body.slice(0, 100) }) };
      };
      await send({ ticket, proof });
      await send({ ticket, proof });
    },
  ],
  [
    'a wish above the tier',
    'rights_insufficient',
    async () =>
      send({
        ticket: await ticketFor(house.viewer, { rights: { ...UNLIMITED_PLAY, tier: { maxHeight: 360 } } }),
        proof: { ask: { action: 'play', tier: { maxHeight: 720 } } },
      }),
  ],
  [
    'a ticket for a device',
    'rights_insufficient',
    async () => send({ ticket: await ticketFor(house.viewer, { dev: mark('dev') }) }),
  ],
  [
    'a ticket for another address',
    'rights_insufficient',
    async () => {
      house.secrets.set('addr', '2001:db8:77:66:55:44:33:22');
      return send({ ticket: await ticketFor(house.viewer, { addr: '2001:db8:77:66:55:44:33:22' }) });
    },
  ],
  ...(['rights_exhausted', 'rights_concurrency', 'order_server_unreachable'] as const).map(
    (code): (typeof CASES)[number] => [
      `the order server’s ${code}`,
      code,
      async () => {
        refusing(code)();
        return send({ ticket: await ticketFor(house.viewer, { rights: COUNTED, sub: mark('sub') }) });
      },
    ],
  ),
  [
    'nothing known of what is revoked',
    'order_server_unreachable',
    async () => {
      house.revocations.isStale = () => true;
      return send({ ticket: await ticketFor(house.viewer) });
    },
  ],
  [
    'a stream that is off air',
    'stream_offline',
    async () => {
      house.stage.live = false;
      return send({ ticket: await ticketFor(house.viewer) });
    },
  ],
  [
    'media that fail',
    'internal',
    async () => {
      house.stage.failure = new Error('the worker has gone');
      return send({ ticket: await ticketFor(house.viewer) });
    },
  ],
  [
    'no place for one more',
    'overloaded',
    async () => {
      setUp({ maxSessions: 1 });
      await admitted();
      return send({ ticket: await ticketFor(house.viewer) });
    },
  ],
  [
    'an offer that is none',
    'sdp_malformed',
    async () => send({ ticket: await ticketFor(house.viewer), body: mark('sdp') }),
  ],
  [
    'a long offer',
    'body_too_large',
    async () => send({ ticket: await ticketFor(house.viewer), body: mark('body').repeat(10_000) }),
  ],
  [
    'another content type',
    'unsupported_media_type',
    async () =>
      send({ ticket: await ticketFor(house.viewer), headers: { 'content-type': `text/${mark('type')}` } }),
  ],
  [
    'a ticket in the URL',
    'request_malformed',
    async () => {
      const ticket = await ticketFor(house.viewer);
      return send({ ticket, url: `${WHEP_URL}?ticket=${ticket}&pass=${mark('pass')}` });
    },
  ],
  [
    'another method',
    'method_not_allowed',
    async () => send({ method: 'PUT', ticket: await ticketFor(house.viewer), proof: 'a.b.c' }),
  ],
  ['another path', 'not_found', async () => send({ url: `https://media.example/${mark('path')}` })],
  [
    'the URL of no session',
    'session_ended',
    async () =>
      send({ method: 'DELETE', url: `https://media.example/session/${mark('token')}`, proof: 'a.b.c' }),
  ],
  ['a session without a proof', 'proof_missing', () => inSession('DELETE', { proof: undefined })],
  [
    'receipts without a proof',
    'proof_missing',
    () => inSession('GET', { path: '/receipts', proof: undefined }),
  ],
  [
    'receipts with the proof of the session',
    'proof_invalid',
    async () => {
      const { url, ticket } = await admitted();
      const proof = await proofFor(ticket, { method: 'GET', url, fingerprint: undefined });
      await send({ method: 'GET', url: `${url}/receipts`, ticket, proof });
    },
  ],
  [
    'a session by another ticket of its holder',
    'ticket_untrusted',
    async () => inSession('DELETE', { ticket: await ticketFor(house.viewer) }),
  ],
  ['a session without If-Match', 'precondition_required', () => inSession('PATCH')],
  [
    'a session in another state',
    'precondition_failed',
    () =>
      inSession('PATCH', {
        headers: { 'content-type': 'application/trickle-ice-sdpfrag', 'if-match': `"${mark('etag')}"` },
        body: `a=ice-ufrag:${iceSecret('ufrag')}\r\na=ice-pwd:${iceSecret('pwd')}\r\n`,
      }),
  ],
  [
    'a stream key that is none',
    'stream_key_invalid',
    async () => {
      house.orderServerSays = (body) => {
        guard('message', body);
        return {
          status: 403,
          body: JSON.stringify({ code: 'stream_key_invalid', detail: body.slice(0, 150) }),
        };
      };
      await publish();
    },
  ],
  [
    'an order server that answers nonsense to a publisher',
    'order_server_unreachable',
    async () => {
      house.orderServerSays = (body) => ({ status: 500, body });
      await publish();
    },
  ],
];

describe('nothing of a secret is told', () => {
  it.each(CASES)('for %s: %s', async (_name, code, run) => {
    await run();
    await new Promise(setImmediate);
    expect([...house.seen]).toContain(code);
    house.outputs.push(['metrics', await (await house.metrics.response()).text()]);
    house.outputs.push(...house.log.lines.map((line): [string, string] => ['log', line]));
    await house.gate.close('server_stopped');
    for (const [where, text] of house.outputs) expect([where, leaksIn(text)]).toEqual([where, []]);
  });

  it('and there is a line in the log for each refusal to play, with its code', async () => {
    await send({ ticket: await ticketFor(house.viewer, { aud: ['another'] }) });
    expect(house.log.lines.filter((line) => line.includes('"code":"ticket_wrong_audience"'))).toHaveLength(1);
    const text = await (await house.metrics.response()).text();
    expect(text).toContain('usher_admissions_total{outcome="ticket_wrong_audience",protocol="whep"} 1');
  });
});

it('what this looks for would be found, whole or in part', async () => {
  const ticket = await ticketFor(house.viewer, { sub: mark('sub') });
  const id = randomUUID();
  expect(leaksIn(`{"session":"${id}"}`)).toEqual([]);
  expect(leaksIn(`refused ${ticket}`)).toEqual(['ticket[1]', 'ticket[2]']);
  expect(leaksIn(`…${ticket.slice(-30, -5)}…`)).toEqual(['ticket[2]']);
  expect(leaksIn(house.secrets.get('sub') ?? '')).toEqual(['sub']);
});
