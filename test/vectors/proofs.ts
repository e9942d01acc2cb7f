/** Proofs of possession for one request each, good ones and bad ones. */
import { publicOf } from './deterministic.ts';
import type { Tools } from './tools.ts';
import type { GoodTicket } from './tickets.ts';

export interface ProofVector {
  readonly name: string;
  readonly proof: string;
  /** What it is presented with. */
  readonly request: {
    readonly method: string;
    readonly url: string;
    /** Name of a good ticket. */
    readonly ticket: string;
    readonly jkt: string;
    readonly fingerprint: string | null;
  };
  /** The nonce that is current at the server. */
  readonly nonce: string;
  /** `code: detail` of the refusal, `null` for a good one. */
  readonly refusal: string | null;
}

const URL = 'https://edge-1.example.com/whep/live/concert';
const NONCE = 'insecure-test-nonce';
const FINGERPRINT = `sha-256 ${'AB:'.repeat(31)}AB`;

type Key = Tools['keys']['holder'];

interface Recipe {
  readonly name: string;
  readonly key?: Key;
  /** Members of the header and the claims that differ; `undefined` leaves one out. */
  readonly header?: object;
  readonly claims?: object;
  readonly proof?: string;
  readonly request?: Partial<ProofVector['request']>;
  readonly refusal?: string;
}

const present = (members: object): object =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));

function make(tools: Tools, good: readonly GoodTicket[], recipe: Recipe): ProofVector {
  const { keys, nowSeconds, sha256, signObjects, thumbprint } = tools;
  const { name, key = keys.holder, refusal = null } = recipe;
  const request = {
    method: 'POST',
    url: URL,
    ticket: good[0]?.name ?? '',
    jkt: thumbprint(key),
    fingerprint: null,
    ...recipe.request,
  };
  const ticket = good.find((one) => one.name === request.ticket)?.ticket ?? '';
  const header = {
    typ: 'dpop+jwt',
    alg: key.crv === 'Ed25519' ? 'Ed25519' : 'ES256',
    jwk: publicOf(key),
    ...recipe.header,
  };
  const claims = {
    jti: `proof-${sha256(name).slice(0, 20)}`,
    htm: 'POST',
    htu: URL,
    iat: nowSeconds,
    ath: sha256(ticket),
    nonce: NONCE,
    ...recipe.claims,
  };
  const proof = recipe.proof ?? signObjects(present(header), present(claims), key);
  return { name, proof, request, nonce: NONCE, refusal };
}

export function goodProofs(tools: Tools, good: readonly GoodTicket[]): ProofVector[] {
  const attempt = 'c6a0f6f2-3b0e-4d0a-9a51-0d9d1a3e1c11';
  const recipes: Recipe[] = [
    { name: 'Ed25519' },
    { name: 'ES256', key: tools.keys.holderEc, request: { ticket: 'P-256 everywhere' } },
    {
      name: 'attempt, ask and fingerprint',
      claims: { attempt, ask: { action: 'play', tier: { maxHeight: 720 } }, fingerprint: FINGERPRINT },
      request: { fingerprint: FINGERPRINT },
    },
    {
      name: 'another spelling of the URL',
      claims: { htu: 'HTTPS://Edge-1.Example.com:443/whep/%6Cive/concert' },
    },
    { name: 'a minute old', claims: { iat: tools.nowSeconds - 60 } },
    { name: 'a clock 5 s ahead', claims: { iat: tools.nowSeconds + 5 } },
  ];
  return recipes.map((recipe) => make(tools, good, recipe));
}

export function badProofs(tools: Tools, good: readonly GoodTicket[]): ProofVector[] {
  const { keys, nowSeconds, thumbprint } = tools;
  const holder = { jkt: thumbprint(keys.holder) };
  const invalid = (detail: string) => `proof_invalid: ${detail}`;
  const recipes: Recipe[] = [
    { name: 'another key', key: keys.stranger, request: holder, refusal: invalid('jwk') },
    {
      name: 'the holder’s key in the header, another’s signature',
      key: keys.stranger,
      header: { jwk: publicOf(keys.holder) },
      request: holder,
      refusal: invalid('signature'),
    },
    { name: 'the private key in the header', header: { jwk: keys.holder }, refusal: invalid('jwk') },
    { name: 'alg none', header: { alg: 'none' }, refusal: invalid('alg') },
    { name: 'the alg of another key', header: { alg: 'ES256' }, refusal: invalid('alg') },
    { name: 'another typ', header: { typ: 'ticket+jwt' }, refusal: invalid('typ') },
    { name: 'kid beside jwk', header: { kid: 'a' }, refusal: invalid('header') },
    { name: 'another method', claims: { htm: 'DELETE' }, refusal: invalid('htm') },
    { name: 'the method in small letters', claims: { htm: 'post' }, refusal: invalid('htm') },
    {
      name: 'another URL',
      claims: { htu: 'https://edge-2.example.com/whep/live/concert' },
      refusal: invalid('htu'),
    },
    { name: 'a deeper URL', claims: { htu: `${URL}/a` }, refusal: invalid('htu') },
    { name: 'no URL', claims: { htu: '/whep/live/concert' }, refusal: invalid('htu') },
    { name: 'another ticket', claims: { ath: tools.sha256('another') }, refusal: invalid('ath') },
    { name: 'no ticket', claims: { ath: undefined }, refusal: invalid('ath') },
    {
      name: 'another spelling of a hash',
      claims: { ath: `${'A'.repeat(42)}B` },
      refusal: invalid('ath'),
    },
    { name: 'older than a minute', claims: { iat: nowSeconds - 61 }, refusal: invalid('iat') },
    { name: 'more than 5 s ahead', claims: { iat: nowSeconds + 6 }, refusal: invalid('iat') },
    { name: 'no number', claims: { jti: undefined }, refusal: invalid('jti') },
    { name: 'an unknown claim', claims: { exp: nowSeconds + 60 }, refusal: invalid('unknown claim') },
    {
      name: 'a fingerprint that nobody asked for',
      claims: { fingerprint: FINGERPRINT },
      refusal: invalid('fingerprint'),
    },
    {
      name: 'no fingerprint',
      request: { fingerprint: FINGERPRINT },
      refusal: invalid('fingerprint'),
    },
    { name: 'no nonce', claims: { nonce: undefined }, refusal: 'proof_nonce_required: nonce' },
    { name: 'another nonce', claims: { nonce: 'insecure-test-old' }, refusal: 'proof_nonce_required: nonce' },
    { name: 'the ticket itself', proof: good[0]?.ticket ?? '', refusal: invalid('typ') },
  ];
  return recipes.map((recipe) => make(tools, good, recipe));
}
