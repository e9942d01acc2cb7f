/** A guarded node-media-server whose every refusal is looked at: what was said, and that nothing else has happened. */
import { createRequire } from 'node:module';
import { expect } from 'vitest';
import { Denial, refusalOf, rtmpStatus, type Code } from '../../../../plugin/errors.ts';
import type { Clock } from '../../../../plugin/ports.ts';
import { eventually, openReader, type Answer, type Ask, type Column } from '../../../support/flv-readers.ts';
import { startGuardedNms, STREAM_KEY, type GuardedNms } from '../../../support/guarded-nms.ts';

const HOST_EVENTS = ['prePlay', 'postPlay', 'donePlay', 'prePublish', 'postPublish', 'donePublish'] as const;

const ENDED_WITHIN_MS = 1500;
/** Documentation address (RFC 5737), not this machine's. */
export const ELSEWHERE = '192.0.2.7';

export interface RefusalHouse {
  readonly house: GuardedNms;
  /** Added to the gate's clocks. */
  readonly shift: { wallMs: number; monotonicMs: number };
  /** What the order server says of a stream key: by default what `guarded-nms.ts` says. */
  streamKeyAnswer: (() => void | Promise<void>) | undefined;
  /** The address that plain connections, and RTMPS, seem to come from. */
  seenAs: string | undefined;
  /** Asks, and answers what was said; the connection has ended then. */
  ask(column: Column, ask: Omit<Ask, 'ports'>): Promise<Answer>;
  /** Asks in each column at the same time, and expects this refusal and nothing besides. */
  expectRefused(code: Code, cells: Partial<Record<Column, () => Promise<Omit<Ask, 'ports'>>>>): Promise<void>;
}

interface HostTables {
  readonly sessions: ReadonlyMap<string, unknown>;
  readonly broadcasts: ReadonlyMap<string, unknown>;
}

/** Starts it with room for `maxSessions`. */
export async function startRefusalHouse(maxSessions: number): Promise<RefusalHouse> {
  const shift = { wallMs: 0, monotonicMs: 0 };
  const clock: Clock = {
    nowMs: () => Date.now() + shift.wallMs,
    monotonicMs: () => performance.now() + shift.monotonicMs,
  };
  const house = await startGuardedNms({
    gate: {
      clock,
      maxSessions,
      streamKeys: {
        // What it throws must be a rejection.
        async authorizePublish(_uri, streamKey) {
          const { streamKeyAnswer } = refusals;
          if (streamKeyAnswer !== undefined) return streamKeyAnswer();
          if (streamKey !== STREAM_KEY) throw new Denial('stream_key_invalid');
        },
      },
    },
  });
  const tables = createRequire(import.meta.url)('node-media-server/src/core/context.js') as HostTables;
  const events: string[] = [];
  for (const event of HOST_EVENTS)
    house.nms.on(event, ({ streamPath }) => events.push(`${event} ${streamPath}`));

  function disguise(socket: object): void {
    const { seenAs } = refusals;
    if (seenAs !== undefined) Object.defineProperty(socket, 'remoteAddress', { value: seenAs });
  }
  const { httpServer, rtmpServer } = house.nms;
  httpServer.httpServer.prependListener('connection', disguise);
  rtmpServer.tcpServer.prependListener('connection', disguise);
  rtmpServer.tlsServer.prependListener('secureConnection', disguise);

  async function expectCell(code: Code, column: Column, ask: Omit<Ask, 'ports'>): Promise<void> {
    const isWebSocket = column.startsWith('ws');
    const isRtmp = column.startsWith('rtmp');
    const reader = openReader(column, { ...ask, ports: house.ports });
    const answer = await reader.answer;
    const answeredMs = performance.now();
    const { title, http, retryAfterSeconds } = refusalOf(code);
    expect(answer.code, column).toBe(code);
    if (isRtmp) expect(answer.rtmpCode).toBe(rtmpStatus(code, ask.command ?? 'play'));
    else expect(answer.status, column).toBe(http);
    expect(answer.text, column).toContain(title);
    const isHttpReply = !isRtmp && (!isWebSocket || answer.text === title);
    if (isHttpReply) expect(answer.retryAfter).toBe(retryAfterSeconds?.toString());
    const { atMs } = await reader.ended;
    expect(atMs - answeredMs, `${column}: its connection ended`).toBeLessThan(ENDED_WITHIN_MS);
    expect([reader.mediaBytes(), reader.strayBytes(), reader.messages.length], column).toEqual([0, 0, 0]);
  }

  const refusals: RefusalHouse = {
    house,
    shift,
    streamKeyAnswer: undefined,
    seenAs: undefined,
    async ask(column, ask) {
      const reader = openReader(column, { ...ask, ports: house.ports });
      const answer = await reader.answer;
      reader.destroy();
      await reader.ended;
      return answer;
    },
    async expectRefused(code, cells) {
      const before = { sessions: tables.sessions.size, broadcasts: tables.broadcasts.size };
      const [eventsBefore, sessionsBefore] = [events.length, house.gate.sessions().length];
      const entries = Object.entries(cells) as [Column, () => Promise<Omit<Ask, 'ports'>>][];
      expect(entries.length).toBeGreaterThan(0);
      await Promise.all(entries.map(async ([column, ask]) => expectCell(code, column, await ask())));
      expect(events.slice(eventsBefore)).toEqual([]);
      expect(house.gate.sessions()).toHaveLength(sessionsBefore);
      // The host learns of a closed socket a moment after its peer.
      await eventually(() => tables.sessions.size <= before.sessions, ENDED_WITHIN_MS);
      expect(tables.broadcasts.size).toBe(before.broadcasts);
    },
  };
  return refusals;
}
