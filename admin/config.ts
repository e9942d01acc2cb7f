import { z } from 'zod';
import { masterKeySchema } from '../plugin/key-vault.ts';
import { baseUrlSchema } from '../plugin/public-urls.ts';
import { checkSettings } from '../plugin/settings.ts';
import { selfSignedCertFile } from '../plugin/tls.ts';

/** True if user and password of a URL can be read: RFC 3986 section 2.1. */
function isDecodable({ username, password }: URL): boolean {
  try {
    decodeURIComponent(username);
    decodeURIComponent(password);
    return true;
  } catch {
    return false;
  }
}

const envSchema = z.object({
  /** Port of the order server; 0 takes any that is free. */
  USHER_PORT: z.coerce.number().int().min(0).max(65_535).default(4000),
  /** Address to listen on. */
  USHER_HOST: z.string().min(1).max(253).default('127.0.0.1'),
  /** Base URL as the world sees it: the issuer of the tickets. */
  USHER_PUBLIC_URL: baseUrlSchema(/^https?$/).optional(),
  /** Directory of everything that is kept. */
  USHER_DATA: z.string().min(1).default('.usher'),
  /** How many reverse proxies in front of the server set X-Forwarded-For. */
  USHER_TRUSTED_PROXIES: z.coerce.number().int().min(0).max(10).default(0),
  /** Header in which those proxies name the client's country, ISO 3166-1 alpha-2. */
  USHER_COUNTRY_HEADER: z
    .string()
    .regex(/^[A-Za-z0-9-]{1,64}$/, 'the name of an HTTP header')
    .optional(),
  /** Seconds for which it goes on answering after the signal to end, while /readyz says that it ends. */
  USHER_DRAIN_SECONDS: z.coerce.number().int().min(0).max(300).default(0),
  /** 0: nobody is told what the GraphQL schema has. */
  USHER_INTROSPECTION: z.enum(['0', '1']).default('1'),
  USHER_TLS: z.enum(['off', 'self-signed', 'files']).default('off'),
  /** PEM files for USHER_TLS=files. */
  USHER_TLS_CERT: z.string().min(1).optional(),
  USHER_TLS_KEY: z.string().min(1).optional(),
  USHER_LOG_LEVEL: z.enum(['silent', 'error', 'warn', 'info', 'debug']).default('info'),
  /** 1: makes the demo's titles and accounts, and lets customers top up their balance for nothing. */
  USHER_DEMO: z.enum(['0', '1']).default('0'),
  /** What private keys are encrypted under in the database; only the demo does without. */
  USHER_MASTER_KEY: masterKeySchema.optional(),
  /** The master key before that one, while changing over. */
  USHER_MASTER_KEY_OLD: masterKeySchema.optional(),
  /** Secret of the test cards' webhooks; with it there are test cards. The demo has them without. */
  USHER_TEST_CARD_SECRET: z
    .string()
    .regex(/^[\x21-\x7e]{32,200}$/, '32 to 200 printable characters')
    .optional(),
  /** Where mail goes out; without it, into files under USHER_DATA/mail. */
  USHER_SMTP_URL: z
    .url({ protocol: /^smtps?$/, hostname: /./ })
    .refine(
      (text) => isDecodable(new URL(text)),
      'user or password has a % that is not followed by two hex digits',
    )
    .optional(),
  /** The address that mail comes from. */
  USHER_MAIL_FROM: z.email().optional(),
  /** File with the registration of the demo's streaming server. */
  USHER_DEMO_SERVER: z.string().min(1).optional(),
  /** PostgreSQL; without it the embedded database under USHER_DATA. */
  DATABASE_URL: z
    .url({ protocol: /^postgres(ql)?$/ })
    .optional()
    .or(z.literal('').transform(() => undefined)),
});

