/** The composition for a media server of one's own, against an order server that says yes. */
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../plugin/clock.ts';
import type { AccessRequest, StreamStatus } from '../../plugin/contract.ts';
import { openGate, type OpenedGate } from '../../plugin/open-gate.ts';
import { readEvidence } from '../../plugin/receipts/evidence.ts';
import { verifyReceipts } from '../../plugin/receipts/verify.ts';
import { UNLIMITED_PLAY } from '../../plugin/rights/index.ts';
import { loadOrCreateServerKeys } from '../../plugin/server-keys.ts';
import { readKeySet } from '../../plugin/ticket/key-sets.ts';
import { fakeViewing, recordingLog, silentLog, UNLIMITED } from '../support/doubles.ts';
import { createWriter } from '../support/receipt-book.ts';
import { answerWithEmptyFeed } from '../support/revocations.ts';
import { createTicketWorld, PATH, type TicketWorld } from '../support/tickets.ts';

interface Message {
  readonly path: string;
  readonly payload: {
    readonly op?: string;
    readonly session?: string;
    readonly receipts?: { state: string }[];
  };
}

let dataDir: string;
let orderServer: Server;
let url: string;
let world: TicketWorld;
let received: Message[];
let usher: OpenedGate;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'usher-gate-'));
  received = [];
  world = await createTicketWorld(systemClock);
  orderServer = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const path = request.url ?? '';
      const answer = (body: object): void => void response.end(JSON.stringify(body));
      if (path.startsWith('/v1/revocations')) return answerWithEmptyFeed(response);
      if (path === '/.well-known/jwks.json') return answer({ keys: [world.signingKey.publicJwk] });
      const payload = decodeJwt<Message['payload']>(Buffer.concat(chunks).toString());
      received.push({ path, payload });
      if (path === '/v1/receipts') return answer({ stored: 1, refused: [] });
      answer(payload.session === undefined ? {} : { ...UNLIMITED, session: payload.session });
    });
  }).listen(0, '127.0.0.1');
  await once(orderServer, 'listening');
  url = `http://127.0.0.1:${String((orderServer.address() as AddressInfo).port)}`;
  usher = await openGate(env(), silentLog);
});
afterEach(async () => {
  await usher.close();
  orderServer.closeAllConnections();
  orderServer.close();
  await rm(dataDir, { recursive: true, force: true });
});

const env = (more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
  USHER_ORDER_SERVER_URL: url,
  USHER_MEDIA_DATA: join(dataDir, 'media'),
  USHER_SERVER_ID: 'nms-1',
  USHER_MEDIA_PUBLIC_URL: 'http://media.example:8000',
  USHER_TRUSTED_PROXIES: '1',
  ...more,
});

/** What the order server knows of this media server. */
async function registration() {
  const keys = await loadOrCreateServerKeys(join(dataDir, 'media'), 'nms-1', 'http://media.example:8000');
  return keys.registration;
}

/** A viewer that the order server has sold an access to. */
async function request(): Promise<AccessRequest> {
  const viewer = await world.newViewer();
  const { sealingKey } = await registration();
  const server = { kid: String(sealingKey.kid), publicJwk: sealingKey };
  const claims = { iss: url, aud: ['nms-1'], rights: { ...UNLIMITED_PLAY, accesses: 1 } };
  const ticket = await world.ticketFor(viewer, claims, { server });
  return world.request(viewer, ticket, { proof: { nonce: usher.gate.nonce() } });
}

async function play() {
  const viewing = fakeViewing();
  const media = { isLive: () => true, open: () => Promise.resolve(viewing) };
  return { viewing, session: await usher.gate.admit(await request(), media) };
}

