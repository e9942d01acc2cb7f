/**
 * A streaming server without media, as a process: a gate with its revocation feed, and viewings that do nothing. It is
 * told over IPC whom to admit, and tells who was admitted and when each session ended.
 */
import type { JWK } from 'jose';
import { systemClock as clock } from '../../../plugin/clock.ts';
import type { EndReason } from '../../../plugin/contract.ts';
import { createGate } from '../../../plugin/gate.ts';
import { createOrderServer } from '../../../plugin/order-server.ts';
import { createRevocationFeed } from '../../../plugin/revocations/feed.ts';
import {
  createNonces,
  createProof,
  createReplayMemory,
  createStaticKeySource,
  importSigningKey,
} from '../../../plugin/ticket/index.ts';
import { fakeViewing, recordedSink, silentLog } from '../../support/doubles.ts';

export interface Setup {
  readonly orderUrl: string;
  readonly serverId: string;
  /** Private keys of the streaming server. */
  readonly signingJwk: JWK;
  readonly sealingJwk: JWK & { readonly kid: string };
  readonly issuer: string;
  readonly jwks: { readonly keys: readonly JWK[] };
  readonly viewers: readonly { readonly ticket: string; readonly uri: string; readonly proofJwk: JWK }[];
}

export interface Admitted {
  readonly session: string;
  readonly ticket: string;
  readonly subject: string;
  readonly jkt: string;
}

export type Told =
  | { readonly kind: 'admitted'; readonly sessions: readonly Admitted[] }
  | { readonly kind: 'ended'; readonly session: string; readonly reason: EndReason; readonly atMs: number }
  | {
      readonly kind: 'stats';
      readonly reconnects: number;
      readonly entries: number;
      readonly stale: boolean;
    };

const tell = (told: Told): void => void process.send?.(told);

async function run(setup: Setup): Promise<void> {
  const { orderUrl, serverId, issuer, jwks, sealingJwk, viewers } = setup;
  const signingKey = await importSigningKey(setup.signingJwk);
  const orderServer = createOrderServer({ url: orderUrl, serverId, signingKey: () => signingKey, clock });
  const feed = createRevocationFeed({ source: orderServer, clock, log: silentLog });
  process.on('message', (message) => {
    if (message !== 'stats') return;
    const { reconnects, entries } = feed.stats();
    tell({ kind: 'stats', reconnects, entries, stale: feed.isStale() });
  });
  await new Promise<void>((resolve) => {
    feed.onChange((entry) => {
      if (entry === null) resolve();
    });
  });
  const gate = createGate({
    serverId,
    keys: createStaticKeySource([{ issuer, jwks }]),
    unsealKeys: [{ kid: sealingJwk.kid, privateJwk: sealingJwk }],
    nonces: createNonces({ secret: new Uint8Array(32).fill(1), clock }),
    replay: createReplayMemory({ clock }),
    redemptions: orderServer,
    revocations: feed,
    streamKeys: orderServer,
    sink: recordedSink(),
    clock,
    log: silentLog,
  });
  const sessions: Admitted[] = [];
  for (const { ticket, uri, proofJwk } of viewers) {
    const url = `https://media.example/whep${uri}`;
    const { privateKey, publicJwk, alg } = await importSigningKey(proofJwk);
    const session = await gate.admit(
      {
        protocol: 'whep',
        uri,
        authorization: `DPoP ${ticket}`,
        proof: await createProof({
          privateKey,
          publicJwk,
          alg,
          method: 'POST',
          url,
          ticket,
          nonce: gate.nonce(),
        }),
        method: 'POST',
        url,
        bodyHash: 'offer',
        peer: '192.0.2.1',
        confidential: true,
      },
      { isLive: () => true, open: async () => fakeViewing() },
    );
    session.viewing.firstMedia();
    const { ticketId, subject, jkt } = session.grant;
    sessions.push({ session: session.id, ticket: ticketId, subject, jkt: jkt ?? '' });
    void session.ended.then((reason) => {
      tell({ kind: 'ended', session: session.id, reason, atMs: Date.now() });
    });
  }
  tell({ kind: 'admitted', sessions });
}

process.once('message', (setup: Setup) => void run(setup));
process.once('disconnect', () => process.exit(0));
