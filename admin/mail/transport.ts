/** How mail leaves: by SMTP, or into files for whoever tries things out. */
import { createTransport } from 'nodemailer';
import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface Mail {
  /** One address. */
  readonly to: string;
  readonly subject: string;
  readonly text: string;
}

export interface MailTransport {
  /** @throws Error when it could not be handed over; its message may hold addresses. */
  send(mail: Mail): Promise<void>;
  close(): void;
}

export interface MailSettings {
  /** `smtp://` (with STARTTLS, but on this machine) or `smtps://`, with user and password; `undefined`: into files. */
  readonly smtpUrl: string | undefined;
  /** The sender's address. */
  readonly from: string;
  /** Directory of the files. */
  readonly directory: string;
}

const TIMEOUT_MS = 10_000;
const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]']);
/** Mail that nobody fetches must not fill the disk. */
const MAX_FILES = 200;

// What a mail holds is text of ours: nothing in it may make the library read files or URLs.
const SAFE = { disableFileAccess: true, disableUrlAccess: true } as const;

function openSmtp(url: string, from: string): MailTransport {
  const { protocol, hostname, port, username, password } = new URL(url);
  const secure = protocol === 'smtps:';
  const transport = createTransport({
    ...SAFE,
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? (secure ? 465 : 587) : Number(port),
    secure,
    // A link in a mail opens an account: between machines it goes encrypted or not at all.
    requireTLS: !secure && !LOOPBACK.has(hostname),
    ...(username === ''
      ? {}
      : { auth: { user: decodeURIComponent(username), pass: decodeURIComponent(password) } }),
    connectionTimeout: TIMEOUT_MS,
    greetingTimeout: TIMEOUT_MS,
    socketTimeout: TIMEOUT_MS,
  });
  return {
    send: async (mail) => {
      await transport.sendMail({ ...mail, from });
    },
    close: () => {
      transport.close();
    },
  };
}

function openFiles(directory: string, from: string): MailTransport {
  const transport = createTransport({ ...SAFE, streamTransport: true, buffer: true });
  return {
    send: async (mail) => {
      const { message } = await transport.sendMail({ ...mail, from });
      if (!Buffer.isBuffer(message)) throw new TypeError('the mail was not made in memory');
      await mkdir(directory, { recursive: true, mode: 0o700 });
      const name = `${new Date().toISOString().replaceAll(':', '-')}-${randomUUID()}.eml`;
      await writeFile(join(directory, name), message, { mode: 0o600, flag: 'wx' });
      const files = (await readdir(directory)).filter((file) => file.endsWith('.eml')).sort();
      const old = files.slice(0, Math.max(0, files.length - MAX_FILES));
      await Promise.all(old.map((file) => rm(join(directory, file), { force: true })));
    },
    close: () => undefined,
  };
}

export function openMailTransport({ smtpUrl, from, directory }: MailSettings): MailTransport {
  return smtpUrl === undefined ? openFiles(directory, from) : openSmtp(smtpUrl, from);
}
