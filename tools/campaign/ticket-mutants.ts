/** Forged tickets, by the way they are made. Each is presented with a proof that is good for it, if it can have one. */
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
import { ISSUER, type ForgeWorld, type Honest } from './world.ts';

/** Makes a forged request; `null` when this base has none of the kind. */
export type Mutate = (world: ForgeWorld, honest: Honest) => AccessRequest | null;

/**
 * The request with another ticket. The holder of the key is taken to be the forger: the proof is made anew for the
 * forged ticket, so that the ticket alone has to be refused. `null` when the ticket is the genuine one after all.
 */
export function withTicket(
  { tools }: ForgeWorld,
  { base, bare, proofHeader, proofClaims }: Honest,
  ticket: string,
): AccessRequest | null {
  if (ticket === base.ticket) return null;
  const scheme = base.holder === null ? 'Bearer' : 'DPoP';
  const claims = { ...proofClaims, ath: tools.sha256(ticket) };
  const proof = base.holder === null ? undefined : tools.signObjects(proofHeader, claims, base.holder);
  return { ...bare, authorization: `${scheme} ${ticket}`, proof };
}

/** A ticket that the order server's own key has signed, although it is not as it must be. */
function signed(world: ForgeWorld, honest: Honest, header: object, claims: object): AccessRequest | null {
  const { base } = honest;
  const ticket = world.tools.signObjects(
    { ...base.header, ...header },
    { ...base.claims, ...claims },
    base.signer,
  );
  return withTicket(world, honest, ticket);
}

/** What somebody would like his ticket to say. */
function wishes({ random, otherThan, tools, nowSeconds }: ForgeWorld, { base }: Honest): object {
  const rights = base.claims['rights'] as Record<string, unknown>;
  return random.pick([
    () => ({ uri: otherThan(base).uri }),
    () => ({ exp: nowSeconds() + 1_000_000_000 + random.int(1000) }),
    () => ({ rights: { ...rights, accesses: null } }),
    () => ({ rights: { ...rights, concurrent: 1000 + random.int(1000) } }),
    () => ({ rights: { ...rights, tier: {} } }),
    () => ({ rights: { ...rights, action: 'publish' } }),
    () => ({ cnf: { jkt: tools.thumbprint(tools.keys.stranger) } }),
    () => ({ cnf: undefined }),
    () => ({ addr: undefined, sub: 'another' }),
    () => ({ jti: `019c1b2e-7c00-7000-8000-${random.bytes(6).toString('hex')}` }),
    () => ({ transport: 'clear' }),
    () => ({ iss: `${ISSUER}:443` }),
    () => ({ ss: otherThan(base).claims['ss'] }),
  ])();
}

const textMutant =
  (edit: (text: string, random: ForgeWorld['random']) => string): Mutate =>
  (world, honest) =>
    withTicket(world, honest, edit(honest.base.ticket, world.random));

const NONE = ['none', 'None', 'NONE', 'nOnE', ''];
const TYPS = [
  'JWT',
  'jwt',
  'dpop+jwt',
  'redemption+jwt',
  'receipts+jwt',
  'Ticket+JWT',
  'application/ticket+jwt',
  '',
];

