import { describe, expect, it } from 'vitest';
import { ticketClaimsSchema } from '../../../plugin/ticket/index.ts';
import { issueTicket } from '../../../plugin/ticket/index.ts';
import { decode, NOW_SECONDS, order } from './support.ts';

const genuine = decode((await issueTicket(order)).ticket).payload;
const accepts = (change: object): boolean => ticketClaimsSchema.safeParse({ ...genuine, ...change }).success;

const endpointOfChars = (length: number) => 'https://a.example/'.padEnd(length, 'x');

describe('claims that a ticket may have', () => {
  it.each<[string, object]>([
    ['those that were issued', {}],
    ['no holder key', { cnf: undefined }],
    ['eight servers', { aud: ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'] }],
    ['an issuer on loopback', { iss: 'http://localhost:4000' }],
    ['a device', { dev: '019a0000-0000-7000-8000-000000000002' }],
    ['an IPv4 address', { addr: '192.0.2.1' }],
    ['an IPv6 address', { addr: '2001:db8::1' }],
    ['clear transport', { transport: 'clear' }],
    ['no client part', { cph: undefined }],
    ['no suite', { suites: [] }],
    ['the shortest life', { nbf: NOW_SECONDS, exp: NOW_SECONDS + 1 }],
    ['an endpoint with an IPv6 host', { endpoints: ['rtsp://[::1]:8554/live/a'] }],
    ['an endpoint of 300 characters', { endpoints: [endpointOfChars(300)] }],
    ...['http', 'https', 'rtsp', 'rtsps', 'rtmp', 'rtmps'].map((scheme): [string, object] => [
      `an endpoint of ${scheme}`,
      { endpoints: [`${scheme}://a.example:1/live/a`] },
    ]),
  ])('%s', (_name, change) => {
    expect(accepts(change)).toBe(true);
  });
});

describe('claims that make a ticket void', () => {
  it.each<[string, object]>([
    ['an unknown claim', { admin: true }],
    ['an unknown claim beside the holder key', { cnf: { jkt: 'A'.repeat(43), x5t: 'a' } }],
    ['an issuer that is no URL', { iss: 'orders' }],
    ['an issuer that is too long', { iss: `https://${'a'.repeat(200)}` }],
    ['an issuer with a space', { iss: 'https://a b' }],
    ['no server', { aud: [] }],
    ['nine servers', { aud: ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'] }],
    ['a server that is named twice', { aud: ['a', 'a'] }],
    ['a server id with a slash', { aud: ['a/b'] }],
    ['a server that is not in a list', { aud: 'edge-1' }],
    ['an empty subject', { sub: '' }],
    ['a ticket id that is no UUID', { jti: '1' }],
    ['a ticket id of UUID version 4', { jti: '019a0000-0000-4000-8000-000000000001' }],
    ['a time with a fraction', { iat: NOW_SECONDS + 0.5 }],
    ['a time before 1970', { nbf: -1 }],
    ['a time as text', { exp: String(NOW_SECONDS + 60) }],
    ['an end at its beginning', { exp: NOW_SECONDS }],
    ['no end', { exp: undefined }],
    ['a thumbprint of 42 characters', { cnf: { jkt: 'A'.repeat(42) } }],
    ['a thumbprint in another spelling', { cnf: { jkt: `${'A'.repeat(42)}B` } }],
    ['a hash of the client part in another spelling', { cph: `${'A'.repeat(42)}9` }],
    ['a member that JavaScript gives a meaning', JSON.parse('{"__proto__":{"uri":"/live/other"}}') as object],
    ['a stream path with a dot segment', { uri: '/live/..' }],
    ['a stream path of one segment', { uri: '/live' }],
    ['no endpoint', { endpoints: [] }],
    ['nine endpoints', { endpoints: Array.from({ length: 9 }, (_, index) => `https://a.example/${index}`) }],
    ['an endpoint of 301 characters', { endpoints: [endpointOfChars(301)] }],
    ['a relative endpoint', { endpoints: ['/whep/live/a'] }],
    ['an endpoint of another scheme', { endpoints: ['javascript://a.example/'] }],
    ['an endpoint with credentials', { endpoints: ['https://me:pw@a.example/'] }],
    ['an endpoint with a query', { endpoints: ['https://a.example/?pass=1'] }],
    ['an endpoint with an empty query', { endpoints: ['https://a.example/?'] }],
    ['an endpoint with a fragment', { endpoints: ['https://a.example/#a'] }],
    ['an endpoint with a backslash', { endpoints: ['https://a.example/\\b'] }],
    ['an endpoint with a space', { endpoints: ['https://a.example/ b'] }],
    ['an endpoint with a port that there is not', { endpoints: ['https://a.example:99999/'] }],
    ['an unknown charging mode', { charging: 'later' }],
    ['an unknown suite', { suites: ['NULL_HMAC_SHA1_80'] }],
    ['a suite that is named twice', { suites: ['DTLS-SRTP', 'DTLS-SRTP'] }],
    ['a device id with a space', { dev: 'a b' }],
    ['an address that is a name', { addr: 'a.example' }],
    ['another transport', { transport: 'any' }],
    ['no rights', { rights: {} }],
    ['no sealed part', { ss: undefined }],
    ['a hash of the client part of 44 characters', { cph: 'A'.repeat(44) }],
  ])('%s', (_name, change) => {
    expect(accepts(change)).toBe(false);
  });
});

describe('the sealed part', () => {
  const sealed = genuine.ss as { recipients: { header: object; encrypted_key: string }[] };
  it.each<[string, object]>([
    ['with an unknown member', { aad: 'AAAA' }],
    ['with an algorithm outside its protected header', { unprotected: { alg: 'dir' } }],
    ['without recipients', { recipients: [] }],
    ['with nine recipients', { recipients: Array.from({ length: 9 }, () => sealed.recipients[0]) }],
    [
      'with an unknown member in a header',
      { recipients: [{ ...sealed.recipients[0], header: { kid: 'a', jku: 'https://a.example' } }] },
    ],
    ['with a short wrapped key', { recipients: [{ ...sealed.recipients[0], encrypted_key: 'AAAA' }] }],
    ['with a short tag', { tag: 'AAAA' }],
    ['with a long initialization vector', { iv: 'A'.repeat(22) }],
  ])('%s is refused', (_name, change) => {
    expect(accepts({ ss: { ...sealed, ...change } })).toBe(false);
  });
});
