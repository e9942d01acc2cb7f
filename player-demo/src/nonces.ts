/** Nonces of a streaming server (RFC 9449 section 8), with the time at which each came. */

/** Younger than this a nonce is sure to be taken: the server takes each for 60 s at the least. */
export const FRESH_MS = 45_000;

/** A HEAD that takes longer is not waited for. */
const HEAD_TIMEOUT_MS = 3_000;

export interface Nonce {
  readonly text: string;
  readonly atMs: number;
}

export interface Nonces {
  /** The newest, however old; `null` before the first. */
  readonly latest: Nonce | null;
  /** Takes the nonce of an answer, if it carries one. */
  keep(response: Response): void;
  /** Sees to it that the newest is younger than `maxAgeMs`, as far as the server answers. Never throws. */
  refresh(url: string, maxAgeMs: number): Promise<void>;
}

/** The nonces of one endpoint. */
export function createNonces(options: {
  readonly fetch: typeof fetch;
  readonly nowMs: () => number;
}): Nonces {
  let latest: Nonce | null = null;
  let asking: Promise<void> | null = null;

  function keep(response: Response): void {
    const text = response.headers.get('dpop-nonce');
    if (text !== null) latest = { text, atMs: options.nowMs() };
  }

  async function ask(url: string): Promise<void> {
    try {
      keep(
        await options.fetch(url, {
          method: 'HEAD',
          // Makes the browser ask for leave now (CORS preflight), which the opening request then need not do. With a
          // cache mode of ours Chromium would not remember it; the server says itself that nothing is to be stored.
          headers: { 'content-type': 'application/sdp' },
          credentials: 'omit',
          referrerPolicy: 'no-referrer',
          signal: AbortSignal.timeout(HEAD_TIMEOUT_MS),
        }),
      );
    } catch {
      // The opening request will be told one.
    } finally {
      asking = null;
    }
  }

  return {
    get latest() {
      return latest;
    },
    keep,
    async refresh(url, maxAgeMs) {
      if (latest !== null && isFresh(latest.atMs, options.nowMs(), maxAgeMs)) return;
      await (asking ??= ask(url));
    },
  };
}

/** True if less than `maxAgeMs` have passed; a clock that was set back makes nothing fresh. */
export function isFresh(atMs: number, nowMs: number, maxAgeMs = FRESH_MS): boolean {
  return nowMs >= atMs && nowMs - atMs < maxAgeMs;
}
