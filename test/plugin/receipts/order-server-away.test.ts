/** The order server is away for a while, in every way that it can be: sessions go on, receipts arrive once, in order. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { systemClock } from '../../../plugin/clock.ts';
import type { Receipt } from '../../../plugin/contract.ts';
import { Denial, problemResponse } from '../../../plugin/errors.ts';
import { createOrderServer } from '../../../plugin/order-server.ts';
import { openDurableOutbox } from '../../../plugin/receipts/durable-outbox.ts';
import { startSession } from '../../../plugin/session.ts';
import { generateSigningKey, type SigningKeyPair } from '../../../plugin/ticket/index.ts';
import { fakeViewing, makeGrant, recordedRedemptions, silentLog } from '../../support/doubles.ts';
import { createReceiptBook } from '../../support/receipt-book.ts';

const AWAY_MS = 1500;
const SESSIONS = 5;

type Way =
  'refuses connections' | 'takes them and never answers' | 'answers 500' | 'does not know the new key';

interface World {
  readonly book: ReturnType<typeof createReceiptBook>;
  readonly url: string;
  /** Requests so far. */
  requests(): number;
  go(way: Way): Promise<void>;
  comeBack(): Promise<void>;
}

/** An order server that keeps receipts of whose keys it knows. */
async function startWorld(known: Set<string>): Promise<World> {
  const book = createReceiptBook();
  let way: Way | null = null;
  let requests = 0;
  const server: Server = createServer((request, response) => {
    requests += 1;
    void text(request).then(async (jws) => {
      const refuse = async (refusal: Response): Promise<void> => {
        response.writeHead(refusal.status, Object.fromEntries(refusal.headers)).end(await refusal.text());
      };
      if (way === 'answers 500') return refuse(problemResponse(new Denial('internal')));
      const { kid = '' } = decodeProtectedHeader(jws);
      if (!known.has(kid)) return refuse(problemResponse(new Denial('server_untrusted')));
      const answer = book.store(decodeJwt<{ receipts: Receipt[] }>(jws).receipts);
      // The worst that can get lost is the answer.
      if (way === 'takes them and never answers') return;
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
    });
  });
  const listen = async (port: number): Promise<void> => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  };
  await listen(0);
  const { port } = server.address() as AddressInfo;
  const stop = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  onTestFinished(stop);
  return {
    book,
    url: `http://127.0.0.1:${String(port)}`,
    requests: () => requests,
    async go(next) {
      way = next;
      if (next === 'refuses connections') await stop();
    },
    async comeBack() {
      if (way === 'refuses connections') await listen(port);
      else server.closeAllConnections();
      way = null;
    },
  };
}

describe.concurrent('while the order server', () => {
  it.each<Way>([
    'refuses connections',
    'takes them and never answers',
    'answers 500',
    'does not know the new key',
  ])('%s, sessions go on, and their receipts arrive afterwards', async (way) => {
    const directory = await mkdtemp(join(tmpdir(), 'usher-away-'));
    onTestFinished(() => rm(directory, { recursive: true, force: true }));
    const [before, after] = await Promise.all([generateSigningKey(), generateSigningKey()]);
    const known = new Set([before.kid]);
    const world = await startWorld(known);
    let key: SigningKeyPair = before;
    const outbox = await openDurableOutbox({
      directory,
      delivery: createOrderServer({
        url: world.url,
        serverId: 'ss-1',
        signingKey: () => key,
        clock: systemClock,
        timeoutMs: 300,
      }),
      log: silentLog,
      clock: systemClock,
      maxBytes: 1 << 20,
      whenFull: 'end',
      endSessions: () => undefined,
    });
    onTestFinished(async () => {
      await outbox.close(100);
    });

    const written: Receipt[] = [];
    const sink = {
      ...outbox,
      append: (receipt: Receipt): void => {
        written.push(receipt);
        outbox.append(receipt);
      },
    };
    const sessions = Array.from({ length: SESSIONS }, () => {
      const viewing = fakeViewing();
      const session = startSession({
        grant: makeGrant({ sessionId: crypto.randomUUID() }),
        viewing,
        redeemed: null,
        redemptions: recordedRedemptions(),
        sink,
        clock: systemClock,
        log: silentLog,
        receiptIntervalMs: 50,
      });
      viewing.firstMedia();
      return session;
    });
    await vi.waitFor(() => expect(world.book.chains.size).toBe(SESSIONS), 5000);

    if (way === 'does not know the new key') key = after;
    await world.go(way);
    const [asked, had] = [world.requests(), written.length];
    await sleep(AWAY_MS);
    expect(sessions.filter((session) => session.isEnded())).toEqual([]);
    expect(written.length).toBeGreaterThan(had + (SESSIONS * AWAY_MS) / 100);
    // It backs off: a batch each commit would be more.
    expect(world.requests() - asked).toBeLessThan(12);
    known.add(after.kid);
    await world.comeBack();

    await Promise.all(sessions.map((session) => session.end('viewer_left')));
    await vi.waitFor(() => expect(outbox.waiting()).toBe(0), 20_000);
    expect([...world.book.chains.values()].flat()).toHaveLength(written.length);
    for (const session of sessions) {
      const own = written.filter((receipt) => receipt.session === session.id);
      expect(world.book.chains.get(session.id)).toEqual(own);
    }
  });
});
