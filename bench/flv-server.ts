/**
 * A node-media-server of the fan-out bench, in a process of its own: `flv-server.ts bare|guarded|metered`. `metered` is
 * guarded, with receipts that are signed and forgotten, and publishers that may be silent for as long as they like.
 */
import { mkdtemp } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLog as log } from '../test/support/doubles.ts';
import { freePorts } from '../test/support/stack.ts';
import { startGuardedNms, STREAM_KEY, type GuardedNms, type Nms } from '../test/support/guarded-nms.ts';
import type { Holder } from './flv-readers.ts';
import { processState } from './process-state.ts';
import { createSigningOutbox } from './signing-outbox.ts';

export interface ServerReady {
  readonly http: number;
  readonly publishUrl: string;
}

export type ServerQuestion =
  { readonly ask: 'usage' } | { readonly ask: 'state' } | { readonly ask: 'holders'; readonly count: number };

export interface ServerUsage {
  readonly cpuSeconds: number;
  readonly rssBytes: number;
}

export const PATH = '/live/bench';

async function startBare(): Promise<{ http: number; rtmp: number }> {
  const require = createRequire(import.meta.url);
  const NodeMediaServer = require('node-media-server') as new (settings: object) => Nms;
  const logger = require('node-media-server/src/core/logger.js') as object;
  Object.defineProperty(logger, 'level', { get: () => 'error', set: () => undefined });
  const [http = 0, rtmp = 0] = await freePorts(2);
  const nms = new NodeMediaServer({
    bind: '127.0.0.1',
    http: { port: http },
    rtmp: { port: rtmp },
    record: { auto: false },
    store: { path: await mkdtemp(join(tmpdir(), 'usher-bench-')) },
  });
  await nms.run();
  return { http, rtmp };
}

const MANY = { maxWaitingConnections: 1000 };
const SILENT_SECONDS = 600;

async function startHouse(mode: string | undefined): Promise<GuardedNms | undefined> {
  if (mode === 'guarded') return startGuardedNms({ guard: MANY, gate: { receiptIntervalMs: 5000 } });
  if (mode !== 'metered') return undefined;
  return startGuardedNms({
    guard: { ...MANY, idleSeconds: SILENT_SECONDS, log },
    gate: { receiptIntervalMs: 5000, sink: await createSigningOutbox(), log },
  });
}

async function main(mode: string | undefined): Promise<void> {
  const house = await startHouse(mode);
  const { http, rtmp } = house?.ports ?? (await startBare());

  /** Made once, before anything is measured. */
  async function holders(count: number): Promise<(Holder | null)[]> {
    const all: (Holder | null)[] = [];
    for (let index = 0; index < count; index++) {
      if (house === undefined) {
        all.push(null);
      } else {
        const { viewer, ticket } = await house.ticket({ uri: PATH });
        all.push({ ticket, privateJwk: viewer.proofKey.privateJwk });
      }
    }
    return all;
  }

  function usage(): ServerUsage {
    const { user, system } = process.cpuUsage();
    return { cpuSeconds: (user + system) / 1e6, rssBytes: process.memoryUsage.rss() };
  }

  process.on('message', (question: ServerQuestion) => {
    if (question.ask === 'usage') process.send?.(usage());
    else if (question.ask === 'state') void processState().then((state) => process.send?.(state));
    else void holders(question.count).then((all) => process.send?.(all));
  });
  process.on('disconnect', () => process.exit(0));
  const publishUrl = `rtmp://127.0.0.1:${String(rtmp)}${PATH}?key=${STREAM_KEY}`;
  process.send?.({ http, publishUrl } satisfies ServerReady);
}

if (import.meta.main) await main(process.argv[2]);
