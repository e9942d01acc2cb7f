import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { generateMasterKey } from '../../plugin/key-vault.ts';

const MAIN = fileURLToPath(new URL('../../admin/main.ts', import.meta.url));
const MASTER_KEY = generateMasterKey();
let dataDir: string;
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'usher-main-'));
});
afterAll(() => rm(dataDir, { recursive: true, force: true }));

function start(env: NodeJS.ProcessEnv) {
  const child = fork(MAIN, {
    env: {
      PATH: process.env['PATH'],
      USHER_DATA: dataDir,
      USHER_LOG_LEVEL: 'silent',
      USHER_PORT: '0',
      USHER_MASTER_KEY: MASTER_KEY,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const exit = once(child, 'exit').then(([code]) => code as number | null);
  const ready = once(child, 'message').then(
    ([message]) => message as { ready: true; url: string; demo?: object },
  );
  return { child, exit, ready, said: () => said };
}

it.each(['SIGTERM', 'SIGINT'] as const)(
  'says when it is ready, and ends within 2 s at %s',
  async (signal) => {
    const { child, ready, exit } = start({});
    const { url } = await ready;
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    const startedMs = performance.now();
    child.kill(signal);
    expect(await exit).toBe(0);
    expect(performance.now() - startedMs).toBeLessThan(2000);
  },
);

it('ends when its parent is gone', async () => {
  const { child, ready, exit } = start({});
  await ready;
  child.disconnect();
  expect(await exit).toBe(0);
});

it('keeps what it had when it is killed, and starts again', async () => {
  const first = start({ USHER_DEMO: '1' });
  const before = await first.ready;
  first.child.kill('SIGKILL');
  await first.exit;
  const second = start({ USHER_DEMO: '1' });
  const after = await second.ready;
  expect(after.demo).toEqual(before.demo);
  const answer = await fetch(`${after.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"query":"{ catalog { edges { node { name } } } }"}',
  });
  expect(await answer.json()).toEqual({
    data: { catalog: { edges: [{ node: { name: 'Usher One' } }, { node: { name: 'Evening show' } }] } },
  });
  second.child.kill('SIGTERM');
  await second.exit;
});

it.each([
  [
    'a port that is taken',
    async () => {
      const blocker = createServer().listen(0, '127.0.0.1');
      await once(blocker, 'listening');
      const { port } = blocker.address() as AddressInfo;
      return {
        env: { USHER_PORT: String(port) },
        end: (): void => void blocker.close(),
        message: new RegExp(`port ${port} is taken; set USHER_PORT`),
      };
    },
  ],
  [
    'a setting that is not one',
    async () => ({
      env: { USHER_PROT: '1' },
      end: (): void => undefined,
      message: /did you mean USHER_PORT/,
    }),
  ],
  [
    'keys without a master key',
    async () => ({
      env: { USHER_MASTER_KEY: undefined },
      end: (): void => undefined,
      message: /USHER_MASTER_KEY is not set: .*`usher keys generate-master`/,
    }),
  ],
  [
    'keys under another master key',
    async () => ({
      env: { USHER_MASTER_KEY: generateMasterKey() },
      end: (): void => undefined,
      message: /is encrypted under another master key than USHER_MASTER_KEY/,
    }),
  ],
])('exits with 1 and one line for %s', async (_what, prepare) => {
  const { env, end, message } = await prepare();
  const { exit, said } = start(env);
  expect(await exit).toBe(1);
  expect(said().trim().split('\n')).toHaveLength(1);
  expect(said()).toMatch(message);
  end();
});

it('gives up on bodies and headers that do not come', async () => {
  const { child, ready, exit } = start({});
  const { url } = await ready;
  const { port, hostname } = new URL(url);
  const slow = async (text: string) => {
    const socket = connect(Number(port), hostname);
    let answer = '';
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString()));
    socket.write(text);
    await once(socket, 'close');
    return answer.split('\r\n')[0];
  };
  const answers = await Promise.all([
    slow(
      'POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{',
    ),
    slow('POST /graphql HTTP/1.1\r\nhost: x\r\n'),
  ]);
  expect(answers).toEqual(['HTTP/1.1 408 Request Timeout', 'HTTP/1.1 408 Request Timeout']);
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
  child.kill('SIGTERM');
  expect(await exit).toBe(0);
});
