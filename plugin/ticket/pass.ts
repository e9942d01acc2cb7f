/**
 * Passes: what a ticket and its proof are exchanged for where a player takes only a URL. A pass is opaque, good for one
 * connection and for a minute; its hash is all that is kept of it.
 */
import { randomBytes } from 'node:crypto';
import { Denial } from '../errors.ts';
import type { Clock } from '../ports.ts';
import { sha256Base64url } from './encoding.ts';

export const PASS_SECONDS = 60;
const PASS = /^ps_[A-Za-z0-9_-]{22}$/;

/** True if a text has the form of a pass. */
export function isPass(text: string): boolean {
  return PASS.test(text);
}

export interface TakenPass<T> {
  readonly value: T;
  /** Makes the pass good again for what is left of its time: the connection that took it was not admitted. */
  restore(): void;
}

export interface PassBook<T> {
  /**
   * A new pass: `ps_` and 128 random bits in base64url, 25 characters.
   * @param holder whose it is; the oldest of a holder's unused passes makes room for the newest
   * @throws Denial `overloaded` when too many wait to be used
   */
  issue(holder: string, value: T): string;
  /** Takes a pass, so that nobody else can; `undefined` when it is unknown, used or too old. */
  take(pass: string): TakenPass<T> | undefined;
}

interface Entry<T> {
  readonly holder: string;
  readonly value: T;
  readonly goodUntilMs: number;
}

export interface PassBookOptions {
  readonly clock: Pick<Clock, 'monotonicMs'>;
  /** Unused passes at the same time; default 10,000. */
  readonly capacity?: number;
  /** Unused passes of one holder; default 4. */
  readonly perHolder?: number;
}

/** Makes the passes of one process. */
export function createPassBook<T>(options: PassBookOptions): PassBook<T> {
  const { clock, capacity = 10_000, perHolder = 4 } = options;
  /** By hash. All live equally long, so the oldest entries are the first. */
  const entries = new Map<string, Entry<T>>();
  const hashesByHolder = new Map<string, Set<string>>();

  function remove(hash: string): Entry<T> | undefined {
    const entry = entries.get(hash);
    if (entry === undefined) return undefined;
    entries.delete(hash);
    const hashes = hashesByHolder.get(entry.holder);
    hashes?.delete(hash);
    if (hashes?.size === 0) hashesByHolder.delete(entry.holder);
    return entry;
  }

  function put(hash: string, entry: Entry<T>): void {
    entries.set(hash, entry);
    const hashes = hashesByHolder.get(entry.holder);
    if (hashes === undefined) hashesByHolder.set(entry.holder, new Set([hash]));
    else hashes.add(hash);
  }

  function purge(): void {
    const nowMs = clock.monotonicMs();
    for (const [hash, { goodUntilMs }] of entries) {
      if (goodUntilMs > nowMs) return;
      remove(hash);
    }
  }

  return {
    issue(holder, value) {
      purge();
      const [oldest] = hashesByHolder.get(holder) ?? [];
      if (oldest !== undefined && (hashesByHolder.get(holder)?.size ?? 0) >= perHolder) remove(oldest);
      if (entries.size >= capacity) throw new Denial('overloaded');
      const pass = `ps_${randomBytes(16).toString('base64url')}`;
      const goodUntilMs = clock.monotonicMs() + PASS_SECONDS * 1000;
      put(sha256Base64url(pass), { holder, value, goodUntilMs });
      return pass;
    },
    take(pass) {
      if (!isPass(pass)) return undefined;
      const hash = sha256Base64url(pass);
      const entry = remove(hash);
      if (entry === undefined || entry.goodUntilMs <= clock.monotonicMs()) return undefined;
      // Back at the end, not at its old place: until it is purged it takes room a little longer, and that is all.
      return { value: entry.value, restore: () => put(hash, entry) };
    },
  };
}
