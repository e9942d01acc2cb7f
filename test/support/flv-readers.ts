/**
 * Clients of a guarded node-media-server that take note of every byte: one for each way in. They play or publish as they
 * are told, may stop reading, and never speak to the parser that they test.
 */
import { connect as connectHttp2 } from 'node:http2';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import WebSocket from 'ws';
import {
  connectCommand,
  createStreamCommand,
  streamCommand,
} from '../plugin/adapters/node-media-server/rtmp-client.ts';
export { eventually } from './eventually.ts';
import { amfText, createFlvParser, createRtmpParser, type MediaMessage } from './media-parsers.ts';

export const COLUMNS = ['rtmp', 'rtmps', 'http-flv', 'https-flv', 'h2-flv', 'ws-flv', 'wss-flv'] as const;
export type Column = (typeof COLUMNS)[number];

export interface Ports {
  readonly http: number;
  readonly https: number;
  readonly rtmp: number;
  readonly rtmps: number;
}

export interface Ask {
  readonly ports: Ports;
  /** `/app/name`; HTTP adds `.flv` unless `target` says otherwise. */
  readonly path: string;
  /** Without the question mark. */
  readonly query?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly command?: 'play' | 'publish';
  /** HTTP only; default GET, or POST to publish. */
  readonly method?: string;
  /** HTTP only: the request target as it is sent. */
  readonly target?: string;
}

/** What the server said: `200`, or a refusal as each protocol has it. */
export interface Answer {
  /** HTTP status, or the WebSocket close code less 4000; RTMP has none. */
  readonly status: number | undefined;
  /** Of the refusal; undefined for a yes. */
  readonly code: string | undefined;
  /** Code of RTMP's onStatus. */
  readonly rtmpCode: string | undefined;
  /** The words for people. */
  readonly text: string;
  readonly retryAfter: string | undefined;
}

export interface Ending {
  readonly atMs: number;
  /** RTMP: the last onStatus. WebSocket: close code and reason. HTTP: what went wrong, or nothing for an end in order. */
  readonly code: string | number | undefined;
  readonly text: string;
}

export interface Reader {
  readonly column: Column;
  readonly startedMs: number;
  /** Resolves with the first answer, or with status 0 when the connection ended without one. */
  readonly answer: Promise<Answer>;
  readonly ended: Promise<Ending>;
  /** Audio, video and data messages, with the time of their arrival. */
  readonly messages: (MediaMessage & { readonly atMs: number })[];
  /** Bytes of media, headers of messages included. */
  mediaBytes(): number;
  /** Bytes after a refusal, of whatever kind. */
  strayBytes(): number;
  /** When the last byte of media was read. */
  lastMediaMs(): number;
  /** The FLV file; empty for RTMP. */
  file(): Buffer;
  pause(): void;
  resume(): void;
  destroy(): void;
}

const isTls = (column: Column): boolean => /^(?:rtmps|https|h2|wss)/.test(column);
const YES: Answer = { status: 200, code: undefined, rtmpCode: undefined, text: '', retryAfter: undefined };
const NOTHING: Answer = { ...YES, status: 0 };

/** What all readers have in common. */
function createNotes(column: Column) {
  const startedMs = performance.now();
  const answer = Promise.withResolvers<Answer>();
  const ended = Promise.withResolvers<Ending>();
  const messages: Reader['messages'] = [];
  const chunks: Buffer[] = [];
  let mediaBytes = 0;
  let strayBytes = 0;
  let lastMediaMs = 0;
  let farewell: Pick<Ending, 'code' | 'text'> = { code: undefined, text: '' };
  const note = (message: MediaMessage): void =>
    void messages.push({ ...message, atMs: performance.now() - startedMs });
  const parseFlv = createFlvParser(note);
  return {
    note,
    answer: answer.resolve,
    sayFarewell: (code: string | number, text: string): void => void (farewell = { code, text }),
    takeFlv(chunk: Buffer): void {
      mediaBytes += chunk.length;
      lastMediaMs = performance.now();
      chunks.push(chunk);
      parseFlv(chunk);
    },
    takeRtmpMedia(message: MediaMessage): void {
      mediaBytes += message.wireBytes;
      lastMediaMs = performance.now();
      note(message);
    },
    takeStray: (bytes: number): void => void (strayBytes += bytes),
    end(): void {
      answer.resolve(NOTHING);
      ended.resolve({ atMs: performance.now(), ...farewell });
    },
    reader: (way: Pick<Reader, 'pause' | 'resume' | 'destroy'>): Reader => ({
      column,
      startedMs,
      answer: answer.promise,
      ended: ended.promise,
      messages,
      mediaBytes: () => mediaBytes,
      strayBytes: () => strayBytes,
      lastMediaMs: () => lastMediaMs,
      file: () => Buffer.concat(chunks),
      ...way,
    }),
  };
}

