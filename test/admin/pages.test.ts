import { expect, it } from 'vitest';
import { playerPolicy } from '../../admin/http/pages.ts';

it.each<[string, string[], string]>([
  ['none', [], "connect-src 'self';"],
  ['one by name', ['https://media.example'], "connect-src 'self' https://media.example;"],
  ['the same twice', ['http://a:1', 'http://a:1'], "connect-src 'self' http://a:1;"],
  // A browser ignores a source with an IPv6 address in it.
  ['one by IPv6 address', ['http://[::1]:4001'], "connect-src 'self' http://*:4001;"],
  ['one by IPv6 address at the default port', ['https://[2001:db8::1]'], "connect-src 'self' https://*;"],
])('the player may connect to its own server and to streaming servers: %s', (_what, origins, part) => {
  expect(playerPolicy(origins)).toContain(part);
});
