// @ts-check
/**
 * Loaded before the program (`node --import`), in a process that the bootstrap has started.
 *
 * Ctrl-C reaches the whole process group and is passed on by npm and by the bootstrap too, so that one
 * key press arrives up to three times: the second must not cut the first one's orderly end short. And
 * a program whose bootstrap was killed ends too.
 */
import { isMainThread } from 'node:worker_threads';
import { STOP_SIGNALS, statusOfSignal, whenOrphaned } from './processes.mjs';

const SAME_KEY_PRESS_MS = 1000;

if (isMainThread) {
  for (const signal of STOP_SIGNALS) {
    let firstMs = Number.POSITIVE_INFINITY;
    process.on(signal, () => {
      const nowMs = performance.now();
      const first = firstMs === Number.POSITIVE_INFINITY;
      if (first) firstMs = nowMs;
      // Nobody else listens: do what would happen without this listener.
      const alone = process.listenerCount(signal) === 1;
      if (alone && (first || nowMs - firstMs > SAME_KEY_PRESS_MS)) process.exit(statusOfSignal(signal));
    });
  }
  whenOrphaned(() => process.kill(process.pid, 'SIGTERM'));
}
