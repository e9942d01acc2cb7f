/** A streaming server makes itself known to its order server, and changes its keys (docs/protocol.md). */
import { mkdir, rmdir } from 'node:fs/promises';
import { z } from 'zod';
import { Denial, REFUSALS, type Code } from './errors.ts';
import type { KeyVault } from './key-vault.ts';
import { savePins, type Pins } from './order-server-pins.ts';
import { isLoopback } from './peer.ts';
import type { Clock } from './ports.ts';
import {
  enrolledSchema,
  serverKeysChangedSchema,
  signPossession,
  type ServerKeysChanged,
} from './registration.ts';
import {
  keyFilePath,
  makePair,
  MAX_PREVIOUS,
  openPair,
  readKeyFile,
  writeKeyFile,
  type OpenedPair,
  type ServerKeys,
} from './server-keys.ts';
import { signServerMessage, toPublicJwk, type ServerMessageTyp } from './ticket/index.ts';
import type { SigningKey } from './ticket/keys.ts';

const TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 64 * 1024;
/** A key before the current one opens tickets this much longer than the last of them, for clocks that differ. */
const CLOCKS_SECONDS = 60;

export interface OrderServerAccount {
  /** Base URL of the order server, the issuer of its tickets. */
  readonly orderServerUrl: string;
  readonly serverId: string;
  readonly clock: Pick<Clock, 'nowMs'>;
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

const problemSchema = z.object({ code: z.string(), detail: z.string().max(200).optional() });

function refusalIn(answer: unknown): Denial {
  const problem = problemSchema.safeParse(answer);
  if (!problem.success || !Object.hasOwn(REFUSALS, problem.data.code))
    return new Denial('order_server_unreachable');
  const { code, detail } = problem.data;
  return new Denial(code as Code, detail === undefined ? {} : { detail });
}

async function readJson(response: Response): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > MAX_ANSWER_BYTES) throw new Error('the answer is too large');
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString('utf8'));
}

/** True for https, and for http to this very machine. */
function isPrivate(url: URL): boolean {
  if (url.protocol === 'https:') return true;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return url.protocol === 'http:' && (host === 'localhost' || isLoopback(host));
}

async function send<T>(
  account: OrderServerAccount,
  path: string,
  schema: z.ZodType<T>,
  message: { typ: ServerMessageTyp; payload: object; key: SigningKey },
): Promise<T> {
  const { orderServerUrl, serverId, clock, fetch = globalThis.fetch } = account;
  if (!isPrivate(new URL(orderServerUrl)))
    throw new Denial('tls_required', { detail: 'USHER_ORDER_SERVER_URL' });
  const body = await signServerMessage({ ...message, iss: serverId, aud: orderServerUrl, clock });
  let ok: boolean;
  let answer: unknown;
  try {
    const response = await fetch(orderServerUrl + path, {
      method: 'POST',
      headers: { 'content-type': 'application/jose' },
      body,
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    ok = response.ok;
    answer = await readJson(response);
  } catch (cause) {
    throw new Denial('order_server_unreachable', { cause });
  }
  if (!ok) throw refusalIn(answer);
  const parsed = schema.safeParse(answer);
  if (!parsed.success)
    throw new Denial('order_server_unreachable', { detail: 'the answer', cause: parsed.error });
  return parsed.data;
}

export interface EnrolOptions extends OrderServerAccount {
  /** From the order server's staff. */
  readonly code: string;
  readonly keys: ServerKeys;
  /** Where the order server's fingerprints are pinned. */
  readonly dataDir: string;
}

/**
 * Registers this server's public keys with a one-time code, and pins the keys of the order server.
 * @throws Denial `tls_required` before anything is sent, `enrolment_refused`, `server_untrusted` (the order server goes
 *   by another name, or the clocks differ), `order_server_unreachable`.
 */
export async function enrol(options: EnrolOptions): Promise<Pins> {
  const { code, keys, serverId, orderServerUrl } = options;
  const { publicUrl, signingKey, sealingKey } = keys.registration;
  const enrolled = await send(options, '/v1/enrolments', enrolledSchema, {
    typ: 'enrolment+jwt',
    payload: { code, publicUrl, signingKey, sealingKey },
    key: keys.signing,
  });
  if (enrolled.server !== serverId || enrolled.issuer !== orderServerUrl)
    throw new Denial('order_server_unreachable', { detail: 'the answer is for another server' });
  const pins = { issuer: enrolled.issuer, fingerprints: enrolled.fingerprints };
  await savePins(options.dataDir, pins);
  return pins;
}

export interface RotateOptions extends OrderServerAccount {
  readonly dataDir: string;
  readonly vault: KeyVault;
  /** Lets a running process of this server read the next keys, before tickets are sealed to them. */
  readonly settle: () => Promise<void>;
}

async function announce(
  options: RotateOptions,
  current: OpenedPair,
  next: OpenedPair,
): Promise<ServerKeysChanged> {
  const { serverId, orderServerUrl } = options;
  const keys = { signingKey: next.signing.publicJwk, sealingKey: toPublicJwk(next.sealing.privateJwk) };
  const possession = signPossession(next.signing, { iss: serverId, aud: orderServerUrl, ...keys });
  return send(options, '/v1/server-keys', serverKeysChangedSchema, {
    typ: 'server-keys+jwt',
    payload: { ...keys, possession },
    key: current.signing,
  });
}

async function rotate(options: RotateOptions, path: string): Promise<ServerKeysChanged> {
  const { vault, clock } = options;
  const nowSeconds = clock.nowMs() / 1000;
  const file = await readKeyFile(path);
  const alive = file.previous.filter(({ until }) => until > nowSeconds);
  if (alive.length >= MAX_PREVIOUS)
    throw new Denial('conflict', { detail: 'too many keys before these still open tickets' });
  // The keys that the order server gets to know: those of a rotation that was cut short, or new ones.
  const prepared = { ...file, previous: alive, next: file.next ?? (await makePair(vault)) };
  await writeKeyFile(path, prepared);
  const [current, next] = await Promise.all([
    openPair(prepared.current, vault),
    openPair(prepared.next, vault),
  ]);
  await options.settle();
  const changed = await announce(options, current, next);
  await writeKeyFile(path, {
    version: 2,
    current: prepared.next,
    next: null,
    previous: [...alive, { until: changed.sealedUntil + CLOCKS_SECONDS, sealing: prepared.current.sealing }],
  });
  return changed;
}

/**
 * Replaces this server's keys by new ones, here and at the order server; the sealing key before opens tickets for as
 * long as there are any. When it is cut short, the next call goes on with the same keys.
 * @throws Denial, as `enrol`; `conflict` while another rotation runs.
 */
export async function rotateServerKeys(options: RotateOptions): Promise<ServerKeysChanged> {
  const path = keyFilePath(options.dataDir);
  const lock = `${path}.rotating`;
  await mkdir(lock).catch((cause: unknown) => {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause;
    throw new Denial('conflict', { detail: `a rotation runs; if none does, remove ${lock}`, cause });
  });
  try {
    return await rotate(options, path);
  } finally {
    await rmdir(lock);
  }
}
