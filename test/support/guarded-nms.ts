/**
 * A real node-media-server on all its listeners with the real gate in front; the order server is a double. One per
 * process: the host keeps its state in a module.
 */
import { randomBytes } from 'node:crypto';
import type { EventEmitter } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generate } from 'selfsigned';
import {
  guardNodeMediaServer,
  type NodeMediaServerGuard,
  type NodeMediaServerGuardOptions,
} from '../../plugin/adapters/node-media-server.ts';
import { systemClock as clock } from '../../plugin/clock.ts';
import { Denial } from '../../plugin/errors.ts';
import { createGate, type Gate, type GateOptions } from '../../plugin/gate.ts';
import { createProof, createReplayMemory, type TicketClaims } from '../../plugin/ticket/index.ts';
import {
  nothingRevoked,
  recordedRedemptions,
  recordedSink,
  recordingLog,
  type RecordedRedemptions,
} from './doubles.ts';
import { freePorts } from './stack.ts';
import { createTicketWorld, SERVER_ID, type TicketWorld, type Viewer } from './tickets.ts';

export const STREAM_KEY = 'sk_insecureTestStreamKey0';

export interface Nms {
  on(event: string, listener: (session: { streamPath: string; streamQuery: object }) => void): void;
  run(): Promise<void>;
  stop(): Promise<void>;
  readonly httpServer: { readonly httpServer: EventEmitter; readonly httpsServer: EventEmitter };
  readonly rtmpServer: { readonly tcpServer: EventEmitter; readonly tlsServer: EventEmitter };
}

export interface GuardedNms {
  readonly nms: Nms;
  readonly gate: Gate;
  readonly guard: NodeMediaServerGuard;
  readonly world: TicketWorld;
  readonly redemptions: RecordedRedemptions;
  readonly sink: ReturnType<typeof recordedSink>;
  readonly log: ReturnType<typeof recordingLog>;
  readonly ports: {
    readonly http: number;
    readonly https: number;
    readonly rtmp: number;
    readonly rtmps: number;
  };
  /** PEM of the listeners' certificate. */
  readonly certificate: string;
  readonly directory: string;
  /** A ticket for a new viewer. */
  ticket(claims?: Partial<Record<keyof TicketClaims, unknown>>): Promise<{ viewer: Viewer; ticket: string }>;
  /** Header fields that present a ticket for one request. */
  credentials(
    held: { viewer: Viewer; ticket: string },
    method: string,
    url: string,
    proof?: Partial<Parameters<typeof createProof>[0]>,
  ): Promise<{ authorization: string; dpop: string }>;
  /** A pass, got over HTTP with a new ticket unless one is given. */
  pass(uri: string, held?: { viewer: Viewer; ticket: string }): Promise<string>;
  stop(): Promise<void>;
}

export interface GuardedNmsOptions {
  readonly guard?: Partial<NodeMediaServerGuardOptions>;
  readonly gate?: Partial<GateOptions>;
  /** More of node-media-server's own settings. */
  readonly nms?: object;
  /** File whose node-media-server is taken; default: this one's. */
  readonly requireFrom?: string;
  /** Is given the instance before the gate is in front of it. */
  readonly beforeGuard?: (nms: Nms) => void;
}

/** Starts it with a free port for each listener. Stream keys other than `STREAM_KEY` are refused. */
export async function startGuardedNms(options: GuardedNmsOptions = {}): Promise<GuardedNms> {
  const require = createRequire(options.requireFrom ?? import.meta.url);
  const NodeMediaServer = require('node-media-server') as new (settings: object) => Nms;
  const logger = require('node-media-server/src/core/logger.js') as object;
  Object.defineProperty(logger, 'level', { get: () => 'error', set: () => undefined });

  const directory = await mkdtemp(join(tmpdir(), 'usher-nms-'));
  const [http = 0, https = 0, rtmp = 0, rtmps = 0] = await freePorts(4);
  const ports = { http, https, rtmp, rtmps };
  const pems = await generate([{ name: 'commonName', value: 'localhost' }], {
    keySize: 2048,
    extensions: [
      {
        name: 'subjectAltName',
        altNames: [
          { type: 2, value: 'localhost' },
          { type: 7, ip: '127.0.0.1' },
        ],
      },
    ],
  });
  const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
  await Promise.all([writeFile(key, pems.private), writeFile(cert, pems.cert)]);
  const nms = new NodeMediaServer({
    bind: '127.0.0.1',
    http: { port: http },
    https: { port: https, key, cert },
    rtmp: { port: rtmp },
    rtmps: { port: rtmps, key, cert },
    record: { auto: false },
    store: { path: join(directory, 'store') },
    auth: { play: false, publish: false },
    ...options.nms,
  });

  const world = await createTicketWorld(clock);
  const redemptions = recordedRedemptions();
  const sink = recordedSink();
  const log = recordingLog();
  const gate = createGate({
    serverId: SERVER_ID,
    keys: world.keys,
    unsealKeys: world.unsealKeys,
    nonces: world.nonces,
    replay: createReplayMemory({ clock }),
    redemptions,
    revocations: nothingRevoked,
    streamKeys: {
      authorizePublish: (_uri, streamKey) =>
        streamKey === STREAM_KEY ? Promise.resolve() : Promise.reject(new Denial('stream_key_invalid')),
    },
    sink,
    clock,
    log,
    receiptIntervalMs: 500,
    ...options.gate,
  });
  options.beforeGuard?.(nms);
  const guard = guardNodeMediaServer(nms, gate, { log, clock, graceSeconds: 2, ...options.guard });
  await nms.run();
  const origin = `http://localhost:${String(http)}`;

  const house: GuardedNms = {
    nms,
    gate,
    guard,
    world,
    redemptions,
    sink,
    log,
    ports,
    certificate: pems.cert,
    directory,
    async ticket(claims) {
      const viewer = await world.newViewer();
      return { viewer, ticket: await world.ticketFor(viewer, claims) };
    },
    async credentials({ viewer: { proofKey }, ticket }, method, url, proof = {}) {
      const { privateKey, publicJwk, alg } = proofKey;
      const nonce = world.nonces.current();
      const dpop = await createProof({ privateKey, publicJwk, alg, method, url, ticket, nonce, ...proof });
      return { authorization: `DPoP ${ticket}`, dpop };
    },
    async pass(uri, held) {
      const credentials = await house.credentials(
        held ?? (await house.ticket({ uri })),
        'POST',
        `${origin}/pass`,
      );
      const response = await fetch(`${origin}/pass`, {
        method: 'POST',
        headers: { ...credentials, 'content-type': 'application/json' },
        body: JSON.stringify({ uri }),
      });
      const body = (await response.json()) as { pass?: string; code?: string };
      if (body.pass === undefined) throw new Error(`no pass: ${String(response.status)} ${body.code ?? ''}`);
      return body.pass;
    },
    async stop() {
      await gate.close('server_stopped');
      guard.close();
      await nms.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
  return house;
}

/** A name for a stream that nobody else uses. */
export function newPath(): string {
  return `/live/s${randomBytes(4).toString('hex')}`;
}
