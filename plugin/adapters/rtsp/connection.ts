/** One connection: its requests one after the other, its media between the answers, and its end. */
import type { Duplex } from 'node:stream';
import { asDenial, refusalOf, type Denial } from '../../errors.ts';
import { rtspChallenges } from '../../rtsp/credentials.ts';
import { createRtspReader, type RtspMessage, type RtspRequest } from '../../rtsp/reader.ts';
import { formatRtspResponse, type RtspResponse } from '../../rtsp/response.ts';
import { RtspSyntaxError } from '../../rtsp/syntax-error.ts';
import { KeySyntaxError } from '../../srtp/index.ts';
import { MikeyError } from '../../srtp/mikey/index.ts';
import { createSocketLink } from './outlets.ts';
import { createRequests, SESSION_TIMEOUT_SECONDS, type RequestsOptions } from './requests.ts';

export interface ConnectionOptions extends Pick<
  RequestsOptions,
  | 'gate'
  | 'stage'
  | 'udp'
  | 'publicUrl'
  | 'peer'
  | 'address'
  | 'confidential'
  | 'clock'
  | 'log'
  | 'stalledAfterMs'
  | 'signReceipts'
  | 'elsewhere'
> {
  /** What requests and answers go over: with TLS the socket above the TCP socket. */
  readonly socket: Duplex;
  /** Cuts the TCP connection: what it has not taken is discarded. */
  readonly reset: () => void;
  /** Milliseconds without a sign of life after which a viewer has gone. */
  readonly silentAfterMs?: number;
  /** Called after each request, with whether the connection has no session. */
  readonly onWaiting: (isWaiting: boolean) => void;
}

export interface RtspConnection {
  close(): void;
}

/** Clients count up to what we told them; packets take their time. */
const SILENT_AFTER_MS = SESSION_TIMEOUT_SECONDS * 1000 + 5000;
const FLUSH_WITHIN_MS = 500;
/** Each may cost the check of a signature. */
const MAX_REQUESTS_BEFORE_ADMISSION = 30;
/** Requests and packets. */
const MAX_MESSAGES_PER_SECOND = 200;
/** Answers that the client does not read. */
const MAX_UNREAD_BYTES = 8 * 1024 * 1024;

function refusalResponse(denial: Denial): RtspResponse {
  const { rtsp: status, title } = refusalOf(denial.code);
  const { code, detail, retryAfterSeconds } = denial;
  return {
    status,
    headers: {
      'WWW-Authenticate': status === 401 ? rtspChallenges(denial) : undefined,
      'Retry-After': retryAfterSeconds === undefined ? undefined : String(retryAfterSeconds),
      'Content-Type': 'application/problem+json',
    },
    body: JSON.stringify({
      type: `urn:usher:problem:${code}`,
      title,
      status,
      code,
      ...(detail === undefined ? {} : { detail }),
    }),
  };
}

/** Serves a connection until it ends. */
export function serveConnection(options: ConnectionOptions): RtspConnection {
  const { socket, reset, gate, clock, log, peer, onWaiting, silentAfterMs = SILENT_AFTER_MS } = options;
  const reader = createRtspReader();
  const link = createSocketLink(socket, clock);
  let ended = false;
  let answering = false;
  let requestsBefore = 0;
  let second = { fromMs: clock.monotonicMs(), messages: 0 };
  const silence = setTimeout(() => abort('silent'), silentAfterMs).unref();

  const requests = createRequests({ ...options, link, onEnded: end, onSign: () => void silence.refresh() });

  /** Nothing is written any more; what waits has half a second. */
  function end(): void {
    if (ended) return;
    ended = true;
    clearTimeout(silence);
    socket.end();
    socket.resume();
    const flushing = setTimeout(reset, FLUSH_WITHIN_MS).unref();
    socket.once('close', () => clearTimeout(flushing));
  }

  function abort(reason: string): void {
    if (ended) return;
    log.info({ peer, reason }, 'RTSP connection ended');
    requests.leave();
    end();
  }

  function write(response: RtspResponse, cseq?: number): void {
    if (ended) return;
    const headers = { Server: 'usher', 'DPoP-Nonce': gate.nonce(), ...response.headers };
    link.write(formatRtspResponse({ ...response, headers }, cseq));
    if (socket.writableLength > MAX_UNREAD_BYTES) abort('answers are not read');
  }

  function refuse(error: unknown, cseq: number): void {
    if (error instanceof RtspSyntaxError) return write({ status: error.status }, cseq);
    if (error instanceof KeySyntaxError || error instanceof MikeyError) {
      log.info({ peer, error: error.message }, 'the keys of an RTSP client are refused');
      return write({ status: 463 }, cseq);
    }
    const denial = asDenial(error);
    if (denial.code === 'internal') log.error({ error: String(error), peer }, 'an RTSP request failed');
    write(refusalResponse(denial), cseq);
  }

  async function handle(request: RtspRequest): Promise<void> {
    if (!requests.hasSession() && ++requestsBefore > MAX_REQUESTS_BEFORE_ADMISSION) {
      return abort('too many requests before admission');
    }
    try {
      const answer = await requests.answer(request);
      write(answer, request.cseq);
      answer.afterwards?.();
    } catch (error) {
      refuse(error, request.cseq);
    }
    if (requests.hasSession()) requestsBefore = 0;
    onWaiting(!requests.hasSession());
  }

  function isFlood(): boolean {
    const nowMs = clock.monotonicMs();
    if (nowMs - second.fromMs >= 1000) second = { fromMs: nowMs, messages: 0 };
    return ++second.messages > MAX_MESSAGES_PER_SECOND;
  }

  function nextMessage(): RtspMessage | undefined {
    try {
      return reader.next();
    } catch (error) {
      if (!(error instanceof RtspSyntaxError)) throw error;
      write({ status: error.status });
      abort(error.message);
      return undefined;
    }
  }

  /** One request at a time; meanwhile nothing more is read. */
  async function work(): Promise<void> {
    answering = true;
    socket.pause();
    for (let message = nextMessage(); message !== undefined && !ended; message = nextMessage()) {
      if (isFlood()) return abort('too many messages');
      // Whoever holds the connection is there: it cannot be forged as a datagram's sender can. But where requests are
      // proven the connection may be anybody's, and only a proof is a sign.
      if (!requests.areProven()) silence.refresh();
      if (message.kind === 'frame') requests.frame(message.channel, message.data);
      else await handle(message);
    }
    answering = false;
    socket.resume();
  }

  socket.on('data', (chunk: Buffer) => {
    if (ended) return;
    reader.push(chunk);
    if (answering) return;
    work().catch((error: unknown) => {
      log.error({ error: String(error), peer }, 'an RTSP connection failed');
      abort('failed');
    });
  });
  socket.on('error', () => undefined);
  socket.on('end', () => abort('closed by the client'));
  socket.on('close', () => abort('closed'));

  return { close: () => abort('server stopped') };
}
