import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const MODULE = new URL('../../plugin/exit.ts', import.meta.url).href;
const HERE = fileURLToPath(new URL('.', import.meta.url));

/** A process that ends by `close`; answers its exit code and what it printed. */
async function run(close: string, end: (child: ReturnType<typeof fork>) => void, more = '') {
  const program = `
    import { exitOnSignals } from ${JSON.stringify(MODULE)};
    exitOnSignals(async () => { ${close} });
    ${more}
    setInterval(() => undefined, 1000);
    process.send('ready');`;
  const child = fork('-', { execArgv: ['--input-type=module', '--eval', program], cwd: HERE, silent: true });
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await once(child, 'message');
  const startMs = performance.now();
  // Not "close", which does not come after `disconnect`.
  const exited = once(child, 'exit');
  const printed = once(child.stdout ?? child, 'end');
  end(child);
  const [code, signal] = (await exited) as [number | null, string | null];
  await printed;
  return { code, signal, output, tookMs: performance.now() - startMs };
}

const SLOW = "await new Promise((done) => setTimeout(done, 200)); console.log('closed');";

it.each(['SIGTERM', 'SIGINT'] as const)('closes at %s, and then ends with 0', async (signal) => {
  expect(await run(SLOW, (child) => child.kill(signal))).toMatchObject({ code: 0, output: 'closed\n' });
});

it('closes when the parent goes', async () => {
  expect(await run(SLOW, (child) => child.disconnect())).toMatchObject({ code: 0, output: 'closed\n' });
});

it('goes on closing when a library sends the signal once more', async () => {
  const again = "process.once('SIGTERM', () => process.kill(process.pid, 'SIGTERM'));";
  const ended = await run(SLOW, (child) => child.kill('SIGTERM'), again);
  expect(ended).toMatchObject({ code: 0, signal: null, output: 'closed\n' });
});

it('closes once, and ends all the same when closing fails', async () => {
  const fails = "console.log('closing'); throw new Error('no');";
  const ended = await run(fails, (child) => {
    child.kill('SIGTERM');
    child.disconnect();
  });
  expect(ended).toMatchObject({ code: 0, output: 'closing\n' });
});

it('ends with 1 within 2 s when closing hangs', async () => {
  const { code, tookMs } = await run('await new Promise(() => undefined);', (child) => child.kill('SIGTERM'));
  expect(code).toBe(1);
  expect(tookMs).toBeGreaterThan(1000);
  expect(tookMs).toBeLessThan(3000);
});
