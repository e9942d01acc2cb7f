/**
 * `GET /v1/revocations?after=N`: the revocation feed as server-sent events, for registered streaming servers. Each
 * connection keeps its place in the feed and nothing else: what waits for a slow reader is one batch.
 */
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import type { Context } from 'hono';
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import {
  KNOWS_NOTHING,
  MAX_REVOCATIONS_PER_EVENT,
  revocationsRequestSchema,
  type Revocation,
} from '../../plugin/contract.ts';
import { Denial } from '../../plugin/errors.ts';
import type { Services } from '../context.ts';
import { readEntries } from '../revocations/entries.ts';
import { activeSenders } from '../trust/messages.ts';
import type { AppEnv } from './env.ts';
import { errorFields } from './error-fields.ts';

/** One more replaces the oldest of the same server. */
export const MAX_CONNECTIONS_PER_SERVER = 8;
const MAX_CONNECTIONS = 512;
/** Who is further behind gets a snapshot. */
export const MAX_REPLAYED = 10_000;
/** A reader that takes nothing for this long is cut; it comes back and resumes. */
const BLOCKED_FOR_MS = 5000;
/** A withdrawn registration ends its connections within this many heartbeats. */
const CHECK_EVERY_HEARTBEATS = 5;
const MAX_MESSAGE_CHARS = 2048;

const HEADERS = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  /** nginx holds answers back without it. */
  'x-accel-buffering': 'no',
  connection: 'close',
};

const frame = (event: string, seq: number, data: object): string =>
  `event: ${event}\nid: ${String(seq)}\ndata: ${JSON.stringify(data)}\n\n`;

interface Connection {
  readonly serverId: string;
  /** Sends what is missing; what comes meanwhile is sent too. */
  pump(): Promise<void>;
  heartbeat(): void;
  /** Ends the answer; without waiting for a reader that does not read. */
  end(): void;
}

function createConnection(
  { db, clock, log, feed }: Services,
  outgoing: ServerResponse,
  serverId: string,
  after: number,
): Connection {
  /** The latest number that was written. */
  let position = after;
  let isPumping = false;
  let isAsked = false;
  let blockedSinceMs: number | undefined;

  async function write(text: string): Promise<void> {
    if (outgoing.destroyed || outgoing.writableEnded) throw new Error('the reader has gone');
    if (!outgoing.write(text)) await once(outgoing, 'drain', { signal: AbortSignal.timeout(BLOCKED_FOR_MS) });
  }

  async function sendSnapshot(): Promise<void> {
    const seq = feed.latest();
    const aliveAt = new Date(clock.nowMs());
    let from = 0;
    let page: Revocation[] = [];
    do {
      // The page before this one was not the last.
      if (page.length > 0) await write(frame('snapshot-part', seq, { seq, revocations: page }));
      page = await readEntries(db, { after: from, upTo: seq, limit: MAX_REVOCATIONS_PER_EVENT, aliveAt });
      from = page.at(-1)?.seq ?? seq;
    } while (page.length === MAX_REVOCATIONS_PER_EVENT);
    await write(frame('snapshot', seq, { seq, revocations: page }));
    position = seq;
  }

  async function sendMissing(): Promise<void> {
    const latest = feed.latest();
    if (position === KNOWS_NOTHING || position > latest || latest - position > MAX_REPLAYED) {
      await sendSnapshot();
    }
    while (position < feed.latest()) {
      const entries = await feed.after(position, MAX_REVOCATIONS_PER_EVENT);
      const last = entries.at(-1);
      if (last === undefined || entries[0]?.seq !== position + 1) {
        // Somebody has taken rows away; everything that is left is better than a gap.
        await sendSnapshot();
        continue;
      }
      await write(entries.map((entry) => frame('revocation', entry.seq, entry)).join(''));
      position = last.seq;
    }
  }

  return {
    serverId,
    async pump() {
      isAsked = true;
      if (isPumping) return;
      isPumping = true;
      try {
        while (isAsked) {
          isAsked = false;
          await sendMissing();
        }
      } catch (error) {
        if (!outgoing.destroyed) {
          log.info({ server: serverId, ...errorFields(error) }, 'a reader of the revocation feed was cut');
        }
        outgoing.destroy();
      } finally {
        isPumping = false;
      }
    },
    heartbeat() {
      // A place behind the heartbeat's number would look like a gap.
      if (isPumping || outgoing.destroyed) return;
      if (!outgoing.writableNeedDrain) {
        blockedSinceMs = undefined;
        outgoing.write(frame('heartbeat', position, { seq: position }));
        return;
      }
      blockedSinceMs ??= clock.monotonicMs();
      if (clock.monotonicMs() - blockedSinceMs >= BLOCKED_FOR_MS) outgoing.destroy();
    },
    end() {
      if (outgoing.writableNeedDrain) outgoing.destroy();
      else outgoing.end();
    },
  };
}

