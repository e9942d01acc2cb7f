/**
 * The keys of one streaming server, made at its first start and kept in its data directory: one that signs, one that
 * tickets are sealed to, and those before it for as long as tickets are sealed to them.
 */
import { unwatchFile, watchFile } from 'node:fs';
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { JWK } from 'jose';
import { z } from 'zod';
import { createKeyVault, type KeyVault } from './key-vault.ts';
import type { Log, UnsealKey } from './ports.ts';
import {
  generateSealingKey,
  generateSigningKey,
  importSigningKey,
  toPublicJwk,
  type SigningKeyPair,
} from './ticket/index.ts';

export interface ServerKeys {
  /** Signs messages to the order server. */
  readonly signing: SigningKeyPair;
  /** Opens the streaming-server part of tickets. */
  readonly sealing: UnsealKey;
  /** All that open tickets, `sealing` first; one list, which `reload` changes in place. */
  readonly unsealKeys: readonly UnsealKey[];
  /** What the order server registers. */
  readonly registration: {
    readonly id: string;
    readonly publicUrl: string;
    readonly signingKey: JWK;
    readonly sealingKey: JWK;
  };
  /** Reads the file again. @throws Error when it cannot be read; then the keys stay as they were. */
  reload(): Promise<void>;
  /** Reads the file again whenever it changes; answers how to stop. */
  watch(log: Pick<Log, 'info' | 'error'>): () => void;
}

const FILE = 'server-keys.json';
const OWNER_ONLY = 0o600;
/** How often a running server looks whether its key file has changed. */
export const LOOK_EVERY_MS = 1000;
/** Of sealing keys that have been replaced; a rotation that would make more is refused. */
export const MAX_PREVIOUS = 16;

const entrySchema = z.strictObject({ kid: z.string().max(100), key: z.record(z.string(), z.unknown()) });
type Entry = z.infer<typeof entrySchema>;
const pairSchema = z.strictObject({ signing: entrySchema, sealing: entrySchema });

const fileSchema = z.strictObject({
  version: z.literal(2),
  current: pairSchema,
  /** Made, and perhaps known to the order server already: a rotation that is not over. */
  next: pairSchema.nullable(),
  /** Sealing keys before the current one; `until` in Unix seconds. */
  previous: z.array(z.strictObject({ until: z.number(), sealing: entrySchema })).max(MAX_PREVIOUS),
});
export type KeyFile = z.infer<typeof fileSchema>;

/** As it was written before keys could be rotated. */
const plainPairSchema = z.strictObject({
  signing: z.looseObject({ kid: z.string() }),
  sealing: z.looseObject({ kid: z.string() }),
});

async function entryOf(jwk: JWK, vault: KeyVault): Promise<Entry> {
  return { kid: jwk.kid ?? '', key: { ...(await vault.seal(jwk)) } };
}

/** A new pair of keys as it is kept. */
export async function makePair(vault: KeyVault): Promise<z.infer<typeof pairSchema>> {
  const [signing, sealing] = await Promise.all([generateSigningKey(), generateSealingKey()]);
  return {
    signing: await entryOf(signing.privateJwk, vault),
    sealing: await entryOf(sealing.privateJwk, vault),
  };
}

export const keyFilePath = (dataDir: string): string => join(dataDir, FILE);

/** @throws Error when it cannot be read or is not a key file */
export async function readKeyFile(path: string): Promise<KeyFile> {
  const content: unknown = JSON.parse(await readFile(path, 'utf8'));
  const stored = fileSchema.safeParse(content);
  if (stored.success) return stored.data;
  const plain = plainPairSchema.safeParse(content);
  if (!plain.success) throw new Error(`${path} is not a key file of a media server`);
  const { signing, sealing } = plain.data;
  const current = {
    signing: { kid: signing.kid, key: signing },
    sealing: { kid: sealing.kid, key: sealing },
  };
  return { version: 2, current, next: null, previous: [] };
}

/** Replaces the key file as a whole: who reads it sees the old or the new one. For its owner only. */
export async function writeKeyFile(path: string, content: KeyFile): Promise<void> {
  const draft = `${path}.${randomUUID()}`;
  await writeFile(draft, JSON.stringify(content), { mode: OWNER_ONLY, flag: 'wx' });
  await rename(draft, path);
}

