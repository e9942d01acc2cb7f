import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../plugin/clock.ts';
import { redemptionSchema, revocationsRequestSchema } from '../../plugin/contract.ts';
import { Denial } from '../../plugin/errors.ts';
import { listen } from '../../plugin/listen.ts';
import { createOrderServer, type OrderServer } from '../../plugin/order-server.ts';
import { createStreamKey, generateSigningKey, hashStreamKey } from '../../plugin/ticket/index.ts';
import { SESSION_ID, TICKET_ID, UNLIMITED } from '../support/doubles.ts';
import { createWriter } from '../support/receipt-book.ts';
import { streamStatus } from '../support/streams.ts';

type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void;

let server: Server;
let orders: OrderServer;
let handler: Handler;
let connections: number;
beforeEach(async () => {
  connections = 0;
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => handler(request, response, body));
  });
  server.on('connection', () => (connections += 1));
  await listen(server, 0, '127.0.0.1', 'port');
  const url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}/`;
  const signingKey = await generateSigningKey();
  orders = createOrderServer({
    url,
    serverId: 'ss-one',
    signingKey: () => signingKey,
    clock: systemClock,
    timeoutMs: 300,
    releaseAgainMs: [20, 20, 20],
  });
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

const answer =
  (status: number, body: unknown): Handler =>
  (_request, response) => {
    response.writeHead(status).end(typeof body === 'string' ? body : JSON.stringify(body));
  };

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'done';
  } catch (error) {
    return error instanceof Denial ? error.code : String(error);
  }
}

describe('the order server’s client', () => {
  it('sends signed messages over one connection', async () => {
    const messages: { path: string | undefined; typ: string | undefined; claims: object }[] = [];
    handler = ({ url }, response, body) => {
      messages.push({ path: url, typ: decodeProtectedHeader(body).typ, claims: decodeJwt(body) });
      response.end(JSON.stringify({ ...UNLIMITED, session: SESSION_ID }));
    };
    expect(await orders.reserve(SESSION_ID, null, 'a.b.c')).toEqual({ ...UNLIMITED, session: SESSION_ID });
    await orders.commit(SESSION_ID);
    expect(messages).toMatchObject([
      {
        path: '/v1/redemptions',
        typ: 'redemption+jwt',
        claims: { op: 'reserve', iss: 'ss-one', session: SESSION_ID, attempt: null, ticket: 'a.b.c' },
      },
      { path: '/v1/redemptions', claims: { op: 'commit', session: SESSION_ID } },
    ]);
    expect(connections).toBe(1);
  });

  it('gives an access back again that could not be given back, also when its reservation is not known yet', async () => {
    const asked: unknown[] = [];
    const released = Promise.withResolvers<void>();
    const answers = [
      answer(500, 'down'),
      answer(409, { code: 'session_ended', detail: 'session' }),
      answer(200, {}),
    ];
    handler = (request, response, body) => {
      asked.push(decodeJwt(body));
      answers[asked.length - 1]?.(request, response, body);
      if (asked.length === answers.length) released.resolve();
    };
    expect(await codeOf(orders.release(SESSION_ID))).toBe('order_server_unreachable');
    await released.promise;
    expect(asked).toMatchObject(asked.map(() => ({ op: 'release', session: SESSION_ID })));
    // Released: nobody asks again.
    await sleep(60);
    expect(asked).toHaveLength(3);
  });

  it('sends the hash of a stream key, never the key', async () => {
    const key = createStreamKey();
    let sent = '';
    handler = (_request, response, body) => {
      sent = JSON.stringify(decodeJwt(body));
      response.end('{}');
    };
    await orders.authorizePublish('/live/demo', key);
    expect(sent).toContain(hashStreamKey(key));
    expect(sent).not.toContain(key);
  });

  it('reads leases with the answer to receipts, and takes nothing else for one', async () => {
    const { next } = createWriter();
    const lease = { session: SESSION_ID, mediaMsLeft: 5000, bytesLeft: null };
    const stored = { stored: 1, refused: [], leases: [lease] };
    handler = answer(200, stored);
    expect(await orders.deliver([next()])).toEqual(stored);
    for (const wrong of [{ ...lease, mediaMsLeft: -1 }, { ...lease, more: 1 }, { session: SESSION_ID }]) {
      handler = answer(200, { ...stored, leases: [wrong] });
      expect(await codeOf(orders.deliver([next()]))).toBe('order_server_unreachable');
    }
  });

  it('states what is on the air, and takes nothing but an empty answer for heard', async () => {
    const sent: object[] = [];
    handler = ({ url }, response, body) => {
      sent.push({ url, typ: decodeProtectedHeader(body).typ, claims: decodeJwt(body) });
      response.end('{}');
    };
    const streams = [streamStatus('/live/demo')];
    await orders.deliverStreams(streams);
    expect(sent).toMatchObject([
      { url: '/v1/streams', typ: 'streams+jwt', claims: { iss: 'ss-one', streams } },
    ]);
    handler = answer(200, { stored: 1 });
    expect(await codeOf(orders.deliverStreams(streams))).toBe('order_server_unreachable');
    handler = answer(413, { code: 'body_too_large' });
    expect(await codeOf(orders.deliverStreams(streams))).toBe('body_too_large');
  });

  it.each<[string, Handler, string]>([
    [
      'a refusal with its code',
      answer(403, { code: 'rights_exhausted', detail: 'accesses' }),
      'rights_exhausted',
    ],
    ['a code that it does not know', answer(403, { code: 'because' }), 'order_server_unreachable'],
    ['an internal error', answer(500, { code: 'internal' }), 'order_server_unreachable'],
    ['a body that is no JSON', answer(200, '<html>'), 'order_server_unreachable'],
    ['an answer of another form', answer(200, { ok: true }), 'order_server_unreachable'],
    [
      'an answer with more than it should have',
      answer(200, { ...UNLIMITED, session: SESSION_ID, admin: true }),
      'order_server_unreachable',
    ],
    ['an endless answer', answer(200, 'x'.repeat(300_000)), 'order_server_unreachable'],
    [
      'a redirect',
      (_request, response) => response.writeHead(307, { location: '/elsewhere' }).end(),
      'order_server_unreachable',
    ],
    ['no answer at all', () => undefined, 'order_server_unreachable'],
    ['a connection that breaks', ({ socket }) => socket.destroy(), 'order_server_unreachable'],
  ])('takes %s for %s', async (_what, handle, code) => {
    handler = handle;
    expect(await codeOf(orders.reserve(SESSION_ID, null, 'a.b.c'))).toBe(code);
  });
});

describe('the revocation feed’s client', () => {
  const open = (after = 7, signal = new AbortController().signal) => orders.openRevocations(after, signal);
  const stream: Handler = (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' }).write('data: 1\n\n');
  };

  async function firstOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
    for await (const chunk of chunks) return Buffer.from(chunk).toString();
    return 'nothing';
  }

  it('asks with a signed message that says the same as the query', async () => {
    const requests: IncomingMessage[] = [];
    handler = (request, response, body) => {
      requests.push(request);
      stream(request, response, body);
    };
    expect(await firstOf(await open())).toBe('data: 1\n\n');
    const [request] = requests;
    const [scheme, jws = ''] = request?.headers.authorization?.split(' ') ?? [];
    expect(request).toMatchObject({ method: 'GET', url: '/v1/revocations?after=7' });
    expect(scheme).toBe('Bearer');
    expect(decodeProtectedHeader(jws).typ).toBe('revocations+jwt');
    expect(revocationsRequestSchema.parse(decodeJwt(jws))).toMatchObject({ iss: 'ss-one', after: 7 });
  });

  it('signs every request anew', async () => {
    const seen = new Set<string | undefined>();
    handler = (request, response, body) => {
      seen.add(request.headers.authorization);
      stream(request, response, body);
    };
    await Promise.all([open(), open()]);
    expect(seen.size).toBe(2);
  });

  it('stays open for longer than an exchange may take, and ends with the signal', async () => {
    let push = (): void => undefined;
    handler = (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
      push = () => void response.write('data: late\n\n');
    };
    const controller = new AbortController();
    const chunks = await open(0, controller.signal);
    setTimeout(() => push(), 400);
    const read: string[] = [];
    const reading = (async () => {
      for await (const chunk of chunks) {
        read.push(Buffer.from(chunk).toString());
        controller.abort();
      }
    })();
    await expect(reading).rejects.toThrow();
    expect(read).toEqual(['data: late\n\n']);
  });

  it('ends reading when the connection breaks', async () => {
    handler = (request, response, body) => {
      stream(request, response, body);
      setImmediate(() => request.socket.destroy());
    };
    const chunks = await open();
    const reading = (async () => {
      for await (const _chunk of chunks);
    })();
    await expect(reading).rejects.toThrow();
  });

  it.each<[string, Handler, string]>([
    ['a refusal with its code', answer(401, { code: 'server_untrusted' }), 'server_untrusted'],
    ['a code that it does not know', answer(403, { code: 'because' }), 'order_server_unreachable'],
    ['another content type', answer(200, { seq: 1 }), 'order_server_unreachable'],
    ['a page', answer(200, '<html>'), 'order_server_unreachable'],
    ['an endless refusal', answer(500, 'x'.repeat(300_000)), 'order_server_unreachable'],
    [
      'a redirect to a stream',
      (request, response, body) => {
        if (request.url === '/elsewhere') stream(request, response, body);
        else response.writeHead(307, { location: '/elsewhere' }).end();
      },
      'order_server_unreachable',
    ],
    [
      'no content',
      (_request, response) => response.writeHead(204, { 'content-type': 'text/event-stream' }).end(),
      'order_server_unreachable',
    ],
    ['no answer at all', () => undefined, 'order_server_unreachable'],
    ['a connection that breaks', ({ socket }) => socket.destroy(), 'order_server_unreachable'],
  ])('takes %s for %s', async (_what, handle, code) => {
    handler = handle;
    expect(await codeOf(open())).toBe(code);
  });
});

it('a replay is reported with ids only', async () => {
  let sent: object = {};
  handler = (_request, response, body) => {
    sent = decodeJwt(body);
    response.end('{}');
  };
  await orders.reportReplay(TICKET_ID, null);
  expect(redemptionSchema.parse(sent)).toMatchObject({
    op: 'report',
    ticket: TICKET_ID,
    what: 'proof_replayed',
  });
  await orders.reportReplay(TICKET_ID, SESSION_ID);
  expect(sent).toMatchObject({ session: SESSION_ID });
});
