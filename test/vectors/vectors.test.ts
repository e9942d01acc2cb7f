/** The committed vectors, read by the product. `test/interop` reads them in another language. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  createProofVerifier,
  createReplayMemory,
  createStaticKeySource,
  openClientPart,
  openTicket,
  toPublicJwk,
} from '../../plugin/ticket/index.ts';
import { inspectTicket } from '../../plugin/ticket/inspect.ts';
import { codeOf } from '../plugin/ticket/support.ts';
import { buildVectors, VECTORS_FILE, type Vectors } from './generate.ts';

const text = readFileSync(VECTORS_FILE, 'utf8');
const vectors = JSON.parse(text) as Vectors;
const { keys, nowSeconds, tickets, proofs } = vectors;
const source = createStaticKeySource([
  {
    issuer: 'https://orders.example.com',
    jwks: { keys: [toPublicJwk(keys.orderServer), toPublicJwk(keys.orderServerEc)] },
  },
]);
const everyKey = [...keys.servers, ...keys.serversEc, keys.client, keys.clientEc];
const unsealKeyOf = (kid: string) => {
  const key = everyKey.find((one) => one.kid === kid);
  if (key === undefined) throw new Error(`no key ${kid}`);
  return { kid, privateJwk: key };
};
const base64url = (bytes: Uint8Array | null) =>
  bytes === null ? null : Buffer.from(bytes).toString('base64url');

it('the script makes the committed vectors again, and the keys are the known ones', () => {
  expect(buildVectors(text)).toEqual(vectors);
  expect(JSON.stringify(keys).match(/"kid":"(?!insecure-test-)/)).toBeNull();
});

describe('a good ticket', () => {
  it.each(tickets.good.map((vector) => [vector.name, vector] as const))(
    'of %s opens at each server',
    async (_name, { ticket, claims, openings, secret, clientPart, clientKid }) => {
      expect(openings.length).toBeGreaterThan(0);
      for (const { serverId, uri, kid } of openings) {
        const opened = await openTicket(ticket, {
          keys: source,
          nowSeconds,
          serverId,
          uri,
          unsealKeys: [unsealKeyOf(kid)],
        });
        expect(opened.claims).toEqual(claims);
        expect({ k: base64url(opened.secret.k), wm: opened.secret.wm }).toEqual(secret);
      }
      const { problems } = await inspectTicket(ticket, { nowSeconds, keys: source });
      expect(problems).toEqual([]);
      const { jti, cph } = claims as { jti: string; cph?: string };
      expect(clientPart === null).toBe(cph === undefined);
      if (clientPart === null || clientKid === null) return;
      const key = await openClientPart(clientPart, unsealKeyOf(clientKid).privateJwk, { jti, cph });
      expect(base64url(key)).toBe(secret.k);
    },
  );
});

describe('a bad ticket', () => {
  it.each(tickets.bad.map((vector) => [vector.name, vector] as const))(
    'with %s is refused',
    async (_name, { ticket, opening, code, detail }) => {
      const { serverId, uri, kid } = opening;
      const opening_ = openTicket(ticket, {
        keys: source,
        nowSeconds,
        serverId,
        uri,
        unsealKeys: [unsealKeyOf(kid)],
      });
      expect(await codeOf(opening_)).toBe(`${code}: ${detail}`);
    },
  );
});

describe('a proof', () => {
  const all = [...proofs.good, ...proofs.bad];
  it.each(all.map((vector) => [vector.name, vector] as const))(
    'with %s gets the answer that it must',
    async (_name, { proof, request, nonce, refusal }) => {
      const clock = { nowMs: () => nowSeconds * 1000, monotonicMs: () => 0 };
      const verifier = createProofVerifier({
        nonces: { current: () => nonce, isCurrent: (given) => given === nonce },
        replay: createReplayMemory({ clock }),
        clock,
      });
      const { ticket: name, fingerprint, ...rest } = request;
      const ticket = tickets.good.find((one) => one.name === name)?.ticket ?? '';
      const verify = () =>
        verifier.verify({ ...rest, proof, ticket, ...(fingerprint === null ? {} : { fingerprint }) });
      if (refusal !== null) return expect(await codeOf(verify())).toBe(refusal);
      await verify();
      expect(await codeOf(verify())).toBe('proof_replayed');
    },
  );
});
