/** A shop in a few lines: signs tickets for the player's keys, as the order server does. */
import {
  calculateJwkThumbprint,
  CompactEncrypt,
  exportJWK,
  generateKeyPair,
  importJWK,
  SignJWT,
  type JSONWebKeySet,
} from 'jose';
import { createHash, randomUUID } from 'node:crypto';
import type { Offer, Rights, Title } from '../../../player-demo/src/api.ts';
import type { OrderKeys } from '../../../player-demo/src/keys.ts';

export const ISSUER = 'https://shop.example';
export const WHEP = 'https://media.example/whep/live/demo';
export const NOW_MS = 1_800_000_000_000;

export const RIGHTS: Rights = {
  action: 'play',
  accesses: null,
  seconds: null,
  bytes: null,
  concurrent: 1,
  window: null,
  onExcess: 'reject-new',
  controls: [],
  tier: { maxHeight: 720 },
};
export const OFFER: Offer & { readonly validSeconds: number } = {
  id: 'offer-1',
  categoryId: null,
  name: 'Day ticket',
  summary: '24 hours',
  price: { amountMinor: 250, currency: 'EUR' },
  meterPrice: null,
  meterUnit: null,
  validSeconds: 86_400,
  validUntil: null,
  tierName: null,
  preview: false,
  rights: RIGHTS,
};
export const TITLE: Title = {
  id: 'title-1',
  path: '/live/demo',
  name: 'Demo',
  description: '',
  artworkUrl: null,
  languages: [],
  categories: [],
  onAir: true,
  offers: [OFFER],
};

export interface Changes {
  readonly header?: object;
  readonly claims?: object;
  readonly clientPart?: string;
  readonly clientPartJti?: string;
  readonly clientPartHeader?: object;
  readonly clientPartContent?: object;
  readonly cnfMore?: object;
  readonly sealedTo?: OrderKeys;
  readonly whep?: string;
}

export interface Shop {
  readonly keySet: JSONWebKeySet;
  /** A delivered ticket for `keys`, right in all but `changes`. */
  deliver(keys: OrderKeys, changes?: Changes): Promise<{ ticket: string; clientPart: string; whep: string }>;
}

export async function openShop(): Promise<Shop> {
  const { publicKey, privateKey } = await generateKeyPair('Ed25519', { extractable: true });
  return {
    keySet: { keys: [{ ...(await exportJWK(publicKey)), kid: 'insecure-test-1', alg: 'Ed25519' }] },
    async deliver(keys, changes = {}) {
      const jti = randomUUID();
      const sealed = await new CompactEncrypt(
        Buffer.from(
          JSON.stringify({
            k: 'A'.repeat(43),
            jti: changes.clientPartJti ?? jti,
            ...changes.clientPartContent,
          }),
        ),
      )
        .setProtectedHeader({
          alg: 'ECDH-ES+A256KW',
          enc: 'A256GCM',
          typ: 'client-part+jwe',
          ...changes.clientPartHeader,
        })
        .encrypt(await importJWK((changes.sealedTo ?? keys).sealJwk, 'ECDH-ES+A256KW'));
      const ticket = await new SignJWT({
        iss: ISSUER,
        jti,
        aud: ['ss-1'],
        sub: 'pseudonym',
        iat: NOW_MS / 1000,
        nbf: NOW_MS / 1000,
        exp: NOW_MS / 1000 + OFFER.validSeconds,
        uri: TITLE.path,
        cnf: { jkt: await calculateJwkThumbprint(keys.proofJwk), ...changes.cnfMore },
        rights: RIGHTS,
        endpoints: [WHEP],
        cph: createHash('sha256').update(sealed).digest('base64url'),
        ...changes.claims,
      })
        .setProtectedHeader({ typ: 'ticket+jwt', alg: 'Ed25519', kid: 'insecure-test-1', ...changes.header })
        .sign(privateKey);
      return { ticket, clientPart: changes.clientPart ?? sealed, whep: changes.whep ?? WHEP };
    },
  };
}
