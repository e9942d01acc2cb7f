/**
 * RFC 7520, the JOSE cookbook, as far as it has what tickets use. It has neither Ed25519 nor ES256 (see RFC 8037 and
 * RFC 7515 appendix A.3), and no content by A256GCM under ECDH-ES; but key agreement, derivation and unwrapping of
 * section 5.13's second recipient are the very ECDH-ES+A256KW with a 256-bit content key, on another curve.
 */
import { createDecipheriv, createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto';
import { compactDecrypt, importJWK } from 'jose';
import { expect, it } from 'vitest';
import { concatKdf, unwrapKey } from '../../plugin/ticket/ecdh-es.ts';

/** Peregrin Took's key of sections 5.4.1 and 5.13.1. */
const TOOK = {
  kty: 'EC',
  crv: 'P-384',
  x: 'YU4rRUzdmVqmRtWOs2OpDE_T5fsNIodcG8G5FWPrTPMyxpzsSOGaQLpe2FpxBmu2',
  y: 'A8-yxCHxkfBz3hKZfI1jUYMjUhsEveZ9THuwFjH2sCNdtksRJU7D5-SkgaFL1ETP',
  d: 'iTx2pk7wW-GqJkHcEkFQb2EFyYcO7RugmaW3mRrQVAOUiPommT0IdnYK2xDlZh-j',
};

const agree = (epk: { kty: string; crv: string; x: string; y: string }) =>
  diffieHellman({
    privateKey: createPrivateKey({ key: TOOK, format: 'jwk' }),
    publicKey: createPublicKey({ key: epk, format: 'jwk' }),
  });

it('the content key of section 5.13.4, ECDH-ES+A256KW, is agreed, derived and unwrapped', () => {
  const secret = agree({
    kty: 'EC',
    crv: 'P-384',
    x: 'Uzdvk3pi5wKCRc1izp5_r0OjeqT-I68i8g2b8mva8diRhsE2xAn2DtMRb25Ma2CX',
    y: 'VDrRyFJh-Kwd1EjAgmj5Eo-CTHAZ53MC7PjjpLioy3ylEjI1pOMbw91fzZ84pbfm',
  });
  const wrappingKey = concatKdf(secret, { algorithmId: 'ECDH-ES+A256KW', keyBytes: 32 });
  const wrapped = Buffer.from('ExInT0io9BqBMYF6-maw5tZlgoZXThD1zWKsHixJuw_elY4gSSId_w', 'base64url');
  expect(unwrapKey(wrappingKey, wrapped).toString('base64url')).toBe(
    'zXayeJ4gvm8NJr3IUInyokTUO-LbQNKEhe_zWlYbdpQ',
  );
});

/** Section 5.4.5. */
const EPK_54 = {
  kty: 'EC',
  crv: 'P-384',
  x: 'uBo4kHPw6kbjx5l0xowrd_oYzBmaz-GKFZu4xAFFkbYiWgutEK6iuEDsQ6wNdNg3',
  y: 'sp3p5SGhZVC2faXumI-e9JU2Mo8KpoYrFDr5yPNVtW4PgEwZOyQTA-JdaY8tb7E0',
};
const COMPACT_54 = [
  'eyJhbGciOiJFQ0RILUVTK0ExMjhLVyIsImtpZCI6InBlcmVncmluLnRvb2tAdHVja2Jvcm91Z2guZXhhbXBsZSIsImVwayI6eyJrdHkiOiJFQyIsI' +
    'mNydiI6IlAtMzg0IiwieCI6InVCbzRrSFB3Nmtiang1bDB4b3dyZF9vWXpCbWF6LUdLRlp1NHhBRkZrYllpV2d1dEVLNml1RURzUTZ3TmROZzMiLC' +
    'J5Ijoic3AzcDVTR2haVkMyZmFYdW1JLWU5SlUyTW84S3BvWXJGRHI1eVBOVnRXNFBnRXdaT3lRVEEtSmRhWTh0YjdFMCJ9LCJlbmMiOiJBMTI4R0N' +
    'NIn0',
  '0DJjBXri_kBcC46IkU5_Jk9BqaQeHdv2',
  'mH-G2zVqgztUtnW_',
  'tkZuOO9h95OgHJmkkrfLBisku8rGf6nzVxhRM3sVOhXgz5NJ76oID7lpnAi_cPWJRCjSpAaUZ5dOR3Spy7QuEkmKx8-3RCMhSYMzsXaEwDdXta9Mn5' +
    'B7cCBoJKB0IgEnj_qfo1hIi-uEkUpOZ8aLTZGHfpl05jMwbKkTe2yK3mjF6SBAsgicQDVCkcY9BLluzx1RmC3ORXaM0JaHPB93YcdSDGgpgBWMVrN' +
    'U1ErkjcMqMoT_wtCex3w03XdLkjXIuEr2hWgeP-nkUZTPU9EoGSPj6fAS-bSz87RCPrxZdj_iVyC6QWcqAu07WNhjzJEPc4jVntRJ6K53NgPQ5p99' +
    'l3Z408OUqj4ioYezbS6vTPlQ',
  'WuGzxmcreYjpHGJoa17EBg',
] as const;

it('the key of section 5.4, ECDH-ES+A128KW, is derived by our derivation, and opens the content with its header', async () => {
  const [head, wrapped, iv, ciphertext, tag] = COMPACT_54;
  const wrappingKey = concatKdf(agree(EPK_54), { algorithmId: 'ECDH-ES+A128KW', keyBytes: 16 });
  const unwrap = createDecipheriv('id-aes128-wrap', wrappingKey, Buffer.alloc(8, 0xa6));
  const key = Buffer.concat([unwrap.update(Buffer.from(wrapped, 'base64url')), unwrap.final()]);
  expect(key.toString('base64url')).toBe('Nou2ueKlP70ZXDbq9UrRwg');
  const decipher = createDecipheriv('aes-128-gcm', key, Buffer.from(iv, 'base64url'));
  decipher.setAuthTag(Buffer.from(tag, 'base64url')).setAAD(Buffer.from(head));
  const text = Buffer.concat([decipher.update(Buffer.from(ciphertext, 'base64url')), decipher.final()]);
  const byJose = await compactDecrypt(COMPACT_54.join('.'), await importJWK(TOOK, 'ECDH-ES+A128KW'));
  expect(text.equals(byJose.plaintext)).toBe(true);
  expect(text.toString()).toMatch(
    /^You can trust us to stick with you through thick and thin–to the bitter end/,
  );
});
