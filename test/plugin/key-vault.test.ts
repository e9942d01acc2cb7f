import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  createKeyVault,
  generateMasterKey,
  masterKeySchema,
  sealedKeySchema,
  type SealedKey,
} from '../../plugin/key-vault.ts';
import { generateSealingKey, generateSigningKey, type SigningKeyPair } from '../../plugin/ticket/index.ts';

const setting = 'USHER_MASTER_KEY';
const [master, other] = [randomBytes(32), randomBytes(32)];
const vault = createKeyVault({ setting, masterKey: master });
let key: SigningKeyPair;
let sealed: SealedKey;
beforeAll(async () => {
  key = await generateSigningKey();
  sealed = sealedKeySchema.parse(await vault.seal(key.privateJwk));
});

describe('a private key under a master key', () => {
  it('comes out as it went in, for every kind of key', async () => {
    const keys = await Promise.all([
      generateSigningKey('Ed25519'),
      generateSigningKey('ES256'),
      generateSealingKey('X25519'),
      generateSealingKey('P-256'),
    ]);
    for (const { kid, privateJwk } of keys) {
      const stored = await vault.seal(privateJwk);
      expect(JSON.stringify(stored)).not.toContain(privateJwk.d);
      expect(await vault.open(stored, kid)).toEqual({ jwk: privateJwk, isStale: false });
    }
  });

  it('never looks the same twice', async () => {
    expect(await vault.seal(key.privateJwk)).not.toEqual(sealed);
  });

  it('names the master key that it needs, and nothing of it', async () => {
    const again = sealedKeySchema.parse(await vault.seal(key.privateJwk));
    expect(again.protected).toBe(sealed.protected);
    expect(JSON.stringify(again)).not.toContain(master.toString('base64url'));
  });

  it.each([
    ['without a master key', {}, /is encrypted: USHER_MASTER_KEY must be set/],
    ['under another one', { masterKey: other }, /under another master key than USHER_MASTER_KEY/],
    [
      'under another one and an old one that is not it either',
      { masterKey: other, oldMasterKey: randomBytes(32) },
      /USHER_MASTER_KEY_OLD/,
    ],
  ])('does not open %s, and says so without a key', async (_name, keys, message) => {
    const opening = createKeyVault({ setting, ...keys }).open(sealed, key.kid);
    await expect(opening).rejects.toThrow(message);
    await expect(opening).rejects.not.toThrow(new RegExp(key.privateJwk.d ?? '-'));
  });

  it('opens under the old master key, and says that it should be sealed anew', async () => {
    const changing = createKeyVault({ setting, masterKey: other, oldMasterKey: master });
    const opened = await changing.open(sealed, key.kid);
    expect(opened).toEqual({ jwk: key.privateJwk, isStale: true });
    const anew = await changing.seal(opened.jwk);
    await expect(vault.open(anew, key.kid)).rejects.toThrow(/another master key/);
    expect(await createKeyVault({ setting, masterKey: other }).open(anew, key.kid)).toMatchObject({
      isStale: false,
    });
  });

  it('cannot stand in the place of another key', async () => {
    const second = await generateSigningKey();
    await expect(vault.open(sealed, second.kid)).rejects.toThrow(/does not open/);
    const renamed = { ...sealed, aad: Buffer.from(second.kid).toString('base64url') };
    await expect(vault.open(renamed, second.kid)).rejects.toThrow(/does not open/);
  });

  it('does not open once any character of it is another one', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('aad', 'iv', 'ciphertext', 'tag', 'protected' as const),
        fc.nat(),
        async (member, position) => {
          const text = sealed[member];
          const at = position % text.length;
          const swapped = text[at] === 'A' ? 'B' : 'A';
          const changed = { ...sealed, [member]: text.slice(0, at) + swapped + text.slice(at + 1) };
          // The unused bits of a last character may be read as zero.
          if (Buffer.from(changed[member], 'base64url').equals(Buffer.from(text, 'base64url'))) return;
          await expect(vault.open(changed, key.kid)).rejects.toThrow();
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('a private key as it is', () => {
  it('is kept so without a master key', async () => {
    const bare = createKeyVault({ setting });
    expect(bare.isSealing).toBe(false);
    expect(await bare.seal(key.privateJwk)).toEqual(key.privateJwk);
    expect(await bare.open(key.privateJwk, key.kid)).toEqual({ jwk: key.privateJwk, isStale: false });
  });

  it('is to be sealed as soon as there is one', async () => {
    expect(await vault.open(key.privateJwk, key.kid)).toEqual({ jwk: key.privateJwk, isStale: true });
  });

  it('must have the id that it is looked for under', async () => {
    await expect(vault.open(key.privateJwk, 'other')).rejects.toThrow(/another id/);
  });
});

describe('a master key', () => {
  it('is 32 bytes in base64url, new each time', () => {
    const text = generateMasterKey();
    expect(masterKeySchema.parse(text)).toHaveLength(32);
    expect(generateMasterKey()).not.toBe(text);
  });

  it.each([
    '',
    'a'.repeat(42),
    'a'.repeat(44),
    `${'A'.repeat(42)}B`,
    `${'A'.repeat(42)}+`,
    `${'A'.repeat(43)}=`,
  ])('is not %j, and the message does not repeat it', (text) => {
    const parsed = masterKeySchema.safeParse(text);
    expect(parsed.success).toBe(false);
    if (text !== '') expect(parsed.error?.message).not.toContain(text);
  });
});
