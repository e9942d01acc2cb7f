/** The order server as the streaming server sees it: signed requests out, strictly parsed answers back. */
import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CryptoKey } from 'jose';
import { z } from 'zod';
import {
  receiptsStoredSchema,
  redeemedSchema,
  type ReceiptBatch,
  type Redemption,
  type RevocationsRequest,
  type StreamsReport,
  type StreamStatus,
} from './contract.ts';
import { Denial, REFUSALS, type Code } from './errors.ts';
import type { Clock, ReceiptDelivery, Redemptions, RevocationSource, StreamKeys } from './ports.ts';
import { hashStreamKey, signServerMessage, type ServerMessageTyp } from './ticket/index.ts';
import { uuidv7 } from 'uuidv7';

export interface OrderServerOptions {
  /** Base URL; also the audience of the messages (the order server's `iss`). */
  readonly url: string;
  readonly serverId: string;
  /** Asked for at every message: the key may be rotated. */
  readonly signingKey: () => {
    readonly kid: string;
    readonly alg: 'Ed25519' | 'ES256';
    readonly privateKey: CryptoKey;
  };
  readonly clock: Clock;
  /** Milliseconds for a whole exchange; default 3000. */
  readonly timeoutMs?: number;
  /** How long after each failure an access is given back again; default 3, 10 and 30 s. */
  readonly releaseAgainMs?: readonly number[];
}

export interface OrderServer extends Redemptions, StreamKeys, ReceiptDelivery, RevocationSource {
  /** States everything that is on the air here. @throws Denial `order_server_unreachable` and others. */
  deliverStreams(this: void, streams: readonly StreamStatus[]): Promise<void>;
  /**
   * Tells staff that a proof of this ticket was shown again.
   * @param session `null` when it was no request of a session
   * @throws Denial
   */
  reportReplay(ticketId: string, session: string | null): Promise<void>;
}

const MAX_ANSWER_BYTES = 256 * 1024;
/** At the same time; what is more waits its turn. */
const MAX_CONNECTIONS = 32;
/** Accesses that are given back again, at the same time; for more than that it is not tried. */
const MAX_RELEASING = 256;
/** A detail is handed on to viewers and the log: the name of a claim or a rule, and nothing that a value could be. */
const problemSchema = z.object({
  code: z.string(),
  detail: z
    .string()
    .regex(/^[A-Za-z. ]{1,40}$/)
    .optional()
    .catch(undefined),
});

type Body<T> = T extends unknown ? Omit<T, 'iss' | 'aud' | 'iat' | 'jti'> : never;

function isCode(text: string): text is Code {
  return Object.hasOwn(REFUSALS, text);
}

async function readAnswer(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.byteLength;
    if (size > MAX_ANSWER_BYTES) throw new Error('the answer is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The refusal that an answer carries. */
function refusalIn(answer: unknown): Denial {
  const problem = problemSchema.safeParse(answer);
  if (!problem.success || !isCode(problem.data.code) || problem.data.code === 'internal') {
    return new Denial('order_server_unreachable');
  }
  const { code, detail } = problem.data;
  return new Denial(code, detail === undefined ? {} : { detail });
}

/** Client of `POST /v1/redemptions`, `/v1/receipts`, `/v1/streams` and `GET /v1/revocations` (docs/protocol.md). */
export function createOrderServer(options: OrderServerOptions): OrderServer {
  const { serverId, signingKey, clock, timeoutMs = 3000, releaseAgainMs = [3000, 10_000, 30_000] } = options;
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
      const { statusCode = 0 } = response;
      const ok = statusCode >= 200 && statusCode < 300;
      readAnswer(response).then((body) => resolve({ ok, body }), reject);
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
    throw refusalIn(answer);
  }

  /** A stream of events over a connection of its own; the answer's head must come within the time of an exchange. */
  async function openStream(path: string, jws: string, signal: AbortSignal): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const outgoing = (isTls ? httpsRequest : httpRequest)(base + path, {
      agent: false,
      headers: { authorization: `Bearer ${jws}`, accept: 'text/event-stream' },
      signal,
    });
    const deadline = setTimeout(() => outgoing.destroy(new Error('no answer in time')), timeoutMs);
    outgoing.on('error', reject);
    outgoing.on('response', resolve);
    outgoing.end();
    try {
      const response = await promise;
      const type = response.headers['content-type'] ?? '';
      if (response.statusCode === 200 && /^text\/event-stream(;|$)/i.test(type)) return response;
      throw refusalIn(JSON.parse(await readAnswer(response)));
    } catch (cause) {
      outgoing.destroy();
      throw cause instanceof Denial ? cause : new Denial('order_server_unreachable', { cause });
    } finally {
      clearTimeout(deadline);
    }
  }

  const sign = (
    typ: ServerMessageTyp,
    payload: Body<Redemption | ReceiptBatch | RevocationsRequest | StreamsReport>,
  ) => signServerMessage({ typ, payload, iss: serverId, aud: base, key: signingKey(), clock });

  async function redeem<T>(payload: Body<Redemption>, schema: z.ZodType<T>): Promise<T> {
    const answer = schema.safeParse(await post('/v1/redemptions', await sign('redemption+jwt', payload)));
    if (!answer.success) throw new Denial('order_server_unreachable', { cause: answer.error });
    return answer.data;
  }

  const done = z.strictObject({});

  const release = (session: string) => redeem({ op: 'release', session }, done);
  let releasing = 0;

  /**
   * A reservation that has lapsed gives its access back, but not what it was leased of a ticket's budget. That the session
   * is not known is no end: the reservation may still be on its way.
   */
  async function releaseAgain(session: string): Promise<void> {
    if (releasing >= MAX_RELEASING) return;
    releasing += 1;
    for (const waitMs of releaseAgainMs) {
      await sleep(waitMs, undefined, { ref: false });
      const isReleased = await release(session).then(
        () => true,
        () => false,
      );
      if (isReleased) break;
    }
    releasing -= 1;
  }

  return {
    reserve: (session, attempt, ticket) =>
      redeem({ op: 'reserve', session, attempt, ticket }, redeemedSchema),
    commit: (session) => redeem({ op: 'commit', session }, redeemedSchema),
    async release(session) {
      try {
        await release(session);
      } catch (error) {
        void releaseAgain(session);
        throw error;
      }
    },
    async authorizePublish(uri, streamKey) {
      await redeem({ op: 'publish', session: uuidv7(), uri, keyHash: hashStreamKey(streamKey) }, done);
    },
    async reportReplay(ticket, session) {
      await redeem({ op: 'report', session: session ?? uuidv7(), ticket, what: 'proof_replayed' }, done);
    },
    openRevocations: async (after, signal) =>
      openStream(`/v1/revocations?after=${String(after)}`, await sign('revocations+jwt', { after }), signal),
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
