import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hostOf, loadTls, selfSignedCertFile, tlsFiles, type TlsOptions } from '../../plugin/tls.ts';

let dataDir: string;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'usher-tls-'));
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

const load = async (hosts?: string[]): Promise<X509Certificate> => {
  const tls = await loadTls({ mode: 'self-signed', dataDir, ...(hosts === undefined ? {} : { hosts }) });
  return new X509Certificate(tls?.cert ?? '');
};

describe('a self-signed certificate', () => {
  it('is for loopback and for the hosts that are named', async () => {
    const made = await load(['media.example', '192.0.2.7', '2001:db8::7']);
    for (const name of ['localhost', 'media.example']) expect(made.checkHost(name)).toBe(name);
    for (const ip of ['127.0.0.1', '192.0.2.7', '2001:db8::7']) expect(made.checkIP(ip)).toBe(ip);
    expect(made.checkHost('elsewhere.example')).toBeUndefined();
  });

  it('is kept, also for a server that needs less of it, and made anew when a host is missing', async () => {
    const first = await load(['media.example', '192.0.2.7']);
    expect((await load(['192.0.2.7'])).fingerprint256).toBe(first.fingerprint256);
    const second = await load(['192.0.2.8']);
    expect(second.fingerprint256).not.toBe(first.fingerprint256);
    expect(second.checkIP('192.0.2.8')).toBe('192.0.2.8');
  });

  it('is for its owner’s eyes only', async () => {
    await load();
    for (const file of [selfSignedCertFile(dataDir), join(dataDir, 'tls', 'key.pem')]) {
      expect((await stat(file)).mode & 0o077).toBe(0);
    }
  });
});

describe('the files of a certificate, for hosts that read them themselves', () => {
  it('are those that were loaded', async () => {
    const made: TlsOptions = { mode: 'self-signed', dataDir };
    const tls = await loadTls(made);
    const files = tlsFiles(made);
    expect(await readFile(files?.cert ?? '', 'utf8')).toBe(tls?.cert);
    expect(await readFile(files?.key ?? '', 'utf8')).toBe(tls?.key);
    const named: TlsOptions = { mode: 'files', dataDir, certFile: files?.cert, keyFile: files?.key };
    expect(tlsFiles(named)).toEqual(files);
    expect(await loadTls(named)).toEqual(tls);
  });

  it('are none without TLS, and an error when they are not named', () => {
    expect(tlsFiles({ mode: 'off', dataDir })).toBeNull();
    expect(() => tlsFiles({ mode: 'files', dataDir, certFile: 'c' })).toThrow(/USHER_TLS_KEY/);
  });
});

it.each([
  ['https://media.example:4001/x', 'media.example'],
  ['https://192.0.2.7', '192.0.2.7'],
  ['https://[2001:db8::7]:4000', '2001:db8::7'],
])('the host of %s is %s', (url, host) => {
  expect(hostOf(url)).toBe(host);
});