/** What the query says is known. @throws Denial `request_malformed`. */
function parseAfter(text: string | undefined): number {
  if (text === undefined) return KNOWS_NOTHING;
  if (!/^(?:-1|0|[1-9]\d{0,14})$/.test(text)) throw new Denial('request_malformed', { detail: 'after' });
  return Number(text);
}

export interface RevocationsEndpoint {
  /** Answers `GET /v1/revocations`. @throws Denial. */
  get(context: Context<AppEnv>): Promise<Response>;
  /** Ends all connections. */
  close(): void;
}

export function createRevocationsEndpoint(services: Services): RevocationsEndpoint {
  const { db, log, metrics, messages, feed } = services;
  // In the order of their coming.
  const connections = new Map<ServerResponse, Connection>();
  let heartbeats = 0;

  async function cutWithdrawn(): Promise<void> {
    const active = new Set(await activeSenders(db));
    for (const [outgoing, { serverId }] of connections) {
      if (active.has(serverId)) continue;
      log.warn({ server: serverId }, 'a withdrawn server was cut from the revocation feed');
      outgoing.destroy();
    }
  }

  const unsubscribe = feed.subscribe({
    isIdle: () => connections.size === 0,
    onEntries: () => {
      for (const connection of connections.values()) void connection.pump();
    },
    onHeartbeat: () => {
      for (const connection of connections.values()) connection.heartbeat();
      if (++heartbeats % CHECK_EVERY_HEARTBEATS !== 0 || connections.size === 0) return;
      cutWithdrawn().catch((error: unknown) => {
        log.warn(errorFields(error), 'the readers of the revocation feed were not checked');
      });
    },
  });

  function add(outgoing: ServerResponse, connection: Connection): void {
    const own = [...connections].filter(([, { serverId }]) => serverId === connection.serverId);
    const [oldest] = own;
    if (own.length >= MAX_CONNECTIONS_PER_SERVER && oldest !== undefined) {
      connections.delete(oldest[0]);
      oldest[1].end();
    } else if (connections.size >= MAX_CONNECTIONS) throw new Denial('overloaded');
    connections.set(outgoing, connection);
    metrics.feedConnections.set(connections.size);
    outgoing.once('close', () => {
      connections.delete(outgoing);
      metrics.feedConnections.set(connections.size);
    });
  }

  return {
    async get(context) {
      if (context.req.method !== 'GET') throw new Denial('method_not_allowed');
      const after = parseAfter(context.req.query('after'));
      const jws = /^Bearer ([\w.-]+)$/i.exec(context.req.header('authorization') ?? '')?.[1];
      if (jws === undefined) throw new Denial('server_untrusted', { detail: 'authorization' });
      const message = await messages.read(jws, {
        typ: 'revocations+jwt',
        schema: revocationsRequestSchema,
        maxChars: MAX_MESSAGE_CHARS,
      });
      if (message.after !== after) throw new Denial('request_malformed', { detail: 'after' });
      await feed.refresh();
      const { outgoing } = context.env;
      if (outgoing.destroyed) return RESPONSE_ALREADY_SENT;
      const connection = createConnection(services, outgoing, message.iss, after);
      add(outgoing, connection);
      outgoing.writeHead(200, HEADERS);
      outgoing.flushHeaders();
      void connection.pump().then(() => {
        connection.heartbeat();
      });
      return RESPONSE_ALREADY_SENT;
    },
    close() {
      unsubscribe();
      for (const connection of connections.values()) connection.end();
      connections.clear();
    },
  };
}
