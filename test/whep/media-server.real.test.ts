/** The WHEP suite against this house's own media server: stage, gate, tickets, and a stream that is on air. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getRequestListener } from '@hono/node-server';
import { createWorker, type types } from 'mediasoup';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Report } from '../../admin/cli/whep-check/run.ts';
import { whepCheckCommand } from '../../admin/cli/whep-check.ts';
import { createStage, type Stage } from '../../plugin/adapters/mediasoup.ts';
import { createWhep } from '../../plugin/adapters/whep.ts';
import { systemClock } from '../../plugin/clock.ts';
import { createIceServers } from '../../plugin/http/ice-servers.ts';
import { startSource, type Source } from '../plugin/adapters/mediasoup/rtp-source.ts';
import { silentLog } from '../support/doubles.ts';
import { setUpGate } from '../support/gates.ts';
import { createTicketWorld, PATH, type TicketWorld } from '../support/tickets.ts';

const BIN = join(import.meta.dirname, '..', '..', 'tools', 'media-usher.mjs');

/** What does not apply to this server whoever asks: see docs/whep.md. */
const NOT_APPLICABLE = [
  ...['https', 'redirection', 'off-air', 'extensions'],
  ...[
    'counter-offer',
    'valid-until',
    'counter-offer-direction',
    'counter-answer-malformed',
    'counter-answer',
  ],
  ...['patch-unsupported', 'restart-refused', 'events'],
  ...['consent', 'revocation', 'bundled-media', 'restart-candidates', 'restart-consent', 'rate-limits'],
];

describe('the media server, checked by the WHEP suite', () => {
  let folder: string;
  let worker: types.Worker;
  let stage: Stage;
  let source: Source;
  let server: Server;
  let world: TicketWorld;
  let url: string;
  let gate: ReturnType<typeof setUpGate>;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'usher-whep-check-'));
    worker = await createWorker({ logLevel: 'error' });
    const common = { clock: systemClock, log: silentLog };
    stage = await createStage({ workers: [worker], listen: { ip: '127.0.0.1', port: 0 }, ...common });
    world = await createTicketWorld(systemClock);
    gate = setUpGate(world, systemClock);
    server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}/media`;
    url = `${base}/whep${PATH}`;
    const urls = ['stun:stun.example', 'turns:turn.example:5349?transport=tcp'];
    const iceServers = createIceServers({ urls, turnSecret: 'a shared secret', clock: systemClock });
    const whep = createWhep({ gate: gate.gate, stage, publicUrl: new URL(base), iceServers, ...common });
    const listener = getRequestListener((request) => whep.fetch(request, { peer: '127.0.0.1' }));
    server.on('request', (request, response) => void listener(request, response));
    const video = { profile: 'baseline', profileLevelId: '42c01e' };
    source = await startSource(stage, PATH, { video, audio: true });
  });
  afterAll(async () => {
    await source.stop();
    server.closeAllConnections();
    server.close();
    stage.close();
    worker.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function run(...options: string[]): Promise<{ code: number; report: Report }> {
    let output = '';
    const print = (text: string): void => void (output += text);
    const code = await whepCheckCommand([url, '--json', ...options], { print, paceMs: 0 });
    const { checks: results, ...report } = JSON.parse(output) as Omit<Report, 'results'> & {
      checks: Report['results'];
    };
    return { code, report: { ...report, results } };
  }

  const namesOf = ({ results }: Report, outcome: string): string[] =>
    results.filter((result) => result.outcome === outcome).map(({ id, why }) => `${id}: ${why ?? ''}`);

  async function ticketFiles(): Promise<string[]> {
    const viewer = await world.newViewer();
    const [ticket, key] = [join(folder, 'ticket'), join(folder, 'key.json')];
    await writeFile(ticket, `${await world.ticketFor(viewer)}\n`);
    await writeFile(key, JSON.stringify(viewer.proofKey.privateJwk));
    return ['--ticket', ticket, '--key', key];
  }

  /** A ticket that is bound to no key. */
  async function bearerOption(): Promise<string[]> {
    return ['--bearer', await world.ticketFor(await world.newViewer(), { cnf: undefined })];
  }

  it.each([
    ['a ticket and proofs', ticketFiles],
    ['a bearer ticket', bearerOption],
  ])('does all that it must and should, asked with %s', async (_name, options) => {
    const { code, report } = await run(...(await options()));
    expect(namesOf(report, 'failed')).toEqual([]);
    expect(namesOf(report, 'not followed')).toEqual([]);
    const unseen = report.results.filter(({ outcome }) => outcome === 'not applicable').map(({ id }) => id);
    expect(unseen.toSorted()).toEqual(NOT_APPLICABLE.toSorted());
    expect([code, report.opened]).toEqual([0, true]);
    expect(stage.stats().viewings).toBe(0);
  });

  it('says when to come again while the stream is off air', async () => {
    const ticket = await world.ticketFor(await world.newViewer(), { cnf: undefined, uri: '/live/off' });
    let output = '';
    const print = (text: string): void => void (output += `${text}\n`);
    const off = url.replace(PATH, '/live/off');
    expect(await whepCheckCommand([off, '--bearer', ticket], { print, paceMs: 0 })).toBe(2);
    expect(output).toMatch(/^ok {6}off-air /m);
    expect(output).toMatch(/^\d+ passed, 0 failed, \d+ not applicable$/m);
    expect(output).not.toContain(ticket);
  });

  it('is refused without a ticket, which no check takes for a fault', async () => {
    const { code, report } = await run();
    expect(namesOf(report, 'failed')).toEqual([]);
    expect([code, report.opened]).toEqual([2, false]);
  });

  it('is checked by the installed command', async () => {
    const args = [BIN, 'whep-check', url, ...(await ticketFiles())];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let [output, errors] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
    const [code] = (await once(child, 'exit')) as [number];
    expect([code, errors]).toEqual([0, '']);
    expect(output).toMatch(/^ok {6}answer-direction {2}The answer is sendonly {2}\[MUST, 4\.2\.5\]$/m);
    expect(output).toMatch(/\n\d+ passed, 0 failed, \d+ not applicable\n$/);
  });
});
