import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hostOf, loadTls, selfSignedCertFile } from '../../plugin/tls.ts';

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

it.each([
  ['https://media.example:4001/x', 'media.example'],
  ['https://192.0.2.7', '192.0.2.7'],
  ['https://[2001:db8::7]:4000', '2001:db8::7'],
])('the host of %s is %s', (url, host) => {
  expect(hostOf(url)).toBe(host);
});
