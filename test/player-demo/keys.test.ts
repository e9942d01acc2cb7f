import { calculateJwkThumbprint } from 'jose';
import { afterEach, expect, test, vi } from 'vitest';
import { createOrderKeys, proofThumbprint } from '../../player-demo/src/keys.ts';

afterEach(() => vi.restoreAllMocks());

test('private keys cannot be exported, public JWKs hold nothing private', async () => {
  const keys = await createOrderKeys();
  expect(keys.proofPrivateKey.extractable).toBe(false);
  expect(keys.sealPrivateKey.extractable).toBe(false);
  expect(Object.keys(keys.proofJwk).sort()).toEqual(['crv', 'kty', 'x']);
  expect(Object.keys(keys.sealJwk).sort()).toEqual(['crv', 'kty', 'x']);
  expect(await proofThumbprint(keys)).toBe(await calculateJwkThumbprint(keys.proofJwk));
});

test('every order gets keys of its own', async () => {
  const [one, two] = await Promise.all([createOrderKeys(), createOrderKeys()]);
  expect(one.proofJwk.x).not.toBe(two.proofJwk.x);
  expect(one.sealJwk.x).not.toBe(two.sealJwk.x);
});

test('a browser without the modern curves gets P-256 for both', async () => {
  const generateKey = crypto.subtle.generateKey.bind(crypto.subtle);
  vi.spyOn(crypto.subtle, 'generateKey').mockImplementation(((
    algorithm: EcKeyGenParams,
    ...rest: [boolean, KeyUsage[]]
  ) => {
    if (algorithm.name === 'Ed25519' || algorithm.name === 'X25519') {
      return Promise.reject(new DOMException('not here', 'NotSupportedError'));
    }
    return generateKey(algorithm, ...rest);
  }) as typeof crypto.subtle.generateKey);
  const keys = await createOrderKeys();
  expect(keys.proofAlg).toBe('ES256');
  expect(keys.proofJwk).toMatchObject({ kty: 'EC', crv: 'P-256' });
  expect(keys.sealJwk).toMatchObject({ kty: 'EC', crv: 'P-256' });
});
