/** `npm start`, as the bootstrap runs it: one command, everything up, everything down. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { listen } from '../../plugin/listen.ts';
import { stackEnvironment, type StackEnvironment } from '../support/stack.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

let environment: StackEnvironment;
beforeAll(async () => {
  environment = await stackEnvironment();
});
afterAll(async () => {
  await rm(environment.dataDir, { recursive: true, force: true });
});

interface Demo {
  readonly child: ChildProcess;
  output(): string;
}
function startDemo(env: NodeJS.ProcessEnv = {}): Demo {
  const { USHER_DEMO: _demo, USHER_DEMO_SERVER: _server, ...settings } = environment.env;
  const child = spawn(process.execPath, ['admin/demo.ts'], {
    cwd: ROOT,
    env: { ...settings, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return { child, output: () => output };
}

async function isUp({ child, output }: Demo): Promise<void> {
  while (!output().includes('Ctrl-C ends it')) {
    if (child.exitCode !== null) throw new Error(output());
    await Promise.race([once(child.stdout ?? child, 'data'), once(child, 'exit')]);
  }
}

/** Process ids of everything that was started with this test's data directory in its environment. */
async function processesLeft(): Promise<number[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(
    ids.map(async (id) => {
      const text = await readFile(`/proc/${String(id)}/environ`, 'utf8').catch(() => '');
      return text.split('\0').includes(`USHER_DATA=${environment.dataDir}`) ? [id] : [];
    }),
  );
  return found.flat();
}

async function takeTcp(port: number): Promise<() => void> {
  const blocker = createServer();
  await listen(blocker, port, '127.0.0.1', 'the test');
  return () => void blocker.close();
}

async function takeUdp(port: number): Promise<() => void> {
  const blocker = createSocket('udp4').bind(port, '127.0.0.1');
  await once(blocker, 'listening');
  return () => void blocker.close();
}

afterEach(async () => {
  for (const id of await processesLeft()) process.kill(id, 'SIGKILL');
});

describe('npm start', () => {
  it('brings everything up, says what to do, and leaves no process behind at Ctrl-C', async () => {
    const demo = startDemo();
    await isUp(demo);
    const text = demo.output();
    expect(text).toContain(`${environment.orderUrl}/`);
    expect(text).toContain('viewer@example.com');
    const streamKey = /demo\?key=(sk_[\w-]{22})/.exec(text)?.[1];
    expect(streamKey).toBeDefined();
    expect((await fetch(environment.orderUrl)).status).toBe(200);
    await expect
      .poll(async () => (await fetch(`${environment.mediaUrl}/metrics`)).text(), { timeout: 20_000 })
      .toMatch(/^usher_live_streams 1$/m);

    const exited = once(demo.child, 'exit');
    demo.child.kill('SIGINT');
    expect(await exited).toEqual([0, null]);
    expect(await processesLeft()).toEqual([]);

    const again = startDemo({ USHER_DEMO_ENCODER: 'off' });
    await isUp(again);
    expect(again.output()).toContain(streamKey ?? 'no key');
    const exitedAgain = once(again.child, 'exit');
    again.child.kill('SIGTERM');
    await exitedAgain;
    expect(await processesLeft()).toEqual([]);
  });

  it('leaves no process behind when it is killed hard', async () => {
    const demo = startDemo();
    await isUp(demo);
    demo.child.kill('SIGKILL');
    await expect.poll(processesLeft, { timeout: 10_000 }).toEqual([]);
  });

  it.each([
    ['USHER_PORT', takeTcp],
    ['USHER_MEDIA_PORT', takeTcp],
    ['USHER_RTMP_PORT', takeTcp],
    ['USHER_NMS_HTTP_PORT', takeTcp],
    ['USHER_RTC_PORT', takeTcp],
    ['USHER_RTC_PORT', takeUdp],
  ] as const)('says which port is taken, and that %s sets it', async (setting, take) => {
    const port = Number(environment.env[setting]);
    const release = await take(port);
    try {
      const demo = startDemo();
      const [code] = (await once(demo.child, 'exit')) as [number];
      expect(code).toBe(1);
      expect(demo.output()).toContain(`port ${String(port)} is taken`);
      expect(demo.output()).toContain(setting);
      expect(await processesLeft()).toEqual([]);
    } finally {
      release();
    }
  });

  it('refuses a misspelt setting, with a suggestion', async () => {
    const demo = startDemo({ USHER_PROT: '4000' });
    const [code] = (await once(demo.child, 'exit')) as [number];
    expect(code).toBe(1);
    expect(demo.output()).toContain('did you mean USHER_PORT?');
  });
});
