import fc from 'fast-check';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { guardHttp, refusalOfRequest } from '../../../../plugin/adapters/node-media-server/http-gate.ts';

test.each([
  ['GET', '/live/a.flv', 'play_closed'],
  ['HEAD', '/live/a.flv?pass=x', 'play_closed'],
  ['GET', '/live/a/b.flv', 'play_closed'],
  ['POST', '/live/a.flv', 'method_not_allowed'],
  ['OPTIONS', '/live/a.flv', 'method_not_allowed'],
  ['GET', '/a%20b/c.flv', 'request_malformed'],
  ['GET', '/live/a.FLV', 'request_malformed'],
  ['GET', '/live/a.flv/', 'request_malformed'],
  ['GET', '//live/a.flv', 'request_malformed'],
  ['GET', '/live/../a.flv', 'request_malformed'],
  ['GET', '/a.flv', 'request_malformed'],
  ['GET', 'http://host/live/a.flv', 'request_malformed'],
  ['GET', '*', 'request_malformed'],
  ['GET', `/live/${'a'.repeat(3000)}`, 'request_malformed'],
  ['GET', '/', 'not_found'],
  ['GET', '/api/v1/streams', 'not_found'],
  ['GET', '/admin/', 'not_found'],
  ['GET', '/static/index.html', 'not_found'],
])('%s %s: %s', (method, url, code) => {
  expect(refusalOfRequest(method, url).code).toBe(code);
});

test('every request is refused with one of four codes', () => {
  const codes = ['play_closed', 'method_not_allowed', 'request_malformed', 'not_found'];
  fc.assert(
    fc.property(fc.string(), fc.string({ unit: 'binary' }), (method, url) => {
      expect(codes).toContain(refusalOfRequest(method, url).code);
    }),
  );
});

test.each([
  ['/admin', 'host'],
  ['/admin/index.html', 'host'],
  ['/api/v1/streams?token=x', 'host'],
  ['/admin/x.flv', 'gate'],
  ['/admin/x.FLV/', 'gate'],
  ['/ADMIN/', 'gate'],
  ['/administrator/', 'gate'],
  ['/api/v2/', 'gate'],
  ['/live/a.flv', 'gate'],
])('with nmsAdminApi %s goes to the %s', async (path, whose) => {
  const server = createServer((_, response) => response.end('host')).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const restore = guardHttp(server, { nmsAdminApi: true });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const answer = await fetch(`${url}${path}`);
  expect((await answer.text()) === 'host' ? 'host' : 'gate').toBe(whose);
  restore();
  expect(await (await fetch(`${url}/live/a.flv`)).text()).toBe('host');
});