export interface Config {
  readonly port: number;
  readonly host: string;
  /** Base URL without a trailing slash; the issuer. */
  readonly publicUrl: string;
  readonly dataDir: string;
  readonly trustedProxies: number;
  /** Where trusted proxies name the client's country; `undefined`: nobody does. */
  readonly countryHeader: string | undefined;
  readonly drainSeconds: number;
  readonly introspection: boolean;
  readonly tls: 'off' | 'self-signed' | 'files';
  /** The certificate that clients see; `undefined` without TLS. */
  readonly tlsCertFile: string | undefined;
  readonly tlsKeyFile: string | undefined;
  readonly logLevel: 'silent' | 'error' | 'warn' | 'info' | 'debug';
  readonly demo: boolean;
  readonly demoServerFile: string | undefined;
  readonly databaseUrl: string | undefined;
  /** Secret of the test cards' webhooks; `undefined`: there are none but in the demo. */
  readonly testCardSecret: string | undefined;
  /** `smtp://` or `smtps://`; `undefined`: mail is written into files. */
  readonly smtpUrl: string | undefined;
  /** The address that mail comes from. */
  readonly mailFrom: string;
  /** 32 bytes. */
  readonly masterKey: Uint8Array | undefined;
  readonly oldMasterKey: Uint8Array | undefined;
}

/**
 * Reads the settings.
 * @throws TypeError with one line per setting that is wrong; never a value.
 */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const parsed = envSchema.safeParse(env);
  const lines = [
    ...checkSettings(env),
    ...(parsed.error?.issues ?? []).map((issue) => `${issue.path.join('.')}: ${issue.message}`),
  ];
  if (parsed.data?.USHER_TLS === 'files') {
    for (const name of ['USHER_TLS_CERT', 'USHER_TLS_KEY'] as const) {
      if (parsed.data[name] === undefined) lines.push(`${name}: USHER_TLS=files needs it`);
    }
  }
  if (parsed.data?.USHER_COUNTRY_HEADER !== undefined && parsed.data.USHER_TRUSTED_PROXIES === 0)
    lines.push('USHER_TRUSTED_PROXIES: USHER_COUNTRY_HEADER needs it: else clients would name it themselves');
  if (parsed.data?.USHER_MASTER_KEY_OLD !== undefined && parsed.data.USHER_MASTER_KEY === undefined)
    lines.push('USHER_MASTER_KEY: USHER_MASTER_KEY_OLD needs it');
  if (!parsed.success || lines.length > 0) throw new TypeError(lines.join('\n'));
  const settings = parsed.data;
  const scheme = settings.USHER_TLS === 'off' ? 'http' : 'https';
  const certFiles = {
    off: undefined,
    'self-signed': selfSignedCertFile(settings.USHER_DATA),
    files: settings.USHER_TLS_CERT,
  };
  const publicUrl = settings.USHER_PUBLIC_URL ?? `${scheme}://localhost:${settings.USHER_PORT}`;
  return {
    port: settings.USHER_PORT,
    host: settings.USHER_HOST,
    publicUrl,
    dataDir: settings.USHER_DATA,
    trustedProxies: settings.USHER_TRUSTED_PROXIES,
    countryHeader: settings.USHER_COUNTRY_HEADER,
    drainSeconds: settings.USHER_DRAIN_SECONDS,
    introspection: settings.USHER_INTROSPECTION === '1',
    tls: settings.USHER_TLS,
    tlsCertFile: certFiles[settings.USHER_TLS],
    tlsKeyFile: settings.USHER_TLS_KEY,
    logLevel: settings.USHER_LOG_LEVEL,
    demo: settings.USHER_DEMO === '1',
    demoServerFile: settings.USHER_DEMO_SERVER,
    databaseUrl: settings.DATABASE_URL,
    testCardSecret: settings.USHER_TEST_CARD_SECRET,
    smtpUrl: settings.USHER_SMTP_URL,
    mailFrom: settings.USHER_MAIL_FROM ?? `usher@${new URL(publicUrl).hostname}`,
    masterKey: settings.USHER_MASTER_KEY,
    oldMasterKey: settings.USHER_MASTER_KEY_OLD,
  };
}
