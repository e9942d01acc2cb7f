/**
 * Sealing by node:crypto alone, with everything that should be random made from a seed: it gives the same vectors each
 * time, and shares no code with the product's sealing.
 */
import {
  createCipheriv,
  createECDH,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hash,
} from 'node:crypto';
import type { JWK } from 'jose';
import type { Sealed } from '../../plugin/ticket/sealed.ts';

/** `count` bytes that depend on the seed only; 32 at most. */
export function bytesFrom(seed: string, count: number): Buffer {
  return hash('sha256', `insecure-test ${seed}`, 'buffer').subarray(0, count);
}

/** DER before the 32 bytes of a private key (RFC 8410 section 7). */
const OKP_PREFIX = {
  Ed25519: '302e020100300506032b657004220420',
  X25519: '302e020100300506032b656e04220420',
};

type Curve = 'Ed25519' | 'X25519' | 'P-256';

/** A private JWK from a seed. */
export function keyFrom(seed: string, curve: Curve): JWK & { kty: string; crv: Curve; x: string; d: string } {
  const d = bytesFrom(seed, 32);
  if (curve === 'P-256') {
    const ecdh = createECDH('prime256v1');
    ecdh.setPrivateKey(d);
    const point = ecdh.getPublicKey();
    return {
      kty: 'EC',
      crv: curve,
      x: point.subarray(1, 33).toString('base64url'),
      y: point.subarray(33).toString('base64url'),
      d: d.toString('base64url'),
    };
  }
  const der = Buffer.concat([Buffer.from(OKP_PREFIX[curve], 'hex'), d]);
  const { x = '' } = createPublicKey(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })).export({
    format: 'jwk',
  });
  return { kty: 'OKP', crv: curve, x, d: d.toString('base64url') };
}

/** The members that make the public key. */
export const publicOf = ({ kty, crv, x, y }: JWK): JWK =>
  y === undefined ? { kty: kty!, crv: crv!, x: x! } : { kty: kty!, crv: crv!, x: x!, y };

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** RFC 7518 section 4.6.2 for ECDH-ES+A256KW: one round, no PartyUInfo and PartyVInfo. */
function wrappingKey(ephemeral: JWK, publicJwk: JWK): Buffer {
  const secret = diffieHellman({
    privateKey: createPrivateKey({ key: ephemeral, format: 'jwk' }),
    publicKey: createPublicKey({ key: publicOf(publicJwk), format: 'jwk' }),
  });
  const algorithm = Buffer.from('ECDH-ES+A256KW');
  return hash(
    'sha256',
    Buffer.concat([
      uint32(1),
      secret,
      uint32(algorithm.length),
      algorithm,
      uint32(0),
      uint32(0),
      uint32(256),
    ]),
    'buffer',
  );
}

function wrap(key: Buffer, contentKey: Buffer): string {
  const cipher = createCipheriv('id-aes256-wrap', key, Buffer.alloc(8, 0xa6));
  return Buffer.concat([cipher.update(contentKey), cipher.final()]).toString('base64url');
}

function encrypt(seed: string, protectedHeader: object, content: string, contentKey: Buffer) {
  const head = Buffer.from(JSON.stringify(protectedHeader)).toString('base64url');
  const iv = bytesFrom(`${seed} iv`, 12);
  const cipher = createCipheriv('aes-256-gcm', contentKey, iv).setAAD(Buffer.from(head));
  const ciphertext = Buffer.concat([cipher.update(content), cipher.final()]).toString('base64url');
  const tag = cipher.getAuthTag().toString('base64url');
  return { protected: head, iv: iv.toString('base64url'), ciphertext, tag };
}

const HEADER = { alg: 'ECDH-ES+A256KW', enc: 'A256GCM' };

/** A sealed part in the three forms that the product makes: one server, several of one curve, several of two curves. */
export function sealFrom(
  seed: string,
  content: string,
  recipients: readonly (JWK & { kid: string })[],
): Sealed {
  const contentKey = bytesFrom(`${seed} key`, 32);
  const curves = [...new Set(recipients.map(({ crv }) => crv))];
  const shared = curves.length === 1 ? keyFrom(`${seed} ephemeral`, curves[0] as Curve) : null;
  const single = recipients.length === 1;
  const head = { ...HEADER, ...(single && shared !== null ? { epk: publicOf(shared) } : {}) };
  return {
    ...encrypt(seed, head, content, contentKey),
    ...(!single && shared !== null ? { unprotected: { epk: publicOf(shared) } } : {}),
    recipients: recipients.map(({ kid, ...jwk }) => {
      const ephemeral = shared ?? keyFrom(`${seed} ephemeral ${kid}`, jwk.crv as Curve);
      const header = shared === null ? { kid, epk: publicOf(ephemeral) } : { kid };
      return { header, encrypted_key: wrap(wrappingKey(ephemeral, jwk), contentKey) };
    }),
  } as Sealed;
}

/** A client part: a compact JWE. */
export function clientPartFrom(seed: string, content: string, jwk: JWK): string {
  const contentKey = bytesFrom(`${seed} key`, 32);
  const ephemeral = keyFrom(`${seed} ephemeral`, jwk.crv as Curve);
  const header = { ...HEADER, typ: 'client-part+jwe', epk: publicOf(ephemeral) };
  const jwe = encrypt(seed, header, content, contentKey);
  const encryptedKey = wrap(wrappingKey(ephemeral, jwk), contentKey);
  return [jwe.protected, encryptedKey, jwe.iv, jwe.ciphertext, jwe.tag].join('.');
}
