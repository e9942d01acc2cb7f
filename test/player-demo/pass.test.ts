import { expect, test } from 'vitest';
import { mintPass, passUrlOf } from '../../player-demo/src/pass.ts';
import { Problem } from '../../player-demo/src/problems.ts';
import type { SignedRequest } from '../../player-demo/src/signed-fetch.ts';
import { WHEP } from './support/shop.ts';

const URI = '/live/demo';
const FLV = 'https://media.example:8443/live/demo.flv?pass=ps_x';
const RTMP = 'rtmps://media.example:1936/live/demo?pass=ps_x';
const RTSP = 'rtsps://media.example:8322/live/demo?pass=ps_x';
const good = {
  pass: 'ps_x',
  expiresIn: 60,
  urls: { 'http-flv': FLV, 'ws-flv': 'wss://x', rtmp: RTMP, rtsp: RTSP },
};

async function mint(answer: unknown, endpoint = WHEP) {
  const sent: SignedRequest[] = [];
  const send = async (request: SignedRequest): Promise<Response> => {
    sent.push(request);
    if (answer instanceof Problem) throw answer;
    return new Response(typeof answer === 'string' ? answer : JSON.stringify(answer), { status: 201 });
  };
  return { sent, pass: await mintPass(send, endpoint, URI) };
}

test.each([
  ['https://media.example/whep/live/demo', 'https://media.example/pass'],
  ['https://media.example/base/whep/live/demo', 'https://media.example/base/pass'],
  ['https://media.example/whep/live/demo2', null],
  ['https://media.example/live/demo', null],
])('for a stream at %s passes are given at %s', (endpoint, url) => {
  expect(passUrlOf(endpoint, URI)).toBe(url);
});

test('the ticket is exchanged for addresses, and what they are good for', async () => {
  const { sent, pass } = await mint(good);
  expect(sent).toEqual([{ method: 'POST', url: 'https://media.example/pass', json: { uri: URI } }]);
  expect(pass).toEqual({
    expiresInSeconds: 60,
    addresses: [
      { label: 'HTTP-FLV', url: FLV },
      { label: 'RTMP', url: RTMP },
      { label: 'RTSP', url: RTSP },
    ],
  });
});

test.each([
  ['a script', { 'http-flv': 'javascript:alert(1)', rtmp: RTMP }],
  ['a list', { 'http-flv': [FLV], rtmp: RTMP }],
  ['far too long', { 'http-flv': `https://x/${'a'.repeat(500)}`, rtmp: RTMP }],
  ['two addresses', { 'http-flv': `${FLV} ${FLV}`, rtmp: RTMP }],
  ['not there', { rtmp: RTMP }],
])('an address that is %s is left out', async (_name, urls) => {
  const { pass } = await mint({ ...good, urls });
  expect(pass.addresses).toEqual([{ label: 'RTMP', url: RTMP }]);
});

test.each([
  ['a server that has none', { ...good, urls: {} }, 'not_found'],
  ['no JSON', '<h1>hello</h1>', 'internal'],
  ['no time', { ...good, expiresIn: undefined }, 'internal'],
  ['a time of no use', { ...good, expiresIn: 0 }, 'internal'],
  ['an endless time', { ...good, expiresIn: 1e9 }, 'internal'],
  ['a refusal', new Problem('transport_insecure'), 'transport_insecure'],
])('%s is a problem', async (_name, answer, code) => {
  await expect(mint(answer)).rejects.toMatchObject({ code });
});

test('an endpoint of another kind is not asked', async () => {
  await expect(mint(good, 'https://media.example/other')).rejects.toMatchObject({ code: 'not_found' });
});