function openSocket(column: Column, { rtmp, rtmps, http, https }: Ports): Socket {
  const isRtmp = column.startsWith('rtmp');
  const options = {
    host: '127.0.0.1',
    port: isTls(column) ? (isRtmp ? rtmps : https) : isRtmp ? rtmp : http,
  };
  return isTls(column) ? connectTls({ ...options, rejectUnauthorized: false }) : connect(options);
}

function wayOf(socket: Socket): Pick<Reader, 'pause' | 'resume' | 'destroy'> {
  return {
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    destroy: () => void socket.destroy(),
  };
}

function readProblem(status: number, body: string, retryAfter: string | undefined): Answer {
  const { code, title } = JSON.parse(body) as { code: string; title: string };
  return { ...YES, status, code, text: title, retryAfter };
}

const INVOKE = 20;
const HANDSHAKE_BYTES = 3073;

function openRtmp(column: Column, { ports, path, query, command = 'play' }: Ask): Reader {
  const notes = createNotes(column);
  const socket = openSocket(column, ports);
  const [, app = '', name = ''] = path.split('/');
  let handshake: Buffer | undefined = Buffer.alloc(0);
  let refused = false;

  function takeStatus(payload: Buffer): void {
    const rtmpCode = amfText(payload, 'code') ?? '';
    const text = amfText(payload, 'description') ?? '';
    if (amfText(payload, 'level') === 'error' && !/^NetStream\.Play\.Stop$/.test(rtmpCode)) {
      refused = true;
      notes.answer({ ...NOTHING, status: undefined, rtmpCode, code: text.split(':')[0], text });
    } else if (rtmpCode.endsWith('.Start')) {
      notes.answer({ ...YES, rtmpCode });
    }
    notes.sayFarewell(rtmpCode, text);
  }

  const parse = createRtmpParser((message) => {
    const { type, payload, wireBytes } = message;
    // Everything after a refusal would be one byte too many.
    if (refused) notes.takeStray(wireBytes);
    if (type === INVOKE && payload.includes('onStatus')) takeStatus(payload);
    const isSampleAccess = payload.includes('RtmpSampleAccess');
    if ((type === 8 || type === 9 || type === 18) && !isSampleAccess) notes.takeRtmpMedia(message);
  });
  socket.on('data', (chunk: Buffer) => {
    if (handshake === undefined) return parse(chunk);
    handshake = Buffer.concat([handshake, chunk]);
    if (handshake.length < HANDSHAKE_BYTES) return;
    const rest = handshake.subarray(HANDSHAKE_BYTES);
    handshake = undefined;
    const stream = streamCommand(command, query === undefined ? name : `${name}?${query}`);
    socket.write(Buffer.concat([Buffer.alloc(1536, 9), connectCommand(app), createStreamCommand(), stream]));
    parse(rest);
  });
  socket.on('error', () => undefined).on('close', notes.end);
  const hello = Buffer.alloc(1537, 7);
  hello[0] = 3;
  socket.write(hello);
  return notes.reader(wayOf(socket));
}

const targetOf = ({ path, query, target }: Ask): string =>
  target ?? `${path}.flv${query === undefined ? '' : `?${query}`}`;

function methodOf({ command, method }: Ask): string {
  return method ?? (command === 'publish' ? 'POST' : 'GET');
}

const HEAD_END = '\r\n\r\n';

