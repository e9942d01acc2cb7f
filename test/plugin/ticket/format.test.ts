/** A ticket that was issued once and stays: what it needs to open is the format, and a change here breaks sold tickets. */
import { expect, it } from 'vitest';
import { openClientPart, openTicket } from '../../../plugin/ticket/index.ts';
import { CLIENT_X25519 } from './insecure-test-keys.ts';
import { claims, keySource, NOW_SECONDS, SECRET_KEY, SERVER_ID, unsealKeys, URI } from './support.ts';

/** `issueTicket(order)` of `support.ts`. */
const TICKET = [
  'eyJhbGciOiJFZDI1NTE5IiwidHlwIjoidGlja2V0K2p3dCIsImtpZCI6Imluc2VjdXJlLXRlc3Qtb3MtZWQyNTUxOSJ9.eyJpc3M',
  'iOiJodHRwczovL29yZGVycy5leGFtcGxlLmNvbSIsImF1ZCI6WyJlZGdlLTEiXSwic3ViIjoidmlld2VyLTdmM2EiLCJqdGkiOiI',
  'wMTlhMDAwMC0wMDAwLTcwMDAtODAwMC0wMDAwMDAwMDAwMDEiLCJpYXQiOjE3NzAwMDAwMDAsIm5iZiI6MTc3MDAwMDAwMCwiZXh',
  'wIjoxNzcwMDA3MjAwLCJjbmYiOnsiamt0IjoiY25iV3JraHdENzI1UUhqeUdKWE83WV9STDBQS19xQ3JLS25YQ0tKMlNZVSJ9LCJ',
  '1cmkiOiIvbGl2ZS9jb25jZXJ0IiwiZW5kcG9pbnRzIjpbImh0dHBzOi8vZWRnZS0xLmV4YW1wbGUuY29tL3doZXAvbGl2ZS9jb25',
  'jZXJ0IiwicnRzcHM6Ly9lZGdlLTEuZXhhbXBsZS5jb206ODMyMi9saXZlL2NvbmNlcnQiXSwicmlnaHRzIjp7ImFjdGlvbiI6InB',
  'sYXkiLCJhY2Nlc3NlcyI6MSwic2Vjb25kcyI6NzIwMCwiYnl0ZXMiOm51bGwsImNvbmN1cnJlbnQiOjEsIndpbmRvdyI6bnVsbCw',
  'ib25FeGNlc3MiOiJyZWplY3QtbmV3IiwiY29udHJvbHMiOlsicGF1c2UiXSwidGllciI6eyJtYXhIZWlnaHQiOjEwODB9fSwiY2h',
  'hcmdpbmciOiJwcmVwYWlkIiwic3VpdGVzIjpbIkRUTFMtU1JUUCIsIkFFQURfQUVTXzEyOF9HQ00iXSwic3MiOnsicHJvdGVjdGV',
  'kIjoiZXlKaGJHY2lPaUpGUTBSSUxVVlRLMEV5TlRaTFZ5SXNJbVZ1WXlJNklrRXlOVFpIUTAwaUxDSmxjR3NpT25zaWVDSTZJakZ',
  'EZWxoS1IyMW5jVEZhVnpSc2FWRlJWM1phV1ZVNFZtVkhjM2RVVVZWWlVUYzJRVGgwVEdnek1WRWlMQ0pqY25ZaU9pSllNalUxTVR',
  'raUxDSnJkSGtpT2lKUFMxQWlmWDAiLCJpdiI6InBjeWJLVWlqaVFCdFREUjUiLCJjaXBoZXJ0ZXh0IjoibEFNSEtndDd4SXc1OFZ',
  'hS2QyVzFvMGZuYS1FWnRRRVkyNExYUVhxN1c4V0hCamFkMzlEbGp5ZjJiRkN4MnhIZmxIQXRGb0JKUVMwbEtRWmZ4bUdNT1JnViI',
  'sInRhZyI6InlZc01CM1UwcThTbVM4YTRDaUl1NVEiLCJyZWNpcGllbnRzIjpbeyJoZWFkZXIiOnsia2lkIjoiaW5zZWN1cmUtdGV',
  'zdC1zcy0xIn0sImVuY3J5cHRlZF9rZXkiOiJmSDFYVFg2RVhYVGQwLW5zVkNUd214OGdxYkdkWnBhb21ZTERPT3NTc1RyMWhuMDh',
  'EaVN1X0EifV19LCJjcGgiOiJxYm5RUEhDWUFsbE9Vc3QwNWY4eElfeHZNUm05dkttUjNoVTBYYldKVFFBIn0.yLxO6GMERgZXB8E',
  'pjSUlb-DMIGj11BOtLUea9gqaVzdYQOgNlQBeaonobuuwEM46FbSTMIXoDvO1EOFkFMFhBg',
].join('');
const CLIENT_PART = [
  'eyJhbGciOiJFQ0RILUVTK0EyNTZLVyIsImVuYyI6IkEyNTZHQ00iLCJ0eXAiOiJjbGllbnQtcGFydCtqd2UiLCJlcGsiOnsieCI6',
  'ImhCSTZBdW53MW9SS0FlaVhJU0kwd25XaHZnTHprQkk4b1k0MmZPb3NQWFkiLCJjcnYiOiJYMjU1MTkiLCJrdHkiOiJPS1AifX0.',
  'O-sn7CD5EF6_Jx0SH-QOB2_Y-eO4QYQmAKpz_t3vs3eK_jspwFcHtw.2gAFsXpn61PukYyc.0QAvT_U2KgXwoaGcl0vy8flpAwD_',
  'fKGic4bmBLxeLLYszSwQtYoFoagtGQmPgRdb3TNVomOhjBLdVmw5JbSgQMCsyDuQCOso5E023c7kkEbvm3KRlqzutURj_7_WB2Ss',
  '.6ssyBhgIKPkAdXds8SfrWA',
].join('');

it('a ticket of the first format still opens', async () => {
  const { claims: read, secret } = await openTicket(TICKET, {
    serverId: SERVER_ID,
    uri: URI,
    keys: keySource,
    unsealKeys,
    nowSeconds: NOW_SECONDS,
  });
  const { ss: _ss, cph, ...rest } = read;
  expect(rest).toEqual(claims);
  expect(Uint8Array.from(secret.k ?? [])).toEqual(SECRET_KEY);
  expect(Uint8Array.from(await openClientPart(CLIENT_PART, CLIENT_X25519, { jti: read.jti, cph }))).toEqual(
    SECRET_KEY,
  );
});
