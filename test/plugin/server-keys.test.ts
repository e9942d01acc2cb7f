import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createKeyVault } from '../../plugin/key-vault.ts';
import {
  keyFilePath,
  loadOrCreateServerKeys,
  makePair,
  readKeyFile,
  writeKeyFile,
} from '../../plugin/server-keys.ts';
import { generateSealingKey, generateSigningKey } from '../../plugin/ticket/index.ts';

const URL = 'https://media.example';
const setting = 'USHER_MEDIA_MASTER_KEY';
const bare = createKeyVault({ setting });
let root: string;
let dataDir: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'usher-server-keys-'));
  dataDir = join(root, 'media');
});
afterEach(() => rm(root, { recursive: true, force: true }));

const load = (vault = bare) => loadOrCreateServerKeys(dataDir, 'ss-1', URL, vault);
const text = () => readFile(keyFilePath(dataDir), 'utf8');

it('are made once, and kept from others', async () => {
  const first = await load();
  const second = await load();
  expect(second.registration).toEqual(first.registration);
  expect((await stat(keyFilePath(dataDir))).mode & 0o777).toBe(0o600);
  expect((await stat(dataDir)).mode & 0o777).toBe(0o700);
  expect(await readdir(dataDir)).toEqual(['server-keys.json']);
  expect(JSON.stringify(first.registration)).not.toContain('"d"');
});

it('are the same for processes that start at once', async () => {
  const all = await Promise.all(Array.from({ length: 10 }, () => load()));
  expect(new Set(all.map(({ signing }) => signing.kid)).size).toBe(1);
  expect(await readdir(dataDir)).toEqual(['server-keys.json']);
});

it('are read from a file of the form before rotation', async () => {
  await load();
  const [signing, sealing] = await Promise.all([generateSigningKey(), generateSealingKey()]);
  const before = { signing: signing.privateJwk, sealing: sealing.privateJwk };
  await writeFile(keyFilePath(dataDir), JSON.stringify(before));
  const keys = await load();
  expect([keys.signing.kid, keys.sealing.kid]).toEqual([signing.kid, sealing.kid]);
});

it('are encrypted with a master key, those that lay there too, and change over to another', async () => {
  const plain = await load();
  const secret = plain.signing.privateJwk.d ?? '';
  expect(await text()).toContain(secret);
  const [masterKey, next] = [randomBytes(32), randomBytes(32)];
  const sealed = await load(createKeyVault({ setting, masterKey }));
  expect(sealed.registration).toEqual(plain.registration);
  expect(await text()).not.toContain(secret);
  await expect(load()).rejects.toThrow(/USHER_MEDIA_MASTER_KEY must be set/);
  await expect(load(createKeyVault({ setting, masterKey: next }))).rejects.toThrow(/another master key/);
  await load(createKeyVault({ setting, masterKey: next, oldMasterKey: masterKey }));
  expect((await load(createKeyVault({ setting, masterKey: next }))).registration).toEqual(plain.registration);
  await expect(load(createKeyVault({ setting, masterKey }))).rejects.toThrow(/another master key/);
});

it('open tickets with the key before, until it has run out, and with the next one', async () => {
  const keys = await load();
  const path = keyFilePath(dataDir);
  const [old, gone, next] = await Promise.all([makePair(bare), makePair(bare), makePair(bare)]);
  const nowSeconds = Date.now() / 1000;
  await writeKeyFile(path, {
    ...(await readKeyFile(path)),
    next,
    previous: [
      { until: nowSeconds + 60, sealing: old.sealing },
      { until: nowSeconds - 1, sealing: gone.sealing },
    ],
  });
  const list = keys.unsealKeys;
  await keys.reload();
  expect(keys.unsealKeys).toBe(list);
  expect(list.map(({ kid }) => kid)).toEqual([keys.sealing.kid, next.sealing.kid, old.sealing.kid]);
});

it('are read anew when their file changes', async () => {
  const keys = await load();
  const changed = Promise.withResolvers<object>();
  const stop = keys.watch({ info: changed.resolve, error: changed.reject });
  try {
    const path = keyFilePath(dataDir);
    const current = await makePair(bare);
    await writeKeyFile(path, { ...(await readKeyFile(path)), current });
    expect(await changed.promise).toEqual({ signing: current.signing.kid });
    expect(keys.signing.kid).toBe(current.signing.kid);
    expect(keys.registration.sealingKey.kid).toBe(current.sealing.kid);
  } finally {
    stop();
  }
});

it('stay as they were when the file is damaged', async () => {
  const keys = await load();
  const { kid } = keys.signing;
  await writeFile(keyFilePath(dataDir), '{}');
  await expect(keys.reload()).rejects.toThrow(/not a key file/);
  expect(keys.signing.kid).toBe(kid);
  expect(keys.unsealKeys).toHaveLength(1);
  await expect(load()).rejects.toThrow(/not a key file/);
});
