/** Puts another ticket of the file in the place of the one that is about to expire, while media goes on. */
import type { Dialogue } from './dialogue.ts';
import { PlayError } from './error.ts';
import { longest, type HeldTicket } from './tickets.ts';

export interface RenewalOptions {
  readonly held: HeldTicket;
  readonly dialogue: Pick<Dialogue, 'renew'>;
  /** Reads the file anew: somebody may have put another ticket into it. */
  readonly read: () => Promise<readonly HeldTicket[]>;
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

/** Before the end, and again until then. */
const AHEAD_MS = 30_000;
const EVERY_MS = 5000;
/** setTimeout's own limit is 2^31 - 1 ms. */
const LONGEST_WAIT_MS = 2_000_000_000;

/** Keeps a session renewed until the signal. */
export function keepRenewed({ held, dialogue, read, say, signal }: RenewalOptions): void {
  let current = held;
  let last = '';
  let timer: NodeJS.Timeout | undefined;
  signal.addEventListener('abort', () => clearTimeout(timer));

  function wait(ms: number): void {
    if (signal.aborted) return;
    clearTimeout(timer);
    timer = setTimeout(() => void look(), Math.min(Math.max(ms, 0), LONGEST_WAIT_MS));
  }

  /** The same thing is said once. */
  function sayOnce(text: string): void {
    if (text !== last) say(text);
    last = text;
  }

  async function look(): Promise<void> {
    const leftMs = current.expiresAt * 1000 - Date.now();
    if (leftMs > AHEAD_MS) return wait(leftMs - AHEAD_MS);
    if (leftMs <= 0) return;
    try {
      const own = (await read()).filter(({ jkt }) => jkt === current.jkt);
      const next = longest(own, current.uri);
      if (next === undefined || next.expiresAt <= current.expiresAt)
        sayOnce(
          `the ticket ends in ${String(Math.ceil(leftMs / 1000))} s, and there is no later one in the file`,
        );
      else {
        await dialogue.renew(next);
        current = next;
        sayOnce(`renewed until ${new Date(next.expiresAt * 1000).toISOString()}`);
        return wait(0);
      }
    } catch (error) {
      if (!signal.aborted) sayOnce(error instanceof Error ? error.message : String(error));
      if (!(error instanceof PlayError || error instanceof TypeError)) throw error;
    }
    wait(EVERY_MS);
  }

  wait(0);
}
