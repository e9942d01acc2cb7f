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
