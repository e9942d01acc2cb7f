/** A gate as the media server has it, but for media, order server and feed, and viewers with tickets for it. */
import { createPrivateKey, randomBytes, randomUUID, sign, type KeyObject } from 'node:crypto';
import { uuidv7 } from 'uuidv7';
import type { AccessRequest } from '../plugin/contract.ts';
import { createGate, type Gate, type Media } from '../plugin/gate.ts';
import { createMemoryQueue } from '../plugin/receipts/queue.ts';
import { UNLIMITED_PLAY } from '../plugin/rights/index.ts';
import { sha256Base64url } from '../plugin/ticket/encoding.ts';
import {
  createNonces,
  createReplayMemory,
  createStaticKeySource,
  generateSealingKey,
  generateSigningKey,
  issueTicket,
  toPublicJwk,
  type SealingKeyPair,
  type SigningKeyPair,
} from '../plugin/ticket/index.ts';
import {
  fakeViewing,
  nothingRevoked,
  recordedRedemptions,
  silentLog,
  type FakeViewing,
} from '../test/support/doubles.ts';

const ISSUER = 'https://orders.example';
const SERVER_ID = 'ss-one';
const PATH = '/live/bench';
const URL = `https://media.example/whep${PATH}`;
const FINGERPRINT = `sha-256 ${'AB:'.repeat(31)}AB`;

export interface Holder {
  readonly ticket: string;
  readonly key: KeyObject;
  readonly proofHeader: string;
  readonly ath: string;
}

export interface AdmitWorld {
  readonly gate: Gate;
  readonly media: Media<FakeViewing>;
  readonly orderKey: SigningKeyPair;
  readonly serverKey: SealingKeyPair;
  /** A viewer with a ticket and a key of its own; uncounted, so that no order server is asked. */
  newHolder(): Promise<Holder>;
  /** A request with a new proof, as a client would make it. */
  request(holder: Holder): AccessRequest;
  advanceSeconds(seconds: number): void;
}

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

export async function createAdmitWorld(): Promise<AdmitWorld> {
  const [orderKey, serverKey] = await Promise.all([generateSigningKey(), generateSealingKey()]);
  let nowMs = 1_770_000_000_000;
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs };
  const nowSeconds = (): number => Math.floor(nowMs / 1000);
  const gate = createGate({
    serverId: SERVER_ID,
    keys: createStaticKeySource([{ issuer: ISSUER, jwks: { keys: [orderKey.publicJwk] } }]),
    unsealKeys: [serverKey],
    nonces: createNonces({ secret: randomBytes(32), clock }),
    replay: createReplayMemory({ clock }),
    redemptions: recordedRedemptions(),
    revocations: nothingRevoked,
    streamKeys: { authorizePublish: () => Promise.resolve() },
    sink: createMemoryQueue(Number.POSITIVE_INFINITY),
    clock,
    log: silentLog,
  });

  return {
    gate,
    media: { isLive: () => true, open: () => Promise.resolve(fakeViewing()) },
    orderKey,
    serverKey,
    async newHolder() {
      const proofKey = await generateSigningKey();
      const { ticket } = await issueTicket({
        claims: {
          iss: ISSUER,
          aud: [SERVER_ID],
          sub: randomUUID(),
          jti: uuidv7(),
          iat: nowSeconds(),
          nbf: nowSeconds(),
          exp: nowSeconds() + 86_400 * 365,
          cnf: { jkt: proofKey.kid },
          uri: PATH,
          endpoints: [URL],
          rights: { ...UNLIMITED_PLAY, tier: { maxHeight: 1080 } },
          charging: 'free',
          suites: ['DTLS-SRTP'],
        },
        secret: { k: randomBytes(32) },
        servers: [{ kid: serverKey.kid, publicJwk: serverKey.publicJwk }],
        signingKey: orderKey,
      });
      const { kty, crv, x } = toPublicJwk(proofKey.publicJwk);
      return {
        ticket,
        key: createPrivateKey({ key: { ...proofKey.privateJwk }, format: 'jwk' }),
        proofHeader: encode({ typ: 'dpop+jwt', alg: 'Ed25519', jwk: { kty, crv, x } }),
        ath: sha256Base64url(ticket),
      };
    },
    request({ ticket, key, proofHeader, ath }) {
      const claims = {
        jti: randomUUID(),
        htm: 'POST',
        htu: URL,
        iat: nowSeconds(),
        ath,
        nonce: gate.nonce(),
        attempt: randomUUID(),
        ask: { action: 'play' },
        fingerprint: FINGERPRINT,
      };
      const input = `${proofHeader}.${encode(claims)}`;
      return {
        protocol: 'whep',
        uri: PATH,
        url: URL,
        method: 'POST',
        authorization: `DPoP ${ticket}`,
        proof: `${input}.${sign(null, Buffer.from(input), key).toString('base64url')}`,
        fingerprint: FINGERPRINT,
        bodyHash: ath,
        peer: '192.0.2.1',
        confidential: true,
      };
    },
    advanceSeconds: (seconds) => void (nowMs += seconds * 1000),
  };
}
