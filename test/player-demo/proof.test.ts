import { importJWK, jwtVerify } from 'jose';
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { createOrderKeys } from '../../player-demo/src/keys.ts';
import { makeProof } from '../../player-demo/src/proof.ts';

const url = 'https://media.example/whep/live/demo';
const nowSeconds = 1_800_000_000;

test('a proof says what RFC 9449 section 4.2 asks for, and is signed by the key in its header', async () => {
  const keys = await createOrderKeys();
  const proof = await makeProof(keys, {
    method: 'GET',
    url: `${url}?a=1#b`,
    ticket: 'ticket',
    nonce: 'n-1',
    nowSeconds,
  });
  const { payload, protectedHeader } = await jwtVerify(proof, await importJWK(keys.proofJwk, keys.proofAlg));
  expect(protectedHeader).toEqual({ typ: 'dpop+jwt', alg: 'Ed25519', jwk: keys.proofJwk });
  expect(payload).toEqual({
    jti: expect.stringMatching(/^[0-9a-f-]{36}$/),
    htm: 'GET',
    htu: url,
    iat: nowSeconds,
    ath: createHash('sha256').update('ticket').digest('base64url'),
    nonce: 'n-1',
  });
});

test('the proof of an opening request binds attempt, ask and DTLS fingerprint; without a nonce it has none', async () => {
  const keys = await createOrderKeys();
  const binding = { attempt: crypto.randomUUID(), fingerprint: 'sha-256 AB:CD' };
  const proof = await makeProof(keys, { method: 'POST', url, ticket: 't', nonce: null, binding, nowSeconds });
  const { payload } = await jwtVerify(proof, await importJWK(keys.proofJwk, keys.proofAlg));
  expect(payload).toMatchObject({ ...binding, ask: { action: 'play' } });
  expect(payload).not.toHaveProperty('nonce');
});

test('no two proofs share a jti', async () => {
  const keys = await createOrderKeys();
  const input = { method: 'GET', url, ticket: 't', nonce: null, nowSeconds };
  expect(await makeProof(keys, input)).not.toBe(await makeProof(keys, input));
});
