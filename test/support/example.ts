/** An example's app as its own process, with an order server in another, and somebody to sell to. */
import { spawn, type ChildProcess } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { vi } from 'vitest';
import { DEMO_LOGINS } from '../../admin/seed.ts';
import { createTitleWithOffer, graphql, signIn } from './shop.ts';
import { stackEnvironment, startProcess, type StackEnvironment } from './stack.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

export interface Usage {
  readonly mediaMs: number;
  readonly bytes: number;
  readonly reason: string | null;
}

export interface ExampleShop extends StackEnvironment {
  readonly staffToken: string;
  readonly viewerToken: string;
  readonly titleId: string;
  readonly offerId: string;
  /** What the viewer's receipts say, the latest first. */
  usage(): Promise<Usage[]>;
  close(): Promise<void>;
}

/**
 * Starts an order server that sells 20 viewings of one stream.
 * @param mediaPath the path of the media server's public URL
 */
export async function openExampleShop(streamPath: string, mediaPath = ''): Promise<ExampleShop> {
  const environment = await stackEnvironment((orderPort, mediaPort) => ({
    orderUrl: `http://localhost:${String(orderPort)}`,
    mediaUrl: `http://localhost:${String(mediaPort)}${mediaPath}`,
  }));
  const { orderUrl, dataDir } = environment;
  const order = await startProcess('admin/main.ts', environment.env);
  const [viewer, , staff] = DEMO_LOGINS;
  if (viewer === undefined || staff === undefined) throw new Error('no demo accounts');
  const [staffToken, viewerToken] = await Promise.all([signIn(orderUrl, staff), signIn(orderUrl, viewer)]);
  const offer = { rights: { accesses: 20 } };
  const sold = await createTitleWithOffer(orderUrl, staffToken, streamPath, offer);
  return {
    ...environment,
    staffToken,
    viewerToken,
    ...sold,
    async usage() {
      const { me } = await graphql<{ me: { receipts: { edges: { node: Usage }[] } } }>(
        orderUrl,
        '{ me { receipts { edges { node { mediaMs bytes reason } } } } }',
        {},
        viewerToken,
      );
      return me.receipts.edges.map(({ node }) => node);
    },
    async close() {
      await order.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

export interface ExampleApp {
  readonly child: ChildProcess;
  /** Everything that it wrote. */
  output(): string;
}

/**
 * Starts an example's `app.mjs` and waits until it answers at `url`.
 * @param app its path in the repository
 * @param env what its `.env` would hold, beside the shop's order server and the keys that are registered there
 */
export async function startExample(
  app: string,
  { env, orderUrl, mediaUrl }: ExampleShop,
  { env: own, args = [], url }: { env: NodeJS.ProcessEnv; args?: readonly string[]; url: string },
): Promise<ExampleApp> {
  const child = spawn(process.execPath, ['--import', './test/support/from-source.ts', app, ...args], {
    cwd: ROOT,
    env: {
      PATH: process.env.PATH,
      MEDIASOUP_WORKER_BIN: process.env.MEDIASOUP_WORKER_BIN,
      USHER_ORDER_SERVER_URL: orderUrl,
      USHER_MEDIA_DATA: env.USHER_MEDIA_DATA,
      USHER_MEDIA_PUBLIC_URL: mediaUrl,
      ...own,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const keep = (chunk: Buffer): void => void (output += chunk.toString());
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const answers = (): Promise<unknown> =>
    fetch(url).catch(() => {
      throw new Error(output);
    });
  await vi.waitFor(answers, { timeout: 20_000, interval: 100 });
  return { child, output: () => output };
}

/** An app's source, as the lines that are ours and the rest. */
export function splitExample(source: string): { readonly added: string[]; readonly stock: string } {
  const [, ...lines] = source.split('\n');
  const isOurs = (line: string): boolean => line.endsWith('// usher');
  return { added: lines.filter(isOurs), stock: lines.filter((line) => !isOurs(line)).join('\n') };
}