async function readOrCreate(path: string, vault: KeyVault): Promise<KeyFile> {
  try {
    return await readKeyFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const fresh: KeyFile = { version: 2, current: await makePair(vault), next: null, previous: [] };
  const draft = `${path}.${randomUUID()}`;
  await writeFile(draft, JSON.stringify(fresh), { mode: OWNER_ONLY, flag: 'wx' });
  try {
    // Of two processes that start at once, one gives the file its name and the other reads it.
    await link(draft, path);
    return fresh;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return await readKeyFile(path);
  } finally {
    await rm(draft, { force: true });
  }
}

export interface OpenedPair {
  readonly signing: SigningKeyPair;
  readonly sealing: UnsealKey;
}

const openEntry = async ({ kid, key }: Entry, vault: KeyVault) => vault.open(key, kid);

export async function openSealing(entry: Entry, vault: KeyVault): Promise<UnsealKey> {
  const { jwk } = await openEntry(entry, vault);
  return { kid: entry.kid, privateJwk: jwk };
}

/** @throws Error when a key does not open (`KeyVault.open`) */
export async function openPair(pair: z.infer<typeof pairSchema>, vault: KeyVault): Promise<OpenedPair> {
  const { jwk } = await openEntry(pair.signing, vault);
  return { signing: await importSigningKey(jwk), sealing: await openSealing(pair.sealing, vault) };
}

/** The file with every key sealed as the vault does now, or `null` when that is how they lie there. */
async function resealed(file: KeyFile, vault: KeyVault): Promise<KeyFile | null> {
  const changed: string[] = [];
  const anew = async (entry: Entry): Promise<Entry> => {
    const opened = await openEntry(entry, vault);
    if (!opened.isStale) return entry;
    changed.push(entry.kid);
    return entryOf(opened.jwk, vault);
  };
  const pair = async ({ signing, sealing }: z.infer<typeof pairSchema>) => ({
    signing: await anew(signing),
    sealing: await anew(sealing),
  });
  const copy: KeyFile = {
    version: 2,
    current: await pair(file.current),
    next: file.next === null ? null : await pair(file.next),
    previous: await Promise.all(
      file.previous.map(async ({ until, sealing }) => ({ until, sealing: await anew(sealing) })),
    ),
  };
  return changed.length > 0 ? copy : null;
}

/**
 * @param dataDir made when missing, for its owner only
 * @throws Error when the key file cannot be read or is not one, or a key does not open
 */
export async function loadOrCreateServerKeys(
  dataDir: string,
  id: string,
  publicUrl: string,
  vault: KeyVault = createKeyVault({ setting: 'USHER_MEDIA_MASTER_KEY' }),
): Promise<ServerKeys> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const path = keyFilePath(dataDir);
  const unsealKeys: UnsealKey[] = [];

  async function open(file: KeyFile): Promise<OpenedPair> {
    const current = await openPair(file.current, vault);
    const nowSeconds = Date.now() / 1000;
    const others = [
      // The order server may seal to the next key before this process hears that it does.
      ...(file.next === null ? [] : [file.next.sealing]),
      ...file.previous.filter(({ until }) => until > nowSeconds).map(({ sealing }) => sealing),
    ];
    const opened = await Promise.all(others.map((entry) => openSealing(entry, vault)));
    unsealKeys.splice(0, Infinity, current.sealing, ...opened);
    return current;
  }

  const file = await readOrCreate(path, vault);
  const sealedAnew = await resealed(file, vault);
  if (sealedAnew !== null) await writeKeyFile(path, sealedAnew);
  let pair = await open(sealedAnew ?? file);

  const reload = async (): Promise<void> => {
    pair = await open(await readKeyFile(path));
  };
  return {
    get signing() {
      return pair.signing;
    },
    get sealing() {
      return pair.sealing;
    },
    unsealKeys,
    get registration() {
      const { signing, sealing } = pair;
      return {
        ...{ id, publicUrl },
        signingKey: signing.publicJwk,
        sealingKey: toPublicJwk(sealing.privateJwk),
      };
    },
    reload,
    watch(log) {
      const complain = (error: unknown): void =>
        log.error({ reason: error instanceof Error ? error.message : '' }, 'the key file cannot be read');
      const changed = (): void => {
        reload().then(
          () => log.info({ signing: pair.signing.kid }, "this server's keys were read anew"),
          complain,
        );
      };
      watchFile(path, { interval: LOOK_EVERY_MS, persistent: false }, changed);
      // What changed since it was read first is not told of.
      reload().catch(complain);
      return () => unwatchFile(path, changed);
    },
  };
}
