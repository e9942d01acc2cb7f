/** Processes of a bench, and questions to them. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** Starts a module of this folder as a process that is asked over IPC. */
export function startChild(module: string, args: string[] = [], execArgv: string[] = []): ChildProcess {
  return fork(fileURLToPath(new URL(module, import.meta.url)), args, {
    execArgv: [...process.execArgv, ...execArgv],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
}

/** One question at a time; without one, what the child says by itself. A child that ends instead is an error. */
export async function ask<T>(child: ChildProcess, question?: object): Promise<T> {
  const ended = new AbortController();
  const exit = once(child, 'exit', { signal: ended.signal }).then(() => {
    throw new Error('a process of the bench has ended');
  });
  exit.catch(() => undefined);
  const answer = once(child, 'message', { signal: ended.signal }).then(([message]) => message as T);
  if (question !== undefined) child.send(question);
  try {
    return await Promise.race([answer, exit]);
  } finally {
    ended.abort();
    answer.catch(() => undefined);
  }
}

export const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A server of a bench and the process of its readers. */
export interface ServedSide {
  readonly child: ChildProcess;
  readonly readers: ChildProcess;
}

/** Asks a server what it has used (`usage`) and its readers what has come (`count`), at once. */
export async function readSide<U extends object, C extends object>({
  child,
  readers,
}: ServedSide): Promise<U & C> {
  const [usage, count] = await Promise.all([
    ask<U>(child, { ask: 'usage' }),
    ask<C>(readers, { ask: 'count' }),
  ]);
  return { ...usage, ...count };
}

/** Waits until the readers of each side say that all of so many are served. @throws Error when that takes 50 tries */
export async function untilServed(
  sides: readonly ServedSide[],
  readers: number,
  everyMs: number,
): Promise<void> {
  for (let tries = 0; tries < 50; tries++) {
    const counts = await Promise.all(
      sides.map((side) => ask<{ readonly served: number }>(side.readers, { ask: 'count' })),
    );
    if (counts.every(({ served }) => served === readers)) return;
    await wait(everyMs);
  }
  throw new Error(`not every one of ${String(readers)} readers is served`);
}

/** Runs `use` with a server and its readers, and lets go of both after it. */
export async function withChildren<T>(side: ServedSide, use: (side: ServedSide) => Promise<T>): Promise<T> {
  try {
    return await use(side);
  } finally {
    // One that has died is not connected: that is not to hide why.
    for (const child of [side.child, side.readers]) if (child.connected) child.disconnect();
  }
}
