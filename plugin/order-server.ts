/** The order server as the streaming server sees it: signed requests out, strictly parsed answers back. */
import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { CryptoKey } from 'jose';
import { z } from 'zod';
import {
  receiptsStoredSchema,
  redeemedSchema,
  type ReceiptBatch,
  type Redemption,
  type StreamsReport,
  type StreamStatus,
} from './contract.ts';
import { Denial, REFUSALS, type Code } from './errors.ts';
import type { Clock, ReceiptDelivery, Redemptions, StreamKeys } from './ports.ts';
import { hashStreamKey, signServerMessage, type ServerMessageTyp } from './ticket/index.ts';
import { uuidv7 } from 'uuidv7';

export interface OrderServerOptions {
  /** Base URL; also the audience of the messages (the order server's `iss`). */
  readonly url: string;
  readonly serverId: string;
  readonly signingKey: {
    readonly kid: string;
    readonly alg: 'Ed25519' | 'ES256';
    readonly privateKey: CryptoKey;
  };
  readonly clock: Clock;
  /** Milliseconds for a whole exchange; default 3000. */
  readonly timeoutMs?: number;
}

export interface OrderServer extends Redemptions, StreamKeys, ReceiptDelivery {
  /** States everything that is on the air here. @throws Denial `order_server_unreachable` and others. */
  deliverStreams(this: void, streams: readonly StreamStatus[]): Promise<void>;
}

const MAX_ANSWER_BYTES = 256 * 1024;
/** At the same time; what is more waits its turn. */
const MAX_CONNECTIONS = 32;
const problemSchema = z.object({ code: z.string(), detail: z.string().max(200).optional() });

type Body<T> = T extends unknown ? Omit<T, 'iss' | 'aud' | 'iat' | 'jti'> : never;

function isCode(text: string): text is Code {
  return Object.hasOwn(REFUSALS, text);
}

/** Client of `POST /v1/redemptions`, `POST /v1/receipts` and `POST /v1/streams` (docs/protocol.md). */
export function createOrderServer(options: OrderServerOptions): OrderServer {
  const { serverId, signingKey, clock, timeoutMs = 3000 } = options;
  const base = options.url.replace(/\/$/, '');
  const isTls = base.startsWith('https:');
  const agent = new (isTls ? HttpsAgent : HttpAgent)({ keepAlive: true, maxSockets: MAX_CONNECTIONS });

  /** One POST over a kept connection: an admission waits for it, so it must not begin with a handshake. */
  function exchange(path: string, jws: string): Promise<{ ok: boolean; body: string }> {
    const { promise, resolve, reject } = Promise.withResolvers<{ ok: boolean; body: string }>();
    const outgoing = (isTls ? httpsRequest : httpRequest)(base + path, {
      agent,
      method: 'POST',
      headers: { 'content-type': 'application/jose', 'content-length': Buffer.byteLength(jws) },
      signal: AbortSignal.timeout(timeoutMs),
    });
    outgoing.on('error', reject);
    outgoing.on('response', (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('error', reject);
      response.on('data', (chunk: Buffer) => {
        size += chunk.byteLength;
        if (size > MAX_ANSWER_BYTES) response.destroy(new Error('the answer is too large'));
        else chunks.push(chunk);
      });
      response.on('end', () => {
        const { statusCode = 0 } = response;
        resolve({ ok: statusCode >= 200 && statusCode < 300, body: Buffer.concat(chunks).toString('utf8') });
      });
    });
    outgoing.end(jws);
    return promise;
  }

  async function post(path: string, jws: string): Promise<unknown> {
    let answer: unknown;
    let ok: boolean;
    try {
      const exchanged = await exchange(path, jws);
      ok = exchanged.ok;
      answer = JSON.parse(exchanged.body);
    } catch (cause) {
      throw new Denial('order_server_unreachable', { cause });
    }
    if (ok) return answer;
    const problem = problemSchema.safeParse(answer);
    if (!problem.success || !isCode(problem.data.code) || problem.data.code === 'internal') {
      throw new Denial('order_server_unreachable');
    }
    const { code, detail } = problem.data;
    throw new Denial(code, detail === undefined ? {} : { detail });
  }

  const sign = (
    typ: ServerMessageTyp,
    payload: Body<Redemption> | Body<ReceiptBatch> | Body<StreamsReport>,
  ) => signServerMessage({ typ, payload, iss: serverId, aud: base, key: signingKey, clock });

  async function redeem<T>(payload: Body<Redemption>, schema: z.ZodType<T>): Promise<T> {
    const answer = schema.safeParse(await post('/v1/redemptions', await sign('redemption+jwt', payload)));
    if (!answer.success) throw new Denial('order_server_unreachable', { cause: answer.error });
    return answer.data;
  }

  const done = z.strictObject({});

  return {
    reserve: (session, attempt, ticket) =>
      redeem({ op: 'reserve', session, attempt, ticket }, redeemedSchema),
    commit: (session) => redeem({ op: 'commit', session }, redeemedSchema),
    async release(session) {
      await redeem({ op: 'release', session }, done);
    },
    async authorizePublish(uri, streamKey) {
      await redeem({ op: 'publish', session: uuidv7(), uri, keyHash: hashStreamKey(streamKey) }, done);
    },
    async deliver(receipts) {
      const answer = await post('/v1/receipts', await sign('receipts+jwt', { receipts: [...receipts] }));
      const parsed = receiptsStoredSchema.safeParse(answer);
      if (!parsed.success) throw new Denial('order_server_unreachable', { cause: parsed.error });
      return parsed.data;
    },
    async deliverStreams(streams) {
      const answer = await post('/v1/streams', await sign('streams+jwt', { streams: [...streams] }));
      if (!done.safeParse(answer).success) throw new Denial('order_server_unreachable');
    },
  };
}
