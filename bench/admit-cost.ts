/** CPU of admissions, beside that of the cryptography which no implementation can leave out. */
import {
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  verify,
  type KeyObject,
} from 'node:crypto';
import type { AccessRequest } from '../plugin/contract.ts';
import { parseCompact, type CompactParts } from '../plugin/ticket/compact.ts';
import { concatKdf, unwrapKey } from '../plugin/ticket/ecdh-es.ts';
import type { Sealed } from '../plugin/ticket/sealed.ts';
import type { AdmitWorld, Holder } from './admit-world.ts';

/** CPU seconds of this process, user and system. */
export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/**
 * Admissions per CPU-second: ticket, proof, sealed part, rights, replay check, and the start of the session. Making the
 * proofs, which is the clients' work, and ending the sessions is left out.
 */
export async function admissionsPerCpuSecond(
  { gate, media, request }: AdmitWorld,
  holders: readonly Holder[],
): Promise<number> {
  const requests = holders.map(request);
  const before = cpuSeconds();
  for (const one of requests) await gate.admit(one, media);
  const spent = cpuSeconds() - before;
  await Promise.all(gate.sessions().map((session) => session.end('viewer_left')));
  return requests.length / spent;
}

interface Primitives {
  readonly ticket: CompactParts;
  readonly proof: CompactParts;
  readonly holderKey: KeyObject;
  readonly ephemeralKey: KeyObject;
  readonly wrapped: Buffer;
  readonly wrappingKey: Buffer;
  readonly contentKey: Buffer;
  readonly iv: Buffer;
  readonly tag: Buffer;
  readonly ciphertext: Buffer;
  readonly aad: Buffer;
}

function partsOf(jws: string): CompactParts {
  const parts = parseCompact(jws, 4096);
  if (parts === null) throw new Error('not a compact JWS');
  return parts;
}

/** What a request needs of cryptography, with all parsing done and all keys imported. */
function primitivesOf({ authorization, proof }: AccessRequest, serverPrivateKey: KeyObject): Primitives {
  const ticket = partsOf((authorization ?? '').split(' ')[1] ?? '');
  const proofParts = partsOf(proof ?? '');
  const sealed = (ticket.payload as { ss: Sealed }).ss;
  const head = JSON.parse(Buffer.from(sealed.protected, 'base64url').toString()) as { epk: JsonWebKey };
  const ephemeralKey = createPublicKey({ key: { ...head.epk }, format: 'jwk' });
  const bytes = (text: string | undefined): Buffer => Buffer.from(text ?? '', 'base64url');
  const secret = diffieHellman({ privateKey: serverPrivateKey, publicKey: ephemeralKey });
  const wrappingKey = concatKdf(secret, { algorithmId: 'ECDH-ES+A256KW', keyBytes: 32 });
  const wrapped = bytes(sealed.recipients[0]?.encrypted_key);
  return {
    ticket,
    proof: proofParts,
    holderKey: createPublicKey({ key: { ...(proofParts.header as { jwk: JsonWebKey }).jwk }, format: 'jwk' }),
    ephemeralKey,
    wrapped,
    wrappingKey,
    contentKey: unwrapKey(wrappingKey, wrapped),
    iv: bytes(sealed.iv),
    tag: bytes(sealed.tag),
    ciphertext: bytes(sealed.ciphertext),
    aad: Buffer.from(sealed.protected),
  };
}

/** Two Ed25519 verifications, one X25519 agreement, one AES key unwrap and one GCM open, per CPU-second. */
export function primitivesPerCpuSecond(world: AdmitWorld, holders: readonly Holder[]): number {
  const orderKey = createPublicKey({ key: { ...world.orderKey.publicJwk }, format: 'jwk' });
  const serverKey = createPrivateKey({ key: { ...world.serverKey.privateJwk }, format: 'jwk' });
  const prepared = holders.map((holder) => primitivesOf(world.request(holder), serverKey));
  const wrapIv = Buffer.alloc(8, 0xa6);
  const before = cpuSeconds();
  for (const one of prepared) {
    const genuine =
      verify(null, one.ticket.signingInput, orderKey, one.ticket.signature) &&
      verify(null, one.proof.signingInput, one.holderKey, one.proof.signature);
    if (!genuine) throw new Error('a signature does not verify');
    diffieHellman({ privateKey: serverKey, publicKey: one.ephemeralKey });
    const unwrap = createDecipheriv('id-aes256-wrap', one.wrappingKey, wrapIv);
    Buffer.concat([unwrap.update(one.wrapped), unwrap.final()]);
    const open = createDecipheriv('aes-256-gcm', one.contentKey, one.iv);
    open.setAuthTag(one.tag).setAAD(one.aad);
    Buffer.concat([open.update(one.ciphertext), open.final()]);
  }
  return prepared.length / (cpuSeconds() - before);
}
