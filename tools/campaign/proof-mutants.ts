/** Forged proofs beside a genuine ticket: somebody has the ticket and wants to use it. Bearer tickets have none. */
import type { AccessRequest } from '../../plugin/contract.ts';
import {
  editCharacter,
  flipBit,
  flipDecodedBit,
  otherSignature,
  replaceParts,
  respell,
  rewriteJson,
  shuffleParts,
  signatureOf,
  truncate,
} from './edits.ts';
import type { Mutate } from './ticket-mutants.ts';
import type { ForgeWorld, Honest } from './world.ts';

const textMutant =
  (edit: (text: string, random: ForgeWorld['random']) => string): Mutate =>
  ({ random }, { request }) =>
    request.proof === undefined ? null : { ...request, proof: edit(request.proof, random) };

/** The holder's own signature over something that is not for this request. */
function bySigner(
  { tools }: ForgeWorld,
  { base, request, proofHeader, proofClaims }: Honest,
  header: object,
  claims: object,
): AccessRequest | null {
  if (base.holder === null) return null;
  const proof = tools.signObjects({ ...proofHeader, ...header }, { ...proofClaims, ...claims }, base.holder);
  return { ...request, proof };
}

/** Claims of a proof that is for something else than the request it comes with. */
function wrongClaims(
  { random, nowSeconds, otherThan, tools }: ForgeWorld,
  { base, proofClaims }: Honest,
): object {
  const otherFingerprint = { fingerprint: `sha-256 ${'CD:'.repeat(31)}CD` };
  return random.pick([
    () => ({ htm: random.pick(['GET', 'DELETE', 'post', 'POST ', '']) }),
    () => ({ htu: otherThan(base).url }),
    () => ({
      htu: random.pick([`${base.url}/x`, `${base.url}2`, base.uri, base.url.slice(0, -1), 'x']),
    }),
    () => ({ htu: base.url.replace('https:', 'http:') }),
    () => ({ htu: base.url.replace('edge-1', random.pick(['edge-2', 'edge-1.evil', 'me@edge-1'])) }),
    () => ({ ath: tools.sha256(otherThan(base).ticket) }),
    () => ({ ath: random.pick([undefined, '', tools.sha256(''), random.bytes(32).toString('base64url')]) }),
    () => ({ nonce: random.pick([undefined, '', 'x'.repeat(43), random.bytes(32).toString('base64url')]) }),
    () => ({ iat: nowSeconds() - 61 - random.int(100_000) }),
    () => ({ iat: nowSeconds() + 6 + random.int(100_000) }),
    () => ({ iat: random.pick([undefined, String(nowSeconds()), nowSeconds() + 0.5, -1]) }),
    () => ({ jti: random.pick([undefined, '', 'short', 'a'.repeat(65), 'a b c d e f g h i']) }),
    () => otherFingerprint,
    () => ('fingerprint' in proofClaims ? { fingerprint: undefined } : otherFingerprint),
    () => ({ ask: { action: 'publish' } }),
    () => ({ ask: { action: 'play', tier: { maxHeight: 721 + random.int(7000) } } }),
    () => ({ [random.pick(['exp', 'nbf', 'aud', 'cnf', 'x'])]: nowSeconds() + 60 }),
  ])();
}

