/** Three media server processes, and when their sessions end. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { EndReason } from '../../../plugin/contract.ts';
import type { Admitted, Setup, Told } from './media-process.ts';

const ENTRY = fileURLToPath(new URL('./media-process.ts', import.meta.url));

export interface Ended {
  readonly reason: EndReason;
  readonly atMs: number;
}

export interface MediaProcesses {
  /** In the order of the setups' viewers. */
  readonly sessions: readonly Admitted[];
  /** Resolves when the session has ended. */
  end(session: Admitted): Promise<Ended>;
  /** How many have ended. */
  endedCount(): number;
  stats(): Promise<Extract<Told, { kind: 'stats' }>[]>;
  stop(): Promise<void>;
}

function nextTold<K extends Told['kind']>(child: ChildProcess, kind: K): Promise<Extract<Told, { kind: K }>> {
  return new Promise((resolve, reject) => {
    child.on('message', (told: Told) => {
      if (told.kind === kind) resolve(told as Extract<Told, { kind: K }>);
    });
    child.once('exit', (code) => reject(new Error(`the media process ended with ${String(code)}`)));
  });
}

/** Starts one process per setup; resolves when all their viewers are admitted. */
export async function startMediaProcesses(setups: readonly Setup[]): Promise<MediaProcesses> {
  const ends = new Map<string, PromiseWithResolvers<Ended>>();
  const endOf = (session: string): PromiseWithResolvers<Ended> => {
    const known = ends.get(session) ?? Promise.withResolvers<Ended>();
    ends.set(session, known);
    return known;
  };
  let count = 0;
  const children = setups.map((setup) => {
    const child = fork(ENTRY);
    child.on('message', (told: Told) => {
      if (told.kind !== 'ended') return;
      count += 1;
      endOf(told.session).resolve({ reason: told.reason, atMs: told.atMs });
    });
    child.send(setup);
    return child;
  });
  const admitted = await Promise.all(children.map((child) => nextTold(child, 'admitted')));
  return {
    sessions: admitted.flatMap(({ sessions }) => sessions),
    end: ({ session }) => endOf(session).promise,
    endedCount: () => count,
    stats: () =>
      Promise.all(
        children.map((child) => {
          child.send('stats');
          return nextTold(child, 'stats');
        }),
      ),
    async stop() {
      const gone = children.map((child) => once(child, 'exit'));
      for (const child of children) child.kill('SIGKILL');
      await Promise.all(gone);
    },
  };
}

/** The value below which 99 of 100 are. */
export function p99(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.ceil(sorted.length * 0.99) - 1] ?? Number.NaN;
}
