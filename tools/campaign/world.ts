/** One gate, tickets that it admits, and honest requests: what forgeries are made from. */
import type { AccessRequest } from '../../plugin/contract.ts';
import { createGate, type Gate, type Media } from '../../plugin/gate.ts';
import {
  createNonces,
  createReplayMemory,
  createStaticKeySource,
  thumbprint,
  toPublicJwk,
} from '../../plugin/ticket/index.ts';
import {
  fakeViewing,
  nothingRevoked,
  recordedSink,
  silentLog,
  type FakeViewing,
} from '../../test/support/doubles.ts';
import { createTools, type Tools, type VectorKeys } from '../../test/vectors/tools.ts';
import type { Random } from './random.ts';

export const SERVER_ID = 'edge-1';
export const ISSUER = 'https://orders.example.com';
export const PEER = '192.0.2.1';
const FINGERPRINT = `sha-256 ${'AB:'.repeat(31)}AB`;

type HolderKey = VectorKeys['holder'];
type SignerKey = VectorKeys['orderServer'] | VectorKeys['orderServerEc'];

/** A genuine ticket, and everything that it was made of. */
export interface Base {
  readonly name: string;
  readonly ticket: string;
  readonly header: Readonly<Record<string, string>>;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly signer: SignerKey;
  /** `null` for a bearer ticket. */
  readonly holder: HolderKey | null;
  readonly uri: string;
  readonly url: string;
}

/** A request as an adapter hands it to the gate, with the proof that was made for it. */
export interface Honest {
  readonly base: Base;
  /** Its proof is signed when somebody looks at it. */
  readonly request: AccessRequest;
  /** The same without a proof. */
  readonly bare: AccessRequest;
  readonly proofHeader: Readonly<Record<string, unknown>>;
  readonly proofClaims: Readonly<Record<string, unknown>>;
}

export interface ForgeWorld {
  readonly gate: Gate;
  readonly media: Media<FakeViewing>;
  readonly tools: Tools;
  readonly bases: readonly Base[];
  readonly random: Random;
  nowSeconds(): number;
  advanceSeconds(seconds: number): void;
  /** A new honest request: the gate admits it once. */
  honest(base: Base): Honest;
  /** A base that is not this one. */
  otherThan(base: Base): Base;
  /** What the gate has admitted lately, to be shown again. */
  readonly used: Honest[];
  /** Honest requests that were never sent, whose nonce is too old by now. */
  readonly stale: Honest[];
}

interface Recipe {
  readonly name: string;
  readonly path: string;
  readonly ec: boolean;
  readonly servers: number;
  readonly claims?: object;
  readonly bearer?: boolean;
}

const RECIPES: readonly Recipe[] = [
  { name: 'Ed25519, counted', path: '/live/a', ec: false, servers: 1 },
  { name: 'ES256 and P-256', path: '/live/b', ec: true, servers: 2 },
  { name: 'eight servers', path: '/live/c', ec: false, servers: 8 },
  { name: 'one address', path: '/live/a/b', ec: false, servers: 1, claims: { addr: PEER } },
  { name: 'bearer', path: '/live/d', ec: false, servers: 1, bearer: true },
];

const TEN_YEARS_SECONDS = 315_360_000;

function makeBase(tools: Tools, recipe: Recipe, index: number): Base {
  const { keys, nowSeconds } = tools;
  const { path, ec, servers, bearer = false } = recipe;
  const signer = ec ? keys.orderServerEc : keys.orderServer;
  const holder = bearer ? null : ec ? keys.holderEc : keys.holder;
  const url = `https://edge-1.example.com/whep${path}`;
  const header = { alg: signer.alg, typ: 'ticket+jwt', kid: signer.kid };
  const secret = { k: tools.bytesFrom(`forge ${index}`, 32).toString('base64url') };
  const recipients = (ec ? keys.serversEc : keys.servers).slice(0, servers);
  const claims = {
    iss: ISSUER,
    aud: ['edge-1', 'edge-2', 'edge-3', 'edge-4', 'edge-5', 'edge-6', 'edge-7', 'edge-8'].slice(0, servers),
    sub: `pseudonym-${index}`,
    jti: `019c1b2e-7c00-7000-8000-${String(index).padStart(12, '0')}`,
    iat: nowSeconds,
    nbf: nowSeconds,
    exp: nowSeconds + TEN_YEARS_SECONDS,
    ...(holder === null ? {} : { cnf: { jkt: thumbprint(holder) } }),
    uri: path,
    endpoints: [url],
    rights: {
      action: 'play',
      accesses: 1,
      seconds: 3600,
      bytes: null,
      concurrent: 1,
      window: null,
      onExcess: 'reject-new',
      controls: [],
      tier: { maxHeight: 720 },
    },
    charging: 'prepaid',
    suites: ['DTLS-SRTP'],
    ...recipe.claims,
    ss: tools.sealFrom(`forge ${index}`, JSON.stringify(secret), recipients),
  };
  const ticket = tools.signObjects(header, claims, signer);
  return { name: recipe.name, ticket, header, claims, signer, holder, uri: path, url };
}

