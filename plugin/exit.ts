/** Ending a process in good order. */

/** Shutting down takes at most this long, whatever hangs. */
const GIVE_UP_AFTER_MS = 1800;

/**
 * Ends the process on SIGINT, SIGTERM, or the end of the parent that started it over IPC: after `close`, and within
 * 1.8 s in any case.
 */
export function exitOnSignals(close: () => Promise<unknown>): void {
  let stopping = false;
  function stop(): void {
    if (stopping) return;
    stopping = true;
    setTimeout(() => process.exit(1), GIVE_UP_AFTER_MS).unref();
    const exit = (): never => process.exit(0);
    close().then(exit, exit);
  }
  // Not `once`: node-media-server's store flushes at a signal and then sends the same one again, which without a listener
  // ends the process on the spot.
  for (const event of ['SIGINT', 'SIGTERM', 'disconnect'] as const) process.on(event, stop);
}
