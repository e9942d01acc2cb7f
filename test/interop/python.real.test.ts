/** Tickets that cross between the product and Python's `cryptography`, in both directions. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  createProofVerifier,
  createReplayMemory,
  createStaticKeySource,
  importSigningKey,
  issueTicket,
  openClientPart,
  openTicket,
  thumbprint,
  toPublicJwk,
} from '../../plugin/ticket/index.ts';
import { findPython } from '../../tools/bootstrap/system.mjs';
import { VECTORS_FILE, type Vectors } from '../vectors/generate.ts';

const vectors = JSON.parse(readFileSync(VECTORS_FILE, 'utf8')) as Vectors;
const { keys, nowSeconds } = vectors;
const ISSUER = 'https://orders.example.com';
const URL = 'https://edge-1.example.com/whep/live/concert';

let python: string;
beforeAll(() => {
  const found = findPython(process.env);
  if (found === null)
    throw new Error('Python with its cryptography package is missing: python3-cryptography');
  python = found;
});

function run(command: 'make' | 'read', input: object): unknown {
  const program = join(import.meta.dirname, 'tickets.py');
  const { status, stdout, stderr } = spawnSync(python, [program, command], {
    input: JSON.stringify(input),
    encoding: 'utf8',
    timeout: 60_000,
  });
  if (status !== 0) throw new Error(`tickets.py ended with ${String(status)}\n${stderr}`);
  return JSON.parse(stdout);
}

interface Reading {
  readonly tickets: readonly {
    readonly name: string;
    readonly genuine: boolean;
    readonly claims: object;
    readonly secrets: readonly object[];
    readonly clientPart: { typ: string; content: { k: string; jti: string }; cph: string } | null;
  }[];
  readonly forged: readonly { readonly name: string; readonly genuine: boolean }[];
  readonly proofs: readonly { readonly name: string; genuine: boolean; jkt: string; ath: boolean }[];
  readonly thumbprints: Readonly<Record<string, string>>;
}
const read = (input: Vectors): Reading => run('read', input) as Reading;

/** What Python must have read of tickets and proofs. */
function expectRead(reading: Reading, { tickets, proofs }: Vectors): void {
  for (const [index, { name, claims, openings, secret, clientPart }] of tickets.good.entries()) {
    const one = reading.tickets[index];
    expect(one).toMatchObject({ name, genuine: true, claims });
    const plain = Object.fromEntries(Object.entries(secret).filter(([, value]) => value !== null));
    expect(one?.secrets).toEqual(openings.map(() => plain));
    if (clientPart === null) {
      expect(one?.clientPart).toBeNull();
      continue;
    }
    const { jti, cph } = claims as { jti: string; cph: string };
    expect(one?.clientPart).toEqual({ typ: 'client-part+jwe', content: { k: secret.k, jti }, cph });
  }
  const wanted = proofs.good.map(({ name, request }) => ({
    name,
    genuine: true,
    jkt: request.jkt,
    ath: true,
  }));
  expect(reading.proofs).toEqual(wanted);
}

describe('Python', () => {
  it('reads the committed vectors: signatures, both sealed parts, thumbprints, proofs', () => {
    const reading = read(vectors);
    expect(reading.tickets).toHaveLength(vectors.tickets.good.length);
    expectRead(reading, vectors);
    expect(reading.forged.length).toBeGreaterThan(0);
    expect(reading.forged.filter(({ genuine }) => genuine)).toEqual([]);
    const all = [...Object.values(keys).flat()];
    expect(reading.thumbprints).toEqual(Object.fromEntries(all.map((key) => [key.kid, thumbprint(key)])));
  });

  it.each([
    ['X25519 keys', keys.servers, keys.client],
    ['P-256 keys', keys.serversEc, keys.clientEc],
    ['keys of both curves', [keys.servers[0]!, keys.serversEc[0]!], keys.client],
    ['one key', [keys.servers[0]!], keys.clientEc],
  ])('reads a ticket that the product issues now, sealed to %s', async (_name, servers, client) => {
    const [template] = vectors.tickets.good;
    const { ss: _ss, cph: _cph, ...claims } = template!.claims as Record<string, unknown>;
    const k = Buffer.alloc(32, 7);
    const issued = await issueTicket({
      claims: claims as never,
      secret: { k },
      servers: servers.map((key) => ({ kid: key.kid, publicJwk: toPublicJwk(key) })),
      client: { sealKey: toPublicJwk(client) },
      signingKey: await importSigningKey(keys.orderServer),
    });
    const payload = JSON.parse(
      Buffer.from(issued.ticket.split('.')[1] ?? '', 'base64url').toString(),
    ) as object;
    const one = {
      ...template!,
      ticket: issued.ticket,
      claims: payload,
      openings: servers.map(({ kid }) => ({ serverId: 'edge-1', uri: '/live/concert', kid })),
      secret: { k: k.toString('base64url'), wm: null },
      clientPart: issued.clientPart,
      clientKid: client.kid,
    };
    const fresh = { ...vectors, tickets: { good: [one], bad: [] }, proofs: { good: [], bad: [] } };
    expectRead(read(fresh), fresh);
  });
});

describe('the product', () => {
  const source = createStaticKeySource([
    { issuer: ISSUER, jwks: { keys: [toPublicJwk(keys.orderServer), toPublicJwk(keys.orderServerEc)] } },
  ]);
  const clock = { nowMs: () => nowSeconds * 1000, monotonicMs: () => 0 };

  it.each([
    ['Ed25519 and X25519', keys.orderServer, keys.holder, [keys.servers[0]!], keys.client],
    ['ES256 and P-256', keys.orderServerEc, keys.holderEc, [keys.serversEc[0]!], keys.clientEc],
    ['both curves', keys.orderServer, keys.holderEc, [keys.serversEc[1]!, keys.servers[1]!], keys.client],
  ])('opens what Python makes with %s', async (_name, signer, holder, servers, client) => {
    const template = vectors.tickets.good[0]!.claims as Record<string, unknown>;
    const { cnf: _cnf, ss: _ss, cph: _cph, ...claims } = template;
    const k = Buffer.alloc(32, 9).toString('base64url');
    const made = run('make', {
      claims,
      secret: { k, wm: 'wm-0001' },
      signer,
      holder,
      servers: servers.map((key) => ({ ...toPublicJwk(key), kid: key.kid })),
      client: toPublicJwk(client),
      proof: { htm: 'POST', htu: URL, iat: nowSeconds, nonce: 'insecure-test-nonce' },
    }) as { ticket: string; clientPart: string; proof: string };
    for (const server of servers) {
      const { claims: read, secret } = await openTicket(made.ticket, {
        keys: source,
        nowSeconds,
        serverId: 'edge-1',
        uri: '/live/concert',
        unsealKeys: [{ kid: server.kid, privateJwk: server }],
      });
      expect(secret.wm).toBe('wm-0001');
      expect(Buffer.from(secret.k ?? []).toString('base64url')).toBe(k);
      const clientKey = await openClientPart(made.clientPart, client, read);
      expect(Buffer.from(clientKey).toString('base64url')).toBe(k);
      const verifier = createProofVerifier({
        nonces: { current: () => '', isCurrent: (nonce) => nonce === 'insecure-test-nonce' },
        replay: createReplayMemory({ clock }),
        clock,
      });
      const jkt = read.cnf?.jkt ?? '';
      expect(jkt).toBe(thumbprint(holder));
      await verifier.verify({ proof: made.proof, method: 'POST', url: URL, ticket: made.ticket, jkt });
    }
  });
});
