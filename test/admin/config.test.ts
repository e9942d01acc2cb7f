import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { readConfig } from '../../admin/config.ts';
import { createThrottle } from '../../admin/http/throttle.ts';
import { readMediaConfig } from '../../plugin/config.ts';
import { ALL_SETTINGS, checkSettings } from '../../plugin/settings.ts';
import { loadTls, selfSignedCertFile } from '../../plugin/tls.ts';

it('has a default for every setting', () => {
  expect(readConfig({})).toEqual({
    port: 4000,
    host: '127.0.0.1',
    publicUrl: 'http://localhost:4000',
    dataDir: '.usher',
    trustedProxies: 0,
    tls: 'off',
    tlsCertFile: undefined,
    tlsKeyFile: undefined,
    logLevel: 'info',
    demo: false,
    demoServerFile: undefined,
    databaseUrl: undefined,
    masterKey: undefined,
    oldMasterKey: undefined,
    smtpUrl: undefined,
    mailFrom: 'usher@localhost',
    countryHeader: undefined,
    drainSeconds: 0,
    introspection: true,
    testCardSecret: undefined,
  });
});

it('mails from the host that the world sees, unless it is told another address', () => {
  const env = { USHER_PUBLIC_URL: 'https://shop.example/tv', USHER_SMTP_URL: 'smtps://u:p@mail.example' };
  expect(readConfig(env)).toMatchObject({
    smtpUrl: 'smtps://u:p@mail.example',
    mailFrom: 'usher@shop.example',
  });
  expect(readConfig({ ...env, USHER_MAIL_FROM: 'tv@b.example' }).mailFrom).toBe('tv@b.example');
});

it('speaks https with a certificate, and says which', () => {
  expect(readConfig({ USHER_TLS: 'self-signed', USHER_DATA: '/d' })).toMatchObject({
    publicUrl: 'https://localhost:4000',
    tlsCertFile: '/d/tls/cert.pem',
  });
});

it.each([
  [{ USHER_PORT: 'x' }, /^USHER_PORT: /],
  [{ USHER_PORT: '65536' }, /^USHER_PORT: /],
  [{ USHER_PUBLIC_URL: 'ftp://x' }, /^USHER_PUBLIC_URL: /],
  [{ USHER_DEMO: 'yes' }, /^USHER_DEMO: /],
  [{ USHER_TLS: 'files' }, /^USHER_TLS_CERT: .*\nUSHER_TLS_KEY: /],
  [{ USHER_TRUSTED_PROXIES: '-1' }, /^USHER_TRUSTED_PROXIES: /],
  [{ USHER_COUNTRY_HEADER: 'CF-IPCountry' }, /^USHER_TRUSTED_PROXIES: USHER_COUNTRY_HEADER needs it/],
  [{ USHER_COUNTRY_HEADER: 'a: b', USHER_TRUSTED_PROXIES: '1' }, /^USHER_COUNTRY_HEADER: /],
  [{ DATABASE_URL: 'mysql://root:secret@x/y' }, /^DATABASE_URL: (?!.*secret)/],
  [{ USHER_SMTP_URL: 'https://user:secret@mail.example' }, /^USHER_SMTP_URL: (?!.*secret)/],
  [{ USHER_MAIL_FROM: 'a@b.example\r\nBcc: x@y.example' }, /^USHER_MAIL_FROM: (?!.*Bcc)/],
  [{ USHER_MASTER_KEY: 'too short' }, /^USHER_MASTER_KEY: 32 bytes in base64url(?!.*too short)/],
  [{ USHER_MASTER_KEY_OLD: 'A'.repeat(43) }, /^USHER_MASTER_KEY: /],
  [{ USHER_PROT: '1' }, /^USHER_PROT is not a setting; did you mean USHER_PORT\?$/],
  [
    { USHER_PORT: 'x', USHER_DEMOO: '1' },
    /^USHER_DEMOO is not a setting; did you mean USHER_DEMO\?\nUSHER_PORT: /,
  ],
])('refuses %j with one clear line each', (env, message) => {
  expect(() => readConfig(env)).toThrow(message);
});

it('suggests nothing for what resembles nothing, and never shows a value', () => {
  expect(checkSettings({ USHER_SOMETHING_ELSE_ENTIRELY: 'secret', PATH: '/bin' })).toEqual([
    'USHER_SOMETHING_ELSE_ENTIRELY is not a setting',
  ]);
});

it('knows the settings of both servers', () => {
  const media = Object.keys(readMediaConfig({})).filter((name) => name.startsWith('USHER_'));
  expect(media.filter((name) => !ALL_SETTINGS.includes(name))).toEqual([]);
});

it('makes a certificate for localhost once, and keeps its key from others', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'usher-tls-'));
  try {
    const first = await loadTls({ mode: 'self-signed', dataDir });
    const second = await loadTls({ mode: 'self-signed', dataDir });
    expect(second).toEqual(first);
    expect(new X509Certificate(first!.cert).checkHost('localhost')).toBe('localhost');
    expect(new X509Certificate(first!.cert).checkIP('127.0.0.1')).toBe('127.0.0.1');
    for (const file of [selfSignedCertFile(dataDir), join(dataDir, 'tls', 'key.pem')]) {
      expect((await stat(file)).mode & 0o777).toBe(0o600);
    }
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
});

it('needs no certificate without TLS, and both files with them', async () => {
  expect(await loadTls({ mode: 'off', dataDir: '/nowhere' })).toBeNull();
  await expect(loadTls({ mode: 'files', dataDir: '/nowhere' })).rejects.toThrow(/USHER_TLS_CERT/);
  await expect(
    loadTls({ mode: 'files', dataDir: '/nowhere', certFile: '/nowhere/c', keyFile: '/nowhere/k' }),
  ).rejects.toThrow(/ENOENT/);
});

it('throttles by key, refills with time, and remembers a bounded number of keys', () => {
  let nowMs = 0;
  const throttle = createThrottle({ burst: 2, refillSeconds: 10, maxKeys: 2 }, () => nowMs);
  const take = (key: string) => {
    try {
      throttle.take(key);
      return 'ok';
    } catch (error) {
      return (error as { retryAfterSeconds?: number }).retryAfterSeconds;
    }
  };
  expect([take('a'), take('a'), take('a'), take('b')]).toEqual(['ok', 'ok', 10, 'ok']);
  nowMs = 10_000;
  expect([take('a'), take('a')]).toEqual(['ok', 10]);
  take('c');
  take('d');
  // Forgotten, hence new: the memory is bounded, the price is a burst.
  expect(take('a')).toBe('ok');
});
