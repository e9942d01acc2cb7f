/** `media-usher play` as a process, against the RTSP server and the real gate: signals, pipes, players, and the file of tickets. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openRtsp, type RtspServer } from '../../../../plugin/adapters/rtsp.ts';
import { systemClock } from '../../../../plugin/clock.ts';
import { makeGrant, silentLog } from '../../../support/doubles.ts';
import { eventually } from '../../../support/eventually.ts';
import { setUpGate } from '../../../support/gates.ts';
import { createTicketWorld, PATH, type TicketWorld, type Viewer } from '../../../support/tickets.ts';
import { createFakeStream, type FakeStream } from '../../../plugin/adapters/rtsp/fake-stream.ts';

/** A process needs seconds to start on a machine that does other things as well. */
vi.setConfig({ testTimeout: 90_000 });

let folder: string;
let world: TicketWorld;
let house: ReturnType<typeof setUpGate>;
let stream: FakeStream;
let server: RtspServer;
let viewer: Viewer;
let child: ChildProcess | undefined;
const nowSeconds = (): number => Math.floor(Date.now() / 1000);

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'usher-play-'));
  world = await createTicketWorld(systemClock);
  house = setUpGate(world, systemClock);
  stream = createFakeStream();
  server = await openRtsp({
    ...{ gate: house.gate, stage: stream, host: '127.0.0.1', udpPort: 0, clock: systemClock, log: silentLog },
    rtsp: {
      port: 0,
      get publicUrl() {
        return `rtsp://127.0.0.1:${String(server.ports.rtsp)}`;
      },
    },
  });
  viewer = await world.newViewer();
});
afterEach(async () => {
  child?.kill('SIGKILL');
  await house.gate.close('server_stopped');
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

const file = (name: string): string => join(folder, name);

async function entry(claims = {}): Promise<object> {
  const { ticket, clientPart } = await world.issueFor(viewer, { rights: makeGrant().rights, ...claims });
  const [proofKey, sealKey] = [viewer.proofKey.privateJwk, viewer.sealKey.privateJwk];
  return { ticket, clientPart, proofKey, sealKey };
}

/** As whoever keeps the file should write it: all at once. */
function write(...tickets: object[]): string {
  writeFileSync(file('new'), JSON.stringify({ tickets }), { mode: 0o600 });
  renameSync(file('new'), file('tickets.json'));
  return file('tickets.json');
}

interface Running {
  readonly child: ChildProcess;
  readonly code: Promise<number | string>;
  said(): string;
  told(): string;
}

function run(...more: string[]): Running {
  const url = `rtsp://127.0.0.1:${String(server.ports.rtsp)}${PATH}`;
  const words = ['admin/cli.ts', 'play', url, '--ticket', file('tickets.json'), '--timeout', '60', ...more];
  const own = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  child = own;
  let [said, told] = ['', ''];
  own.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  if (!more.includes('-')) own.stdout.on('data', (chunk: Buffer) => (told += chunk.toString()));
  const code = once(own, 'close').then(([status, signal]) => (status ?? signal) as number | string);
  return { child: own, code, said: () => said, told: () => told };
}

const soon = (isSo: () => boolean): Promise<boolean> => eventually(isSo, 30_000);

/** Pictures and sound until something is so. */
async function send(until: () => boolean): Promise<void> {
  await soon(() => {
    stream.mediaMs += 40;
    stream.picture(true, 3000);
    stream.sound();
    stream.reports();
    return until();
  });
}

const isWatched = (): boolean => stream.listeners() === 2;

describe('ends', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)('%s tears down: code 0, and the last receipt', async (signal) => {
    write(await entry());
    const { child: own, code, said, told } = run();
    await send(isWatched);
    await send(() => house.redemptions.calls.includes('commit'));
    own.kill(signal);
    expect(await code, said()).toBe(0);
    expect(told()).toMatch(/^stopped, after .*\(viewer_left\)/s);
    expect(house.gate.sessions()).toEqual([]);
  });

  it('a closed pipe at standard output does so', async () => {
    write(await entry());
    const { child: own, code, said } = run('--output', '-');
    await send(isWatched);
    own.stdout?.destroy();
    await send(() => own.exitCode !== null);
    expect(await code, said()).toBe(0);
    expect(said()).toMatch(/^the player was closed, after .*\(viewer_left\)/s);
    expect(house.gate.sessions()).toEqual([]);
  });

  it('SIGINT while nobody answers ends it at once: code 1, since nothing was played', async () => {
    write(await entry());
    vi.spyOn(house.gate, 'mintPass').mockImplementation(() => new Promise(() => undefined));
    const { child: own, code, said } = run();
    await soon(() => vi.mocked(house.gate.mintPass).mock.calls.length > 0);
    own.kill('SIGINT');
    expect(await code).toBe(1);
    expect(said()).toContain('stopped before anything was played');
  });
});

describe('a player', () => {
  const script = (text: string): string => {
    writeFileSync(file('player'), `#!/bin/sh\n${text}\n`);
    chmodSync(file('player'), 0o700);
    return file('player');
  };

  it('that is closed ends it', async () => {
    write(await entry());
    const { code, said } = run('--player', script('head -c 5000 >/dev/null'));
    await send(isWatched);
    await send(() => house.gate.sessions().length === 0);
    expect(await code, said()).toBe(0);
  });

  it('that stays when its input ends is ended as well', async () => {
    write(await entry());
    const { child: own, code, said } = run('--player', script('cat >/dev/null; exec sleep 60'));
    await send(isWatched);
    own.kill('SIGINT');
    expect(await code, said()).toBe(0);
  });

  it('that is not there is said, with code 1', async () => {
    write(await entry());
    const { code, said } = run('--player', file('nobody'));
    expect(await code).toBe(1);
    expect(said()).toContain('the player cannot be started');
    await soon(() => house.gate.sessions().length === 0);
  });
});

it('a later ticket that is put into the file renews the session', async () => {
  // As long as it can be, so that the process is there in time; of longer ones nothing is said at once.
  write(await entry({ exp: nowSeconds() + 30 }));
  const { child: own, code, said } = run('--json');
  await send(isWatched);
  await soon(() => said().includes('no later one'));
  // Half written, and gone, as editors leave it for a moment.
  writeFileSync(file('tickets.json'), '{"tickets": [');
  write(await entry({ exp: nowSeconds() + 25 }), await entry());
  await soon(() => said().includes('renewed until'));
  expect(house.gate.sessions()[0]?.grant.expiresAtSeconds).toBeGreaterThan(nowSeconds() + 3000);
  own.kill('SIGINT');
  expect(await code, said()).toBe(0);
});
