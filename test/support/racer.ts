/** A process of its own that redeems: forked by the tests of races, told what to do over IPC. */
import { randomUUID } from 'node:crypto';
import { openDatabase } from '../../admin/db/connect.ts';
import { commit, release, reserve } from '../../admin/tickets/redeem.ts';
import { Denial } from '../../plugin/errors.ts';

export interface RaceTask {
  /**
   * reserve: so many reservations at once. hold: so many, each released after a moment, 10 times over. commit: the
   * session that is named. attempt: so many reservations of one attempt.
   */
  readonly op: 'reserve' | 'hold' | 'commit' | 'attempt';
  readonly ticketId: string;
  readonly count: number;
  readonly nowMs: number;
  /** The session of `commit`, the attempt of `attempt`. */
  readonly id?: string;
}

export interface RaceResult {
  /** Sessions that were granted. */
  readonly granted: readonly string[];
  /** Codes of the refusals, each with its number. */
  readonly refused: Readonly<Record<string, number>>;
  /** When holders surely held: [from, to] on the machine's monotonic clock, in nanoseconds as text. */
  readonly held: readonly (readonly [from: string, to: string])[];
}

const SERVER_ID = 'ss-1';
const ROUNDS = 10;

async function race(databaseUrl: string): Promise<void> {
  const { db } = await openDatabase({ kind: 'postgres', url: databaseUrl });

  async function perform(task: RaceTask): Promise<RaceResult> {
    const { op, ticketId, nowMs, id } = task;
    const granted: string[] = [];
    const refused: Record<string, number> = {};
    const held: [string, string][] = [];
    async function once(): Promise<void> {
      try {
        if (op === 'commit') granted.push((await commit(db, id ?? '', SERVER_ID, nowMs)).session);
        else {
          const attempt = op === 'attempt' ? (id ?? null) : null;
          const request = { session: randomUUID(), attempt, ticketId, serverId: SERVER_ID };
          const { session } = await reserve(db, request, nowMs);
          granted.push(session);
          if (op !== 'hold') return;
          const from = process.hrtime.bigint();
          await new Promise((resolve) => setTimeout(resolve, 2));
          held.push([String(from), String(process.hrtime.bigint())]);
          await release(db, session, SERVER_ID, nowMs);
        }
      } catch (error) {
        if (!(error instanceof Denial)) throw error;
        refused[error.code] = (refused[error.code] ?? 0) + 1;
      }
    }
    for (let round = 0; round < (op === 'hold' ? ROUNDS : 1); round++) {
      await Promise.all(Array.from({ length: task.count }, once));
    }
    return { granted, refused, held };
  }

  process.on('message', (task: RaceTask) => {
    void perform(task).then((result) => process.send?.(result));
  });
  process.once('disconnect', () => process.exit(0));
  process.send?.('ready');
}

await race(process.argv[2] ?? '');