export const TICKET_MUTANTS: Readonly<Record<string, Mutate>> = {
  'ticket: a bit': textMutant(flipBit),
  'ticket: a bit of the decoded bytes': textMutant(flipDecodedBit),
  'ticket: a character': textMutant(editCharacter),
  'ticket: truncated': textMutant(truncate),
  'ticket: parts in another order': textMutant(shuffleParts),
  'ticket: another spelling of base64url': textMutant(respell),
  'ticket: another spelling of the JSON': textMutant(rewriteJson),
  'ticket: another signature': textMutant(otherSignature),
  'ticket: a claim changed after signing': (world, honest) =>
    withTicket(
      world,
      honest,
      replaceParts(honest.base.ticket, null, { ...honest.base.claims, ...wishes(world, honest) }),
    ),
  'ticket: the signature of another ticket': (world, honest) =>
    withTicket(world, honest, signatureOf(honest.base.ticket, world.otherThan(honest.base).ticket)),
  'ticket: the signature of a proof': (world, honest) =>
    withTicket(world, honest, signatureOf(honest.base.ticket, honest.request.proof ?? 'e30.e30.AAAA')),
  'ticket: alg none': (world, honest) => {
    const { random } = world;
    const claims =
      random.int(2) === 0 ? honest.base.claims : { ...honest.base.claims, ...wishes(world, honest) };
    const ticket = replaceParts(
      honest.base.ticket,
      { ...honest.base.header, alg: random.pick(NONE) },
      claims,
    );
    return withTicket(
      world,
      honest,
      random.int(2) === 0 ? ticket : ticket.slice(0, ticket.lastIndexOf('.') + 1),
    );
  },
  'ticket: the public key as the secret of an HMAC': (world, honest) => {
    const { tools, random } = world;
    const { base } = honest;
    const secret = random.pick([
      base.signer.x,
      JSON.stringify(tools.publicOf(base.signer)),
      base.signer.kid,
      '',
    ]);
    const alg = random.pick(['HS256', base.signer.alg]);
    const claims = { ...base.claims, ...wishes(world, honest) };
    return withTicket(world, honest, tools.signHmac({ ...base.header, alg }, claims, secret));
  },
  'ticket: signed by a stranger': (world, honest) => {
    const { tools, random } = world;
    const key = random.pick([tools.keys.stranger, tools.keys.holder, tools.keys.holderEc]);
    const alg = random.int(2) === 0 ? honest.base.signer.alg : key.crv === 'Ed25519' ? 'Ed25519' : 'ES256';
    const claims =
      random.int(2) === 0 ? honest.base.claims : { ...honest.base.claims, ...wishes(world, honest) };
    const kid = random.pick([honest.base.signer.kid, key.kid, tools.thumbprint(key)]);
    return withTicket(world, honest, tools.signObjects({ ...honest.base.header, alg, kid }, claims, key));
  },
  'ticket: a key of its own in the header': (world, honest) => {
    const { tools, random } = world;
    const { stranger } = tools.keys;
    const injected = random.pick([
      { jwk: tools.publicOf(stranger) },
      { jku: 'https://evil.example/jwks.json' },
      { x5u: 'https://evil.example/cert.pem' },
      { x5c: ['AAAA'] },
      { kid: '../../../../dev/null' },
      { kid: "' OR '1'='1" },
      { crit: ['exp'] },
      { crit: [] },
      { b64: false, crit: ['b64'] },
      { zip: 'DEF' },
      { cty: 'JWT' },
    ]);
    const signer = random.int(2) === 0 ? stranger : honest.base.signer;
    const header = { ...honest.base.header, ...injected };
    return withTicket(world, honest, tools.signObjects(header, honest.base.claims, signer));
  },
  'ticket: the key of another algorithm': (world, honest) => {
    const { tools, random } = world;
    const { orderServer, orderServerEc } = tools.keys;
    const other = honest.base.signer.alg === 'ES256' ? orderServer : orderServerEc;
    const header = random.pick([
      { kid: other.kid },
      { alg: other.alg },
      { alg: 'EdDSA' },
      { alg: 'ES384' },
      { alg: 'RS256' },
    ]);
    const signer = random.int(2) === 0 ? honest.base.signer : other;
    const ticket = tools.signObjects({ ...honest.base.header, ...header }, honest.base.claims, signer);
    return withTicket(world, honest, ticket);
  },
  'ticket: another typ, by the order server': (world, honest) =>
    signed(world, honest, { typ: world.random.pick(TYPS) }, {}),
  'ticket: a member twice, by the order server': (world, honest) => {
    const { tools } = world;
    const { base } = honest;
    const json = JSON.stringify(base.claims);
    const twice = json.replace('{', `{"uri":"${world.otherThan(base).uri}",`);
    return withTicket(world, honest, tools.signTexts(JSON.stringify(base.header), twice, base.signer));
  },
  'ticket: an unknown claim, by the order server': (world, honest) =>
    signed(
      world,
      honest,
      {},
      { [world.random.pick(['scope', 'admin', 'azp', 'act', 'x'])]: world.random.int(9) },
    ),
  'ticket: over, by the order server': (world, honest) => {
    const at = world.nowSeconds() - world.random.int(100_000);
    return signed(world, honest, {}, { iat: at - 60, nbf: at - 60, exp: at });
  },
  'ticket: not yet valid, by the order server': (world, honest) => {
    const at = world.nowSeconds() + 6 + world.random.int(100_000);
    return signed(world, honest, {}, world.random.int(2) === 0 ? { nbf: at } : { iat: at });
  },
  'ticket: for another server, by the order server': (world, honest) =>
    signed(
      world,
      honest,
      {},
      { aud: world.random.pick([['edge-2'], ['edge-11'], ['edge'], ['EDGE-1'], ['edge-1.']]) },
    ),
  'ticket: for another stream, by the order server': (world, honest) => {
    const { uri } = honest.base;
    const uris = [
      `${uri}2`,
      `${uri}/x`,
      uri.slice(0, -1) || '/',
      uri.toUpperCase(),
      `${uri}/`,
      uri.replace('/', '//'),
    ];
    return signed(world, honest, {}, { uri: world.random.pick(uris) });
  },
  'ticket: of another issuer, with the same key': (world, honest) =>
    signed(
      world,
      honest,
      {},
      { iss: world.random.pick([`${ISSUER}/`, `${ISSUER}.evil.example`, 'https://a.example']) },
    ),
  'ticket: for another address or device': (world, honest) =>
    signed(
      world,
      honest,
      {},
      world.random.pick([{ addr: '192.0.2.9' }, { dev: 'device-1' }, { addr: '2001:db8::1' }]),
    ),
  'ticket: for publishing': (world, honest) =>
    signed(world, honest, {}, { rights: { ...(honest.base.claims['rights'] as object), action: 'publish' } }),
  'ticket: sealed part changed, by the order server': (world, honest) => {
    const sealed = honest.base.claims['ss'] as Record<'protected' | 'iv' | 'ciphertext' | 'tag', string>;
    const name = world.random.pick(['protected', 'iv', 'ciphertext', 'tag'] as const);
    const bytes = Buffer.from(sealed[name], 'base64url');
    const at = world.random.int(bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << world.random.int(8));
    return signed(world, honest, {}, { ss: { ...sealed, [name]: bytes.toString('base64url') } });
  },
  'ticket: sealed to another, by the order server': (world, honest) => {
    const { servers } = world.tools.keys;
    const other = servers[1 + world.random.int(servers.length - 1)];
    const kid = world.random.int(2) === 0 ? servers[0]?.kid : other?.kid;
    if (other === undefined || kid === undefined) return null;
    return signed(world, honest, {}, { ss: world.tools.sealFrom('other', '{}', [{ ...other, kid }]) });
  },
};
