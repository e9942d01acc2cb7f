/**
 * Private keys that everybody knows. Made once by `generateSigningKey()` and `generateSealingKey()`, then renamed so that
 * they cannot be mistaken for real ones.
 */
import type { JWK } from 'jose';

export const ORDER_SERVER_ED25519 = {
  kty: 'OKP',
  crv: 'Ed25519',
  x: 'S_qSvi3vPsjXB3OwGGGu02C_bEuD3Qgh8hFuqjnJupQ',
  d: 'QdHIzrd3C7RpYnTtq8io5wwGvnOeBR_lnoC3S5yP3jI',
  kid: 'insecure-test-os-ed25519',
  alg: 'Ed25519',
  use: 'sig',
} satisfies JWK;

export const ORDER_SERVER_ES256 = {
  kty: 'EC',
  crv: 'P-256',
  x: 'R_xZBSQ3XJc4v-3U3xGRY6C3tvGtCGWbFHCtzOlaE08',
  y: 'C59sTIywWhiCLCP7vZe-JTovATBNWVLMMdzY5NNGynw',
  d: 'SqwpgE5zvsNcT0mxsDj1px1iL0_FQPAUo_iddlB1rA4',
  kid: 'insecure-test-os-es256',
  alg: 'ES256',
  use: 'sig',
} satisfies JWK;

export const HOLDER_ED25519 = {
  kty: 'OKP',
  crv: 'Ed25519',
  x: 'us4Ur3CF2oVja9DsL5qfewAUhlY-fiuW6fdCobFfy9Y',
  d: '3b5JwYR-FsVUuZKDbPYCQf8Mj02iRW-O5QH4zncBXQQ',
  kid: 'insecure-test-holder-ed25519',
} satisfies JWK;

export const HOLDER_ES256 = {
  kty: 'EC',
  crv: 'P-256',
  x: 'pq-BxiauewKpSA48IyDG2BmhNqVq-rYfY8yzE34oiTo',
  y: '3zL1JBnu5v1PY7SgQktyYxjoYUPsij5LeTCp8snvZZo',
  d: '3hl5cWeoet0F3nYHqEVbalRB7snn-Zcj3G1miCwDuh0',
  kid: 'insecure-test-holder-es256',
} satisfies JWK;

export const STREAMING_SERVER_X25519 = {
  kty: 'OKP',
  crv: 'X25519',
  x: 'dkCFKN0rPwMgOwMGWJixVVB49HjIYp_qJTZqKobGc2g',
  d: 'IF2O0rs0JfgGE1w04EB7G22skIb8k08MAiQ9k2e0qHc',
  kid: 'insecure-test-ss-1',
  use: 'enc',
} satisfies JWK;

export const STREAMING_SERVER_P256 = {
  kty: 'EC',
  crv: 'P-256',
  x: 'efTvwJ6tcXYiLvMlYyiUdfbm1RxPPROGbpsxZzZJKuM',
  y: 'L4WscHj1YBF862siiH36-taLsoy61vXKc6Ox4gcbm_M',
  d: 'gblTt4BVT2dKZPYootHBeCTM5GculCnSK-sVS5IrTc0',
  kid: 'insecure-test-ss-2',
  use: 'enc',
} satisfies JWK;

export const CLIENT_X25519 = {
  kty: 'OKP',
  crv: 'X25519',
  x: 'yO_atDymY85-NRQz8spFzCvR1hsaSJ7cmWIaCg2j2nw',
  d: '6ESt1XpXXmgxs0TROzOAr75tRQifyLxSJtNGTKGotWw',
  kid: 'insecure-test-client',
  use: 'enc',
} satisfies JWK;
