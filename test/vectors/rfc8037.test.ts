/** RFC 8037 appendix A: Ed25519 and X25519 in JOSE. Its signature (A.4) and thumbprint (A.3) are in test/plugin/ticket. */
import { createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto';
import { expect, it } from 'vitest';
import { signJws } from '../../plugin/ticket/jws.ts';
import { importSigningKey, toPublicJwk } from '../../plugin/ticket/keys.ts';
import { thumbprint } from '../../plugin/ticket/index.ts';

/** Appendix A.1. */
const KEY = {
  kty: 'OKP',
  crv: 'Ed25519',
  d: 'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A',
  x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
};

it('the key of A.1 is imported, its public half is that of A.2, its id the thumbprint of A.3', async () => {
  const { kid, publicJwk, alg } = await importSigningKey(KEY);
  expect(kid).toBe('kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k');
  expect(alg).toBe('Ed25519');
  expect(toPublicJwk(KEY)).toEqual({ kty: KEY.kty, crv: KEY.crv, x: KEY.x });
  expect(thumbprint(publicJwk)).toBe(kid);
});

it('Ed25519 is deterministic: the same header and payload give the same signature', async () => {
  const key = createPrivateKey({ key: KEY, format: 'jwk' });
  const sign = () => signJws({ alg: 'Ed25519' }, { a: 1 }, key);
  expect(sign()).toBe(sign());
});

it('the secret of A.6 (RFC 7748 section 6.1) is agreed', () => {
  const privateKey = createPrivateKey({
    key: {
      kty: 'OKP',
      crv: 'X25519',
      x: 'hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo',
      d: Buffer.from('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a', 'hex').toString(
        'base64url',
      ),
    },
    format: 'jwk',
  });
  const bob = { kty: 'OKP', crv: 'X25519', x: '3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08' };
  const secret = diffieHellman({ privateKey, publicKey: createPublicKey({ key: bob, format: 'jwk' }) });
  expect(secret.toString('hex')).toBe('4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742');
});
