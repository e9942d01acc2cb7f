/** The keys of one streaming server, made at its first start and kept in its data directory. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { JWK } from 'jose';
import { z } from 'zod';
import type { UnsealKey } from './ports.ts';
import {
  generateSealingKey,
  generateSigningKey,
  importSigningKey,
  toPublicJwk,
  type SigningKey,
} from './ticket/index.ts';

export interface ServerKeys {
  /** Signs messages to the order server. */
  readonly signing: SigningKey;
  /** Opens the streaming-server part of tickets. */
  readonly sealing: UnsealKey;
  /** What the order server registers. */
  readonly registration: {
    readonly id: string;
    readonly publicUrl: string;
    readonly signingKey: JWK;
    readonly sealingKey: JWK;
  };
}

const FILE = 'server-keys.json';
const OWNER_ONLY = 0o600;

const storedSchema = z.strictObject({
  signing: z.record(z.string(), z.unknown()),
  sealing: z.record(z.string(), z.unknown()),
});

async function readOrCreate(path: string): Promise<z.infer<typeof storedSchema>> {
  const [signing, sealing] = await Promise.all([generateSigningKey(), generateSealingKey()]);
  const fresh = {
    signing: { ...signing.privateJwk },
    sealing: { ...sealing.privateJwk },
  };
  try {
    // `wx`: of two processes that start at once, one writes and the other reads what it wrote.
    await writeFile(path, JSON.stringify(fresh), { mode: OWNER_ONLY, flag: 'wx' });
    return fresh;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const stored = storedSchema.safeParse(JSON.parse(await readFile(path, 'utf8')));
  if (!stored.success) throw new Error(`${path} is not a key file of a media server`);
  return stored.data;
}

/**
 * @param dataDir made when missing, for its owner only
 * @throws Error when the key file cannot be read or is not one
 */
export async function loadOrCreateServerKeys(
  dataDir: string,
  id: string,
  publicUrl: string,
): Promise<ServerKeys> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const stored = await readOrCreate(join(dataDir, FILE));
  const signing = await importSigningKey(stored.signing);
  const sealing = stored.sealing as JWK & { kid: string };
  return {
    signing,
    sealing: { kid: sealing.kid, privateJwk: sealing },
    registration: { id, publicUrl, signingKey: signing.publicJwk, sealingKey: toPublicJwk(sealing) },
  };
}
