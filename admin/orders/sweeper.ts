/** Sweeps again and again, one sweep at a time. */
import type { OrderDesk } from './desk.ts';

export interface Sweeper {
  /** Ends it; resolves when the sweep that runs is over, which begins nothing more. */
  stop(): Promise<void>;
}

const PAUSE_MS = 2000;

/**
 * @param failed told when a sweep could not be made, and not again until one was; the next one follows all the same.
 * @param pauseMs between two sweeps.
 */
export function startSweeper(
  desk: Pick<OrderDesk, 'sweep'>,
  failed: (error: unknown) => void,
  pauseMs = PAUSE_MS,
): Sweeper {
  let timer: NodeJS.Timeout | undefined;
  const stopping = new AbortController();
  let isFailing = false;
  let running: Promise<void> = Promise.resolve();
  const sweep = async (): Promise<void> => {
    try {
      await desk.sweep(stopping.signal);
      isFailing = false;
    } catch (error) {
      if (!isFailing) failed(error);
      isFailing = true;
    }
    if (!stopping.signal.aborted) timer = setTimeout(next, pauseMs);
  };
  const next = () => {
    running = sweep();
  };
  timer = setTimeout(next, pauseMs);
  return {
    async stop() {
      stopping.abort();
      clearTimeout(timer);
      await running;
    },
  };
}
