/**
 * The order server's keys that a streaming server trusts: those whose fingerprints it was told when it enrolled, and
 * those that one of them has endorsed since (`key-endorsement.ts`).
 */
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { JWK } from 'jose';
import { z } from 'zod';
import { isEndorsed } from './key-endorsement.ts';
import type { Log } from './ports.ts';
import { signingJwkSchema } from './registration.ts';
import { thumbprint } from './ticket/index.ts';

const FILE = 'order-server.json';
const MAX_PINS = 64;

const pinsSchema = z.strictObject({
  issuer: z.string().max(500),
  fingerprints: z
    .array(z.string().regex(/^[A-Za-z0-9_-]{43}$/))
    .min(1)
    .max(MAX_PINS),
});
export type Pins = z.infer<typeof pinsSchema>;

/** @returns `null` when this server has not enrolled with an order server. @throws Error for a file that is not ours. */
export async function loadPins(dataDir: string): Promise<Pins | null> {
  const path = join(dataDir, FILE);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  const pins = pinsSchema.safeParse(JSON.parse(text));
  if (!pins.success) throw new Error(`${path} does not name an order server's keys`);
  return pins.data;
}

export async function savePins(dataDir: string, pins: Pins): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const path = join(dataDir, FILE);
  const draft = `${path}.${randomUUID()}`;
  await writeFile(draft, JSON.stringify(pins), { mode: 0o600, flag: 'wx' });
  await rename(draft, path);
}

const setSchema = z.object({ keys: z.array(z.unknown()).max(MAX_PINS) });
// Members that are nobody's business here are left where they are.
const keySchema = z.looseObject({ endorsement: z.string().max(1024).optional() });
const MEMBERS = ['kty', 'crv', 'x', 'y'] as const;

interface Candidate {
  readonly jwk: JWK;
  readonly fingerprint: string;
  readonly endorsement: string | undefined;
}

function candidateOf(key: unknown): Candidate | null {
  const parsed = keySchema.safeParse(key);
  if (!parsed.success) return null;
  const members = Object.fromEntries(
    MEMBERS.filter((name) => name in parsed.data).map((name) => [name, parsed.data[name]]),
  );
  const jwk = signingJwkSchema.safeParse(members);
  if (!jwk.success) return null;
  const { endorsement } = parsed.data;
  return { jwk: { ...parsed.data, ...jwk.data }, fingerprint: thumbprint(jwk.data), endorsement };
}

/** Which of `candidates` are pinned, or endorsed by one that is. */
async function trustedOf(candidates: readonly Candidate[], pins: Pins): Promise<Candidate[]> {
  const trusted = candidates.filter(({ fingerprint }) => pins.fingerprints.includes(fingerprint));
  // Each key that is trusted may bring others; each is asked once.
  for (let index = 0; index < trusted.length; index++) {
    const by = trusted[index];
    if (by === undefined) break;
    for (const candidate of candidates) {
      if (candidate.endorsement === undefined || trusted.includes(candidate)) continue;
      const { jwk, endorsement } = candidate;
      if (await isEndorsed(endorsement, { issuer: pins.issuer, jwk, by: by.jwk })) trusted.push(candidate);
    }
  }
  return trusted;
}

export interface PinningOptions {
  readonly dataDir: string;
  readonly pins: Pins;
  readonly log: Pick<Log, 'error' | 'info'>;
}

/**
 * Makes the filter of a fetched key set: what it answers holds trusted keys only, and may be empty. What it comes to
 * trust it writes down, so that it survives the key that endorsed it.
 */
export function createPinning({ dataDir, pins, log }: PinningOptions): (jwks: unknown) => Promise<unknown> {
  let known = pins;
  const refused = new Set<string>();

  return async (jwks) => {
    const set = setSchema.safeParse(jwks);
    if (!set.success) throw new TypeError('not a JWK set');
    const candidates = set.data.keys.map(candidateOf).filter((candidate) => candidate !== null);
    const trusted = await trustedOf(candidates, known);
    for (const { fingerprint } of candidates.filter((candidate) => !trusted.includes(candidate))) {
      if (refused.has(fingerprint) || refused.size >= MAX_PINS) continue;
      refused.add(fingerprint);
      log.error(
        { fingerprint },
        'a key of the order server is refused: it is not pinned, and no pinned one endorses it',
      );
    }
    const fresh = trusted
      .map(({ fingerprint }) => fingerprint)
      .filter((fingerprint) => !known.fingerprints.includes(fingerprint));
    if (fresh.length > 0) {
      // The old ones stay: an old copy of the set, served again, must not make this server forget the new ones.
      known = { ...known, fingerprints: [...known.fingerprints, ...fresh].slice(-MAX_PINS) };
      log.info({ fingerprints: fresh }, 'the order server has a new key, endorsed by the one before it');
      await savePins(dataDir, known).catch(() => {
        log.error({ fingerprints: fresh }, "the order server's new key could not be written down");
      });
    }
    return { keys: trusted.map(({ jwk }) => jwk) };
  };
}