function makeGate(tools: Tools, clock: { nowMs(): number; monotonicMs(): number }): Gate {
  const { keys } = tools;
  const jwks = { keys: [toPublicJwk(keys.orderServer), toPublicJwk(keys.orderServerEc)] };
  const granted = { expiresAt: null, mediaMsLeft: null, bytesLeft: null, leaseSeconds: 30 };
  return createGate({
    serverId: SERVER_ID,
    keys: createStaticKeySource([{ issuer: ISSUER, jwks }]),
    unsealKeys: [keys.servers[0], keys.serversEc[0]].flatMap((key) =>
      key === undefined ? [] : [{ kid: key.kid, privateJwk: key }],
    ),
    nonces: createNonces({ secret: tools.bytesFrom('forge nonces', 32), clock }),
    replay: createReplayMemory({ clock }),
    // The order server would grant whatever it is asked: the gate alone has to refuse.
    redemptions: {
      reserve: async (session) => ({ session, ...granted }),
      commit: async (session) => ({ session, ...granted }),
      release: async () => undefined,
    },
    revocations: nothingRevoked,
    streamKeys: { authorizePublish: () => Promise.resolve() },
    sink: recordedSink(),
    clock,
    log: silentLog,
  });
}

/** Makes the world of one campaign: the same for the same random numbers, but for signatures by ES256. */
export function createForgeWorld(random: Random): ForgeWorld {
  const tools = createTools('');
  let nowMs = tools.nowSeconds * 1000;
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs };
  const gate = makeGate(tools, clock);
  const bases = RECIPES.map((recipe, index) => makeBase(tools, recipe, index));
  const nowSeconds = (): number => Math.floor(nowMs / 1000);

  function honest(base: Base): Honest {
    const { holder, ticket, uri, url } = base;
    const withFingerprint = holder !== null && random.int(2) === 0;
    const proofHeader = {
      typ: 'dpop+jwt',
      alg: holder?.crv === 'Ed25519' ? 'Ed25519' : 'ES256',
      jwk: holder === null ? null : tools.publicOf(holder),
    };
    const proofClaims = {
      jti: random.uuid(),
      htm: 'POST',
      htu: url,
      iat: nowSeconds(),
      ath: tools.sha256(ticket),
      nonce: gate.nonce(),
      attempt: random.uuid(),
      ask: { action: 'play', tier: { maxHeight: 720 } },
      ...(withFingerprint ? { fingerprint: FINGERPRINT } : {}),
    };
    const bare: AccessRequest = {
      protocol: 'whep',
      uri,
      url,
      authorization: `${holder === null ? 'Bearer' : 'DPoP'} ${ticket}`,
      proof: undefined,
      method: 'POST',
      ...(withFingerprint ? { fingerprint: FINGERPRINT } : {}),
      bodyHash: 'offer',
      peer: PEER,
      confidential: true,
    };
    let proof: string | undefined;
    const request = {
      ...bare,
      get proof() {
        if (holder !== null) proof ??= tools.signObjects(proofHeader, proofClaims, holder);
        return proof;
      },
    };
    return { base, proofHeader, proofClaims, bare, request };
  }

  return {
    gate,
    media: { isLive: () => true, open: () => Promise.resolve(fakeViewing()) },
    tools,
    bases,
    random,
    nowSeconds,
    advanceSeconds: (seconds) => void (nowMs += seconds * 1000),
    honest,
    otherThan: (base) => random.pick(bases.filter((other) => other !== base)),
    used: [],
    stale: [],
  };
}