export const PROOF_MUTANTS: Readonly<Record<string, Mutate>> = {
  'proof: a bit': textMutant(flipBit),
  'proof: a bit of the decoded bytes': textMutant(flipDecodedBit),
  'proof: a character': textMutant(editCharacter),
  'proof: truncated': textMutant(truncate),
  'proof: parts in another order': textMutant(shuffleParts),
  'proof: another spelling of base64url': textMutant(respell),
  'proof: another spelling of the JSON': textMutant(rewriteJson),
  'proof: another signature': textMutant(otherSignature),
  'proof: a claim changed after signing': (_world, { request, proofClaims }) =>
    request.proof === undefined
      ? null
      : { ...request, proof: replaceParts(request.proof, null, { ...proofClaims, jti: 'a'.repeat(36) }) },
  'proof: the signature of another proof': (world, { base, request }) =>
    request.proof === undefined
      ? null
      : { ...request, proof: signatureOf(request.proof, world.honest(base).request.proof ?? '') },
  'proof: the signature of the ticket': (_world, { base, request }) =>
    request.proof === undefined ? null : { ...request, proof: signatureOf(request.proof, base.ticket) },
  'proof: alg none': ({ random }, { request, proofHeader, proofClaims }) => {
    if (request.proof === undefined) return null;
    const proof = replaceParts(
      request.proof,
      { ...proofHeader, alg: random.pick(['none', 'NONE', 'None', '']) },
      proofClaims,
    );
    return { ...request, proof: random.int(2) === 0 ? proof : proof.slice(0, proof.lastIndexOf('.') + 1) };
  },
  'proof: the public key as the secret of an HMAC': (
    { tools, random },
    { base, request, proofHeader, proofClaims },
  ) => {
    if (base.holder === null) return null;
    const secret = random.pick([base.holder.x, JSON.stringify(proofHeader['jwk']), '']);
    const alg = random.pick(['HS256', proofHeader['alg']]);
    return { ...request, proof: tools.signHmac({ ...proofHeader, alg }, proofClaims, secret) };
  },
  'proof: by a stranger, with his key': ({ tools, random }, { base, request, proofHeader, proofClaims }) => {
    if (base.holder === null) return null;
    const { keys } = tools;
    const key = random.pick([
      keys.stranger,
      keys.orderServer,
      base.holder.crv === 'P-256' ? keys.holder : keys.holderEc,
    ]);
    const alg = key.crv === 'Ed25519' ? 'Ed25519' : 'ES256';
    return {
      ...request,
      proof: tools.signObjects({ ...proofHeader, alg, jwk: tools.publicOf(key) }, proofClaims, key),
    };
  },
  'proof: by a stranger, under the holder’s key': ({ tools }, { base, request, proofHeader, proofClaims }) =>
    base.holder === null
      ? null
      : { ...request, proof: tools.signObjects(proofHeader, proofClaims, tools.keys.stranger) },
  'proof: more in the header': (world, honest) => {
    const { random } = world;
    const { holder } = honest.base;
    const header = random.pick([
      { kid: 'a' },
      { crit: ['exp'] },
      { jku: 'https://evil.example/jwks.json' },
      { x5c: ['AAAA'] },
      { b64: false },
      { jwk: holder },
      { jwk: { ...(honest.proofHeader['jwk'] as object), alg: 'none' } },
      { jwk: [honest.proofHeader['jwk']] },
      { jwk: undefined, kid: honest.base.signer.kid },
    ]);
    return bySigner(world, honest, header, {});
  },
  'proof: another typ': (world, honest) =>
    bySigner(world, honest, { typ: world.random.pick(['JWT', 'ticket+jwt', 'DPoP+jwt', 'dpop', '']) }, {}),
  'proof: the alg of another key': (world, honest) =>
    bySigner(
      world,
      honest,
      {
        alg: world.random.pick([
          honest.proofHeader['alg'] === 'ES256' ? 'Ed25519' : 'ES256',
          'EdDSA',
          'ES384',
        ]),
      },
      {},
    ),
  'proof: for something else': (world, honest) => bySigner(world, honest, {}, wrongClaims(world, honest)),
  'proof: shown again': ({ used, random }, _honest) => {
    const proven = used.filter(({ base }) => base.holder !== null);
    return proven.length === 0 ? null : random.pick(proven).request;
  },
  'proof: shown again with the other signature of ES256': ({ used, random }) => {
    const proven = used.filter(({ base }) => base.holder?.crv === 'P-256');
    if (proven.length === 0) return null;
    const { request } = random.pick(proven);
    return { ...request, proof: otherEs256Signature(request.proof ?? '') };
  },
  'proof: made long ago': ({ stale, random }) => (stale.length === 0 ? null : random.pick(stale).request),
};

const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** With (r, s) also (r, n - s) is a signature of the same message: another text that verifies. */
function otherEs256Signature(jws: string): string {
  const end = jws.lastIndexOf('.');
  const signature = Buffer.from(jws.slice(end + 1), 'base64url');
  const s = P256_ORDER - BigInt(`0x${signature.subarray(32).toString('hex')}`);
  const other = Buffer.concat([
    signature.subarray(0, 32),
    Buffer.from(s.toString(16).padStart(64, '0'), 'hex'),
  ]);
  return `${jws.slice(0, end)}.${other.toString('base64url')}`;
}
