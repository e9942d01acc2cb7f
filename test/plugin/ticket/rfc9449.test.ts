/** The examples of RFC 9449 (DPoP) and RFC 7638 (thumbprints). */
import { expect, it } from 'vitest';
import { createProofVerifier, createReplayMemory, thumbprint } from '../../../plugin/ticket/index.ts';
import { sha256Base64url } from '../../../plugin/ticket/encoding.ts';
import { codeOf, FrozenClock } from './support.ts';

/** RFC 9449 section 4.2, figure 4. */
const JWK = {
  kty: 'EC',
  x: 'l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs',
  y: '9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA',
  crv: 'P-256',
};
/** RFC 9449 section 6.1, figure 9. */
const JKT = '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I';
/** RFC 9449 section 7.1, figure 13. */
const ACCESS_TOKEN = 'Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU';
const HEADER =
  'eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0Rsc' +
  'EJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19';
const RESOURCE_PROOF =
  `${HEADER}.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9` +
  'wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtz' +
  'bVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA';
/** RFC 9449 section 4.1, figure 2: for a token request, and so without `ath`. */
const TOKEN_PROOF =
  `${HEADER}.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3R` +
  'va2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfb' +
  'V37xRZT3Lg';

const clock = new FrozenClock();
clock.ms = 1_562_262_618_000;
const nothingIsCurrent = { current: () => 'nonce', isCurrent: () => false };
const verifier = createProofVerifier({
  nonces: nothingIsCurrent,
  replay: createReplayMemory({ clock }),
  clock,
});
const request = {
  proof: RESOURCE_PROOF,
  method: 'GET',
  url: 'https://resource.example.org/protectedresource',
  ticket: ACCESS_TOKEN,
  jkt: JKT,
};

it('the thumbprint of RFC 9449 section 6.1 comes out', () => {
  expect(thumbprint(JWK)).toBe(JKT);
});

it('the ath of RFC 9449 section 7.1 comes out', () => {
  expect(sha256Base64url(ACCESS_TOKEN)).toBe('fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo');
});

it('the proof of RFC 9449 section 7.1 is good in all but the nonce, which it does not have', async () => {
  expect(await codeOf(verifier.verify(request))).toBe('proof_nonce_required: nonce');
});

it.each([
  ['another method', { method: 'POST' }, 'htm'],
  ['another URL', { url: 'https://resource.example.org/other' }, 'htu'],
  ['another token', { ticket: 'other' }, 'ath'],
  ['another key', { jkt: 'A'.repeat(43) }, 'jwk'],
])('the proof of RFC 9449 section 7.1 is not for %s', async (_name, change, detail) => {
  expect(await codeOf(verifier.verify({ ...request, ...change }))).toBe(`proof_invalid: ${detail}`);
});

it('the proof of RFC 9449 section 4.1 verifies, but is for no ticket', async () => {
  const tokenRequest = {
    ...request,
    proof: TOKEN_PROOF,
    method: 'POST',
    url: 'https://server.example.com/token',
  };
  expect(await codeOf(verifier.verify(tokenRequest))).toBe('proof_invalid: ath');
});

it('the thumbprint of the Ed25519 key of RFC 8037 appendix A.3 comes out, by the rules of RFC 7638', () => {
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' };
  expect(thumbprint(jwk)).toBe('kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k');
});

it('members that RFC 7638 section 3.2 does not name have no part in a thumbprint', () => {
  expect(thumbprint({ ...JWK, kid: 'a', use: 'sig', alg: 'ES256', key_ops: ['verify'], d: 'secret' })).toBe(
    JKT,
  );
});
