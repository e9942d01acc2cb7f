/** Certificate and key of a server: none, the operator's files, or made here. */
import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { generate } from 'selfsigned';

export interface TlsOptions {
  readonly mode: 'off' | 'self-signed' | 'files';
  /** PEM files, for `files`. */
  readonly certFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** A made certificate is kept in `tls/` of this directory. */
  readonly dataDir: string;
  /** Names and addresses that a made certificate is for, beside those of loopback. */
  readonly hosts?: readonly string[];
}

export interface Tls {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
}

const DAY_MS = 24 * 3600 * 1000;
const VALID_DAYS = 365;
/** A certificate that ends within this is made anew at the next start. */
const RENEW_BEFORE_DAYS = 30;
const LOOPBACK = ['localhost', '127.0.0.1', '::1'];

/** The host of a URL as certificates name it: an IPv6 address without its brackets. */
export function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[|\]$/g, '');
}

/** Where the certificate of `mode: self-signed` is kept; clients that are to trust it need this file. */
export function selfSignedCertFile(dataDir: string): string {
  return join(dataDir, 'tls', 'cert.pem');
}

const selfSignedKeyFile = (dataDir: string): string => join(dataDir, 'tls', 'key.pem');

/** Where the files of a server's certificate and key are, for hosts that read files themselves; `null` without TLS. */
export function tlsFiles({
  mode,
  certFile,
  keyFile,
  dataDir,
}: TlsOptions): { readonly cert: string; readonly key: string } | null {
  if (mode === 'off') return null;
  if (mode === 'self-signed') return { cert: selfSignedCertFile(dataDir), key: selfSignedKeyFile(dataDir) };
  if (certFile === undefined || keyFile === undefined) {
    throw new Error('USHER_TLS=files needs USHER_TLS_CERT and USHER_TLS_KEY');
  }
  return { cert: certFile, key: keyFile };
}

async function readKept(dataDir: string, hosts: readonly string[]): Promise<Tls | null> {
  try {
    const [cert, key] = await Promise.all([
      readFile(selfSignedCertFile(dataDir), 'utf8'),
      readFile(selfSignedKeyFile(dataDir), 'utf8'),
    ]);
    const made = new X509Certificate(cert);
    const isFor = (host: string) =>
      (isIP(host) === 0 ? made.checkHost(host) : made.checkIP(host)) !== undefined;
    const lasts = Date.parse(made.validTo) - Date.now() > RENEW_BEFORE_DAYS * DAY_MS;
    return lasts && hosts.every(isFor) ? { cert, key } : null;
  } catch {
    return null;
  }
}

/** Writes beside and renames, so that no reader sees half a file. */
async function writePrivate(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}`;
  await writeFile(temporary, text, { mode: 0o600 });
  await rename(temporary, path);
}

async function makeSelfSigned(dataDir: string, hosts: readonly string[]): Promise<Tls> {
  const made = await generate([{ name: 'commonName', value: 'localhost' }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    notAfterDate: new Date(Date.now() + VALID_DAYS * DAY_MS),
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      {
        name: 'subjectAltName',
        // RFC 5280 section 4.2.1.6: 2 is a DNS name, 7 an IP address.
        altNames: [...new Set([...LOOPBACK, ...hosts])].map((host) =>
          isIP(host) === 0 ? { type: 2, value: host } : { type: 7, ip: host },
        ),
      },
    ],
  });
  await mkdir(join(dataDir, 'tls'), { recursive: true, mode: 0o700 });
  await writePrivate(selfSignedKeyFile(dataDir), made.private);
  await writePrivate(selfSignedCertFile(dataDir), made.cert);
  return { cert: made.cert, key: made.private };
}

/**
 * Certificate and key, `null` for plain HTTP. A self-signed one is made at the first start and kept.
 * @throws Error when a file is not named or can't be read.
 */
export async function loadTls(options: TlsOptions): Promise<Tls | null> {
  const { mode, dataDir, hosts = [] } = options;
  if (mode === 'self-signed') {
    return (await readKept(dataDir, hosts)) ?? (await makeSelfSigned(dataDir, hosts));
  }
  const files = tlsFiles(options);
  if (files === null) return null;
  const [cert, key] = await Promise.all([readFile(files.cert, 'utf8'), readFile(files.key, 'utf8')]);
  return { cert, key };
}
