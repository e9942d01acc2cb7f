/** A small world of tickets: one order server, one streaming server, viewers with keys. */
import { UNLIMITED_PLAY } from '../../plugin/rights/index.ts';
import { randomBytes, randomUUID } from 'node:crypto';
import { uuidv7 } from 'uuidv7';
import type { AccessRequest } from '../../plugin/contract.ts';
import type { Clock, KeySource, UnsealKey } from '../../plugin/ports.ts';
import {
  createNonces,
  createProof,
  createStaticKeySource,
  generateSealingKey,
  generateSigningKey,
  issueTicket,
  thumbprint,
  type IssuedTicket,
  type Nonces,
  type ProofOptions,
  type Recipient,
  type SealingKeyPair,
  type SigningKeyPair,
  type TicketClaims,
} from '../../plugin/ticket/index.ts';

export const ISSUER = 'https://orders.example';
export const SERVER_ID = 'ss-one';
export const PATH = '/live/demo';
export const WHEP_URL = `https://media.example/whep${PATH}`;

export interface Viewer {
  readonly proofKey: SigningKeyPair;
  readonly sealKey: SealingKeyPair;
}

export interface TicketWorld {
  readonly keys: KeySource;
  readonly unsealKeys: readonly UnsealKey[];
  readonly nonces: Nonces;
  readonly signingKey: SigningKeyPair;
  readonly serverKey: SealingKeyPair;
  newViewer(): Promise<Viewer>;
  /** A ticket bound to the viewer; `undefined` members of `claims` are left out. */
  ticketFor(
    viewer: Viewer,
    claims?: Partial<Record<keyof TicketClaims, unknown>>,
    more?: Partial<{ signingKey: SigningKeyPair; server: Recipient }>,
  ): Promise<string>;
  /** The same with the client part, which the viewer's seal key opens. */
  issueFor(
    viewer: Viewer,
    claims?: Partial<Record<keyof TicketClaims, unknown>>,
    more?: Partial<{ signingKey: SigningKeyPair; server: Recipient }>,
  ): Promise<IssuedTicket>;
  /** What an adapter would hand to the gate. */
  request(
    viewer: Viewer,
    ticket: string,
    options?: { proof?: Partial<ProofOptions>; request?: Partial<AccessRequest> },
  ): Promise<AccessRequest>;
}

export async function createTicketWorld(clock: Clock): Promise<TicketWorld> {
  const [signingKey, serverKey] = await Promise.all([generateSigningKey(), generateSealingKey()]);
  const nonces = createNonces({ secret: randomBytes(32), clock });
  const nowSeconds = (): number => Math.floor(clock.nowMs() / 1000);
  const world: TicketWorld = {
    keys: createStaticKeySource([{ issuer: ISSUER, jwks: { keys: [signingKey.publicJwk] } }]),
    unsealKeys: [{ kid: serverKey.kid, privateJwk: serverKey.privateJwk }],
    nonces,
    signingKey,
    serverKey,
    newViewer: async () => ({ proofKey: await generateSigningKey(), sealKey: await generateSealingKey() }),
    ticketFor: async (viewer, claims, more) => (await world.issueFor(viewer, claims, more)).ticket,
    async issueFor(viewer, claims = {}, more = {}) {
      const all = {
        iss: ISSUER,
        aud: [SERVER_ID],
        sub: randomUUID(),
        jti: uuidv7(),
        iat: nowSeconds(),
        nbf: nowSeconds(),
        exp: nowSeconds() + 3600,
        cnf: { jkt: thumbprint(viewer.proofKey.publicJwk) },
        uri: PATH,
        endpoints: [WHEP_URL],
        rights: UNLIMITED_PLAY,
        charging: 'free',
        suites: ['DTLS-SRTP'],
        ...claims,
      };
      const present = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
      return issueTicket({
        claims: present as Omit<TicketClaims, 'ss' | 'cph'>,
        secret: { k: randomBytes(32) },
        servers: [more.server ?? { kid: serverKey.kid, publicJwk: serverKey.publicJwk }],
        client: { sealKey: viewer.sealKey.publicJwk },
        signingKey: more.signingKey ?? signingKey,
      });
    },
    async request(viewer, ticket, { proof = {}, request = {} } = {}) {
      const made = await createProof({
        privateKey: viewer.proofKey.privateKey,
        publicJwk: viewer.proofKey.publicJwk,
        alg: viewer.proofKey.alg,
        method: 'POST',
        url: WHEP_URL,
        ticket,
        nonce: nonces.current(),
        nowSeconds: nowSeconds(),
        ...proof,
      });
      return {
        protocol: 'whep',
        uri: PATH,
        authorization: `DPoP ${ticket}`,
        proof: made,
        method: 'POST',
        url: WHEP_URL,
        bodyHash: 'offer',
        peer: '192.0.2.1',
        confidential: true,
        ...request,
      };
    },
  };
  return world;
}