/** HTTP/1.1 as it is on the wire. */
function openHttp(column: Column, ask: Ask): Reader {
  const notes = createNotes(column);
  const socket = openSocket(column, ask.ports);
  let head: Buffer | undefined = Buffer.alloc(0);
  let problem: { status: number; bytes: number; body: Buffer; retryAfter: string | undefined } | undefined;

  function takeBody(chunk: Buffer): void {
    if (problem === undefined) return notes.takeFlv(chunk);
    const { status, bytes, retryAfter } = problem;
    problem.body = Buffer.concat([problem.body, chunk]);
    if (problem.body.length < bytes) return;
    notes.takeStray(problem.body.length - bytes);
    problem.body = problem.body.subarray(0, bytes);
    notes.answer(readProblem(status, problem.body.toString(), retryAfter));
  }

  socket.on('data', (chunk: Buffer) => {
    if (head === undefined) return takeBody(chunk);
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf(HEAD_END);
    if (end === -1) return;
    const text = head.toString('latin1', 0, end);
    const body = head.subarray(end + HEAD_END.length);
    head = undefined;
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]);
    const field = (name: string): string | undefined =>
      new RegExp(`^${name}: *(.*)$`, 'im').exec(text)?.[1]?.trim();
    if (status === 200) notes.answer(YES);
    else
      problem = {
        status,
        bytes: Number(field('content-length')),
        body: Buffer.alloc(0),
        retryAfter: field('retry-after'),
      };
    takeBody(body);
  });
  socket.on('error', ({ message }) => notes.sayFarewell('error', message)).on('close', notes.end);
  const fields = { host: 'localhost', ...ask.headers };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  const isPost = methodOf(ask) === 'POST';
  if (isPost) lines.push('transfer-encoding: chunked\r\n');
  // A publisher who does not wait for the answer.
  const body = isPost ? '3\r\nFLV\r\n' : '';
  socket.write(`${methodOf(ask)} ${targetOf(ask)} HTTP/1.1\r\n${lines.join('')}\r\n${body}`);
  return notes.reader(wayOf(socket));
}

function openH2(column: Column, ask: Ask): Reader {
  const notes = createNotes(column);
  const session = connectHttp2(`https://localhost:${String(ask.ports.https)}`, {
    rejectUnauthorized: false,
    lookup: (_host, _options, done) => done(null, [{ address: '127.0.0.1', family: 4 }]),
  });
  const stream = session.request({
    ':path': targetOf(ask),
    ':method': methodOf(ask),
    ...ask.headers,
  });
  let problem: { status: number; body: Buffer; retryAfter: string | undefined } | undefined;
  session.on('error', () => undefined);
  stream.on('error', ({ message }: Error) => notes.sayFarewell('error', message));
  stream.on('response', ({ ':status': status = 0, 'retry-after': retryAfter }) => {
    if (status === 200) notes.answer(YES);
    else problem = { status, body: Buffer.alloc(0), retryAfter };
  });
  stream.on('data', (chunk: Buffer) => {
    if (problem === undefined) notes.takeFlv(chunk);
    else problem.body = Buffer.concat([problem.body, chunk]);
  });
  stream.on('end', () => {
    if (problem === undefined) return;
    // Throws when there is one byte more than the document.
    notes.answer(readProblem(problem.status, problem.body.toString(), problem.retryAfter));
  });
  stream.on('close', () => {
    notes.end();
    session.destroy();
  });
  return notes.reader({
    pause: () => void stream.pause(),
    resume: () => void stream.resume(),
    destroy: () => session.destroy(),
  });
}

function openWebSocket(column: Column, ask: Ask): Reader {
  const notes = createNotes(column);
  const base =
    column === 'wss-flv'
      ? `wss://127.0.0.1:${String(ask.ports.https)}`
      : `ws://127.0.0.1:${String(ask.ports.http)}`;
  const protocols = ask.command === 'publish' ? ['publisher'] : [];
  const socket = new WebSocket(`${base}${targetOf(ask)}`, protocols, {
    rejectUnauthorized: false,
    perMessageDeflate: false,
    ...(ask.headers === undefined ? {} : { headers: ask.headers }),
  });
  let isPlaying = false;
  socket.on('message', (data: Buffer) => {
    if (!isPlaying) notes.answer(YES);
    isPlaying = true;
    notes.takeFlv(data);
  });
  socket.on('unexpected-response', (_request, response) => {
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
    response.on('error', () => undefined);
    response.on('end', () => {
      const body = Buffer.concat(chunks).toString();
      notes.answer(readProblem(response.statusCode ?? 0, body, response.headers['retry-after']));
    });
    response.on('close', () => {
      socket.on('error', () => undefined);
      socket.terminate();
    });
  });
  socket.on('error', () => undefined);
  socket.on('close', (code, reasonBytes) => {
    const text = reasonBytes.toString();
    notes.sayFarewell(code, text);
    if (code > 4000) notes.answer({ ...NOTHING, status: code - 4000, code: text.split(':')[0], text });
    notes.end();
  });
  return notes.reader({
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    destroy: () => socket.terminate(),
  });
}

/** Connects and asks. */
export function openReader(column: Column, ask: Ask): Reader {
  switch (column) {
    case 'rtmp':
    case 'rtmps':
      return openRtmp(column, ask);
    case 'http-flv':
    case 'https-flv':
      return openHttp(column, ask);
    case 'h2-flv':
      return openH2(column, ask);
    case 'ws-flv':
    case 'wss-flv':
      return openWebSocket(column, ask);
  }
}
