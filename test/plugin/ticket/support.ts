/** A ticket, its keys and a clock that stands still, for the tests of this folder. */
import { webcrypto } from 'node:crypto';
import { expect } from 'vitest';
import type { CryptoKey, JWK } from 'jose';
import { Denial } from '../../../plugin/errors.ts';
import type { UnsealKey } from '../../../plugin/ports.ts';
import {
  createStaticKeySource,
  importSigningKey,
  thumbprint,
  toPublicJwk,
  type SigningAlg,
  type TicketOrder,
} from '../../../plugin/ticket/index.ts';
import * as insecure from './insecure-test-keys.ts';

export const NOW_SECONDS = 1_770_000_000;

/** A clock that moves only when told to. */
export class FrozenClock {
  ms = NOW_SECONDS * 1000;
  nowMs(): number {
    return this.ms;
  }
  monotonicMs(): number {
    return this.ms;
  }
  advanceSeconds(seconds: number): void {
    this.ms += seconds * 1000;
  }
}

export const ISSUER = 'https://orders.example.com';
export const SERVER_ID = 'edge-1';
export const URI = '/live/concert';

export const orderServerKey = await importSigningKey(insecure.ORDER_SERVER_ED25519);
export const orderServerEcKey = await importSigningKey(insecure.ORDER_SERVER_ES256);
export const holderKey = await importSigningKey(insecure.HOLDER_ED25519);
export const holderEcKey = await importSigningKey(insecure.HOLDER_ES256);

export const keySource = createStaticKeySource([
  { issuer: ISSUER, jwks: { keys: [orderServerKey.publicJwk, orderServerEcKey.publicJwk] } },
]);

export const unsealKey = (jwk: JWK & { kid: string }): UnsealKey => ({ kid: jwk.kid, privateJwk: jwk });
export const recipient = (jwk: JWK & { kid: string }) => ({ kid: jwk.kid, publicJwk: toPublicJwk(jwk) });

export const unsealKeys = [unsealKey(insecure.STREAMING_SERVER_X25519)];

/** 32 bytes that are easy to recognize. */
export const SECRET_KEY = Uint8Array.from({ length: 32 }, (_, index) => index + 1);

export const claims: TicketOrder['claims'] = {
  iss: ISSUER,
  aud: [SERVER_ID],
  sub: 'viewer-7f3a',
  jti: '019a0000-0000-7000-8000-000000000001',
  iat: NOW_SECONDS,
  nbf: NOW_SECONDS,
  exp: NOW_SECONDS + 7200,
  cnf: { jkt: thumbprint(insecure.HOLDER_ED25519) },
  uri: URI,
  endpoints: ['https://edge-1.example.com/whep/live/concert', 'rtsps://edge-1.example.com:8322/live/concert'],
  rights: {
    action: 'play',
    accesses: 1,
    seconds: 7200,
    bytes: null,
    concurrent: 1,
    window: null,
    onExcess: 'reject-new',
    controls: ['pause'],
    tier: { maxHeight: 1080 },
  },
  charging: 'prepaid',
  suites: ['DTLS-SRTP', 'AEAD_AES_128_GCM'],
};

export const order: TicketOrder = {
  claims,
  secret: { k: SECRET_KEY, wm: 'wm-0001' },
  servers: [recipient(insecure.STREAMING_SERVER_X25519)],
  client: { sealKey: toPublicJwk(insecure.CLIENT_X25519) },
  signingKey: orderServerKey,
};

const WEBCRYPTO_PARAMETERS = { Ed25519: 'Ed25519', ES256: { name: 'ECDSA', hash: 'SHA-256' } } as const;

/** Signs any two JSON texts, also those that no library would. */
export async function signTexts(
  header: string,
  payload: string,
  key: { privateKey: CryptoKey; alg: SigningAlg },
): Promise<string> {
  const input = `${Buffer.from(header).toString('base64url')}.${Buffer.from(payload).toString('base64url')}`;
  const signature = await webcrypto.subtle.sign(
    WEBCRYPTO_PARAMETERS[key.alg],
    key.privateKey,
    Buffer.from(input),
  );
  return `${input}.${Buffer.from(signature).toString('base64url')}`;
}

/** Signs any header and payload. */
export function signObjects(
  header: object,
  payload: object,
  key: { privateKey: CryptoKey; alg: SigningAlg },
): Promise<string> {
  return signTexts(JSON.stringify(header), JSON.stringify(payload), key);
}

/** Header and payload of a compact JWS. */
export function decode(jws: string): { header: Record<string, unknown>; payload: Record<string, unknown> } {
  const [header = '', payload = ''] = jws.split('.');
  const read = (part: string): Record<string, unknown> =>
    JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>;
  return { header: read(header), payload: read(payload) };
}

/** The text with one bit of one character inverted; what is no longer ASCII stays one character. */
export function flipBit(text: string, bit: number): string {
  const index = Math.floor(bit / 8);
  const char = String.fromCharCode(text.charCodeAt(index) ^ (1 << (bit % 8)));
  return text.slice(0, index) + char + text.slice(index + 1);
}

/** Expects a refusal, and answers it. */
export async function refusalOf(promise: Promise<unknown>): Promise<Denial> {
  const outcome: unknown = await promise.then(
    () => 'was admitted',
    (error: unknown) => error,
  );
  expect(outcome).toBeInstanceOf(Denial);
  return outcome as Denial;
}

/** `code` or `code: detail` of a refusal. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  const { code, detail } = await refusalOf(promise);
  return detail === undefined ? code : `${code}: ${detail}`;
}
