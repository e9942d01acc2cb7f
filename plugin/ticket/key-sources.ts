/** Where the keys of the pinned order servers come from: from the configuration, or from their JWK sets. */
import type { CryptoKey, JWK } from 'jose';
import { Denial } from '../errors.ts';
import type { Clock, KeySource, Log } from '../ports.ts';
import { BASE64URL_32_BYTES } from './encoding.ts';
import { readKeySet, type KeySet } from './key-sets.ts';

const MAX_ANSWER_BYTES = 64 * 1024;
const TIMEOUT_MS = 3000;

function notPinned(): Denial {
  return new Denial('ticket_untrusted', { detail: 'iss' });
}

function keyOf(set: KeySet, kid: string, alg: string): CryptoKey {
  const key = set.find(kid, alg);
  if (key === null) throw new Denial('ticket_untrusted', { detail: 'kid' });
  return key;
}

/** Keys that are known beforehand: issuer -> JWK set. */
export function createStaticKeySource(
  issuers: readonly { readonly issuer: string; readonly jwks: { readonly keys: readonly JWK[] } }[],
): KeySource {
  const sets = new Map(issuers.map(({ issuer, jwks }) => [issuer, readKeySet(jwks)]));
  // A set that cannot be read is reported by the first use, not as an unhandled rejection.
  for (const set of sets.values()) set.catch(() => undefined);
  return {
    async findSigningKey(issuer, kid, alg) {
      const set = sets.get(issuer);
      if (set === undefined) throw notPinned();
      return keyOf(await set, kid, alg);
    },
  };
}

/** The keys of one JWK set, whoever the issuer is: for tools. Throws TypeError if it is not a set. */
export async function readKeySource(jwks: unknown): Promise<KeySource> {
  const set = await readKeySet(jwks);
  return { findSigningKey: async (_issuer, kid, alg) => keyOf(set, kid, alg) };
}

export interface RemoteKeySourceOptions {
  /** `issuer` as in `iss`; `jwksUrl` is where its keys are, and nothing in a ticket can name another place. */
  readonly issuers: readonly {
    readonly issuer: string;
    readonly jwksUrl: string;
    /** Answers the set without the keys that are not to be trusted; by default all are. */
    readonly trust?: (jwks: unknown) => Promise<unknown>;
  }[];
  /** Is told of tickets by order servers that are not pinned. */
  readonly log?: Pick<Log, 'warn'>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /**
   * Keys are used for this long after they were fetched, so that an outage of the order server does not end admission
   * at once; default 300. They are fetched anew, beside the requests, after a fifth of it.
   */
  readonly maxStaleSeconds?: number;
  /** At least this long between two fetches from one issuer, whatever the tickets name; default 10. */
  readonly cooldownSeconds?: number;
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

async function readBounded(response: Response): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > MAX_ANSWER_BYTES) throw new Error('the JWK set is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

interface Fetched {
  readonly set: KeySet;
  readonly atMs: number;
}

const STRANGERS_PER_MINUTE = 10;

/**
 * Writes down who has signed a ticket that is refused for its issuer: the fingerprint of the key, which is what order
 * servers name their keys by, and nothing that the ticket claims. At most 10 lines a minute, however many come.
 */
function createStrangerLog({ log, clock }: Pick<RemoteKeySourceOptions, 'log' | 'clock'>) {
  let sinceMs = Number.NEGATIVE_INFINITY;
  let seen = new Set<string>();
  return (kid: string): void => {
    if (clock.monotonicMs() - sinceMs >= 60_000) {
      seen = new Set();
      sinceMs = clock.monotonicMs();
    }
    const fingerprint = BASE64URL_32_BYTES.test(kid) ? kid : 'not a fingerprint';
    if (seen.has(fingerprint) || seen.size >= STRANGERS_PER_MINUTE) return;
    seen.add(fingerprint);
    log?.warn({ fingerprint }, 'a ticket of an order server that is not pinned was refused');
  };
}

/** The keys of one issuer; one fetch at a time. */
function createRemoteSet(
  { jwksUrl, trust = async (jwks) => jwks }: RemoteKeySourceOptions['issuers'][number],
  options: RemoteKeySourceOptions,
) {
  const { clock, maxStaleSeconds = 300, cooldownSeconds = 10, fetch = globalThis.fetch } = options;
  const maxStaleMs = maxStaleSeconds * 1000;
  let fetched: Fetched | null = null;
  let running: Promise<void> | null = null;
  let triedAtMs = Number.NEGATIVE_INFINITY;
  let lastFailed = false;

  async function load(): Promise<void> {
    try {
      const response = await fetch(jwksUrl, {
        headers: { accept: 'application/jwk-set+json, application/json' },
        redirect: 'error',
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      if (response.status !== 200) {
        await response.body?.cancel();
        throw new Error(`status ${response.status}`);
      }
      const body = Buffer.from(await readBounded(response)).toString('utf8');
      fetched = { set: await readKeySet(await trust(JSON.parse(body))), atMs: clock.monotonicMs() };
      lastFailed = false;
    } catch {
      lastFailed = true;
    }
  }

  /** Fetches unless a fetch was begun within the cooldown; joins the one that runs. Never throws. */
  function refresh(): Promise<void> {
    if (running !== null) return running;
    if (clock.monotonicMs() - triedAtMs < cooldownSeconds * 1000) return Promise.resolve();
    triedAtMs = clock.monotonicMs();
    running = load().finally(() => {
      running = null;
    });
    return running;
  }

  /** The keys in hand unless they are too old. */
  function usable(): KeySet | null {
    return fetched !== null && clock.monotonicMs() - fetched.atMs <= maxStaleMs ? fetched.set : null;
  }

  return async function find(kid: string, alg: string): Promise<CryptoKey> {
    const known = usable()?.find(kid, alg) ?? null;
    if (known !== null) {
      if (fetched !== null && clock.monotonicMs() - fetched.atMs > maxStaleMs / 5) void refresh();
      return known;
    }
    await refresh();
    const set = usable();
    if (set === null) throw new Denial('order_server_unreachable');
    const key = set.find(kid, alg);
    // With the issuer away, a key that is not known here may still be a new one of its.
    if (key === null && lastFailed) throw new Denial('order_server_unreachable');
    return key ?? keyOf(set, kid, alg);
  };
}

/**
 * Keys fetched from the pinned issuers when they are first needed. An answer is taken only with status 200, within 3 s,
 * up to 64 KiB, without redirects. A new key should be in the set `cooldownSeconds` before tickets are signed with it.
 */
export function createRemoteKeySource(options: RemoteKeySourceOptions): KeySource {
  const sets = new Map(options.issuers.map((pinned) => [pinned.issuer, createRemoteSet(pinned, options)]));
  const noteStranger = createStrangerLog(options);
  return {
    async findSigningKey(issuer, kid, alg) {
      const find = sets.get(issuer);
      if (find === undefined) {
        noteStranger(kid);
        throw notPinned();
      }
      return find(kid, alg);
    },
  };
}