describe('openGate', () => {
  it('reads its settings, and makes the keys of this server once', async () => {
    expect(usher).toMatchObject({
      trustedProxies: 1,
      publicUrls: { http: 'http://media.example:8000', rtmp: 'rtmp://media.example:1935' },
    });
    const before = await registration();
    const again = await openGate(env(), silentLog);
    await again.close();
    expect(await registration()).toEqual(before);
  });

  it('refuses settings that are not there or wrong', async () => {
    await expect(openGate(env({ USHER_PROT: '1' }), silentLog)).rejects.toThrow(
      /USHER_PROT is not a setting/,
    );
    await expect(openGate(env({ USHER_FLV_PUBLIC_URL: 'ftp://x' }), silentLog)).rejects.toThrow(TypeError);
  });

  it('admits who has a ticket of the order server, and at the end delivers the final receipt', async () => {
    const { viewing, session } = await play();
    expect(received.map(({ payload }) => payload.op)).toEqual(['reserve']);
    viewing.reading = { mediaMs: 1500, bytes: 1000 };
    viewing.firstMedia();
    await vi.waitFor(() => expect(received.map(({ payload }) => payload.op)).toEqual(['reserve', 'commit']));
    await usher.close();
    expect([viewing.closed, await session.ended]).toEqual([true, 'server_stopped']);
    expect(received.at(-1)).toMatchObject({
      path: '/v1/receipts',
      payload: { receipts: [{ state: 'final', reason: 'server_stopped', mediaMs: 1500, bytes: 1000 }] },
    });
    await usher.close();
    expect(received.filter(({ path }) => path === '/v1/receipts')).toHaveLength(1);
  });

  it('closes the sessions that a crash has left open, when it comes back', async () => {
    const { viewing, session } = await play();
    viewing.firstMedia();
    const [spool] = await vi.waitFor(async () => {
      const files = (await readdir(join(dataDir, 'media/receipts/0'))).filter((name) =>
        name.endsWith('.spool'),
      );
      expect(files).toHaveLength(1);
      return files;
    });
    // What a crash leaves, on a machine of its own.
    const after = join(dataDir, 'after');
    await mkdir(join(after, 'receipts/0'), { recursive: true });
    await cp(join(dataDir, 'media/receipts/0', spool ?? ''), join(after, 'receipts/0', spool ?? ''));
    await cp(join(dataDir, 'media/server-keys.json'), join(after, 'server-keys.json'));
    const back = await openGate(env({ USHER_MEDIA_DATA: after }), silentLog);
    const closing = await vi.waitFor(() => {
      const message = received.find(({ path }) => path === '/v1/receipts');
      expect(message).toBeDefined();
      return message;
    });
    expect(closing?.payload.receipts).toMatchObject([
      { session: session.id, seq: 0, mediaMs: 0, state: 'final', reason: 'server_crashed' },
    ]);
    await back.close();
  });

  it('writes receipts as often as it is set to', async () => {
    await usher.close();
    usher = await openGate(env({ USHER_RECEIPT_SECONDS: '1' }), silentLog);
    const { viewing } = await play();
    viewing.firstMedia();
    await vi.waitFor(
      () => expect(received.filter(({ path }) => path === '/v1/receipts').length).toBeGreaterThan(0),
      3000,
    );
    await expect(openGate(env({ USHER_RECEIPT_SECONDS: '16' }), silentLog)).rejects.toThrow(
      /USHER_RECEIPT_SECONDS/,
    );
  });

  it('signs what it shows a viewer of receipts, by the key that is registered', async () => {
    const writer = createWriter();
    const receipts = [writer.next(), writer.next()];
    const answer = { receipts, ...usher.signReceipts(receipts) };
    const keys = await readKeySet({ keys: [(await registration()).signingKey] });
    const report = verifyReceipts(readEvidence(JSON.stringify(answer)), { keys, serverId: 'nms-1' });
    expect(report).toMatchObject({ isValid: true, signatures: 'checked' });
    expect(JSON.stringify(answer)).not.toContain('"d":');
  });

  it('says how many receipts wait for the next start when the order server is away at the end', async () => {
    const log = recordingLog();
    await usher.close();
    usher = await openGate(env(), log);
    const { viewing } = await play();
    viewing.firstMedia();
    orderServer.closeAllConnections();
    await new Promise((done) => orderServer.close(done));
    await usher.close();
    expect(log.lines.join()).toContain('[{"receipts":1},"receipts wait on the disk for the next start"]');
  });

  it('reports what is on the air, to the order server and in the metrics', async () => {
    const health = { video: null, audio: null, malformedTags: 0, warnings: [] };
    const streams: StreamStatus[] = [{ uri: PATH, onAirSince: 1_700_000_000, viewers: 3, health }];
    const metrics = async () => (await usher.metrics.response()).text();
    expect(await metrics()).toMatch(/^usher_live_streams 0$/m);
    const first = usher.reportStreams(() => streams);
    first.changed();
    expect(await metrics()).toMatch(/^usher_live_streams 1$/m);
    expect(await metrics()).toContain(`usher_stream_viewers{path="${PATH}"} 3`);
    // Told of by somebody else too: the first counts, and all the others are there beside it.
    const second = { uri: '/live/second', onAirSince: 1_700_000_001, viewers: 0, health };
    const others = usher.reportStreams(() => [{ ...streams[0]!, viewers: 9 }, second]);
    expect(await metrics()).toMatch(/^usher_live_streams 2$/m);
    expect(await metrics()).toContain(`usher_stream_viewers{path="${PATH}"} 3`);
    const reported = { path: '/v1/streams', payload: { streams: [...streams, second] } };
    await vi.waitFor(() => expect(received).toMatchObject([reported]), { timeout: 5000 });
    // Who is no longer told of takes away only his own.
    first.end();
    first.end();
    expect(await metrics()).toMatch(/^usher_live_streams 2$/m);
    expect(await metrics()).toContain(`usher_stream_viewers{path="${PATH}"} 9`);
    others.end();
    expect(await metrics()).toMatch(/^usher_live_streams 0$/m);
  });
});
