/** The order server as the streaming server sees it: signed requests out, strictly parsed answers back. */
import type { CryptoKey } from 'jose';
import { z } from 'zod';
import { receiptsStoredSchema, redeemedSchema, type ReceiptBatch, type Redemption } from './contract.ts';
import { Denial, REFUSALS, type Code } from './errors.ts';
import type { Clock, ReceiptDelivery, Redemptions, StreamKeys } from './ports.ts';
import { hashStreamKey, signServerMessage } from './ticket/index.ts';
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

export type OrderServer = Redemptions & StreamKeys & ReceiptDelivery;

const MAX_ANSWER_BYTES = 256 * 1024;
const problemSchema = z.object({ code: z.string(), detail: z.string().max(200).optional() });

type Body<T> = T extends unknown ? Omit<T, 'iss' | 'aud' | 'iat' | 'jti'> : never;

async function readBounded(response: Response): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > MAX_ANSWER_BYTES) throw new Error('the answer is too large');
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown;
}

function isCode(text: string): text is Code {
  return Object.hasOwn(REFUSALS, text);
}

/** Client of `POST /v1/redemptions` and `POST /v1/receipts` (DESIGN 7). */
export function createOrderServer(options: OrderServerOptions): OrderServer {
  const { serverId, signingKey, clock, timeoutMs = 3000 } = options;
  const base = options.url.replace(/\/$/, '');

  async function post(path: string, jws: string): Promise<unknown> {
    let answer: unknown;
    let ok: boolean;
    try {
      const response = await fetch(base + path, {
        method: 'POST',
        headers: { 'content-type': 'application/jose' },
        body: jws,
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMs),
      });
      ok = response.ok;
      answer = await readBounded(response);
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

  const sign = (typ: 'redemption+jwt' | 'receipts+jwt', payload: Body<Redemption> | Body<ReceiptBatch>) =>
    signServerMessage({ typ, payload, iss: serverId, aud: base, key: signingKey, clock });

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
  };
}
