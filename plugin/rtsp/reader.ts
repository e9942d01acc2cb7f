/**
 * RTSP 1.0 messages and interleaved packets from a connection's bytes (RFC 2326 sections 4 to 7 and 10.12): requests for
 * servers, responses for clients. Strict: one spelling of everything that decides where a message ends.
 */
import { RtspSyntaxError } from './syntax-error.ts';

export interface RtspRequest {
  readonly kind: 'request';
  /** As it was sent: methods are case-sensitive. */
  readonly method: string;
  /** An absolute URL, or `*`; 1 to 2048 printable ASCII characters. */
  readonly url: string;
  /** 0 to 999,999,999. */
  readonly cseq: number;
  /** By name in lower case; of fields that were sent several times the values with a comma between. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** What a server answers. */
export interface RtspReply {
  readonly kind: 'reply';
  /** 100 to 599. */
  readonly status: number;
  /** Of the request; `undefined` where the server could not read it. */
  readonly cseq: number | undefined;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** A packet of the other side, on a channel of SETUP's `interleaved`. */
export interface RtspFrame {
  readonly kind: 'frame';
  /** 0 to 255. */
  readonly channel: number;
  readonly data: Buffer;
}

export type RtspMessage = RtspRequest | RtspFrame;

/** Of requests for servers, of replies for clients. */
export interface RtspReader<Message = RtspRequest> {
  /** Takes bytes. What is not yet whole is kept: never more than one message of the largest size and this chunk. */
  push(chunk: Buffer): void;
  /**
   * The next whole message; `undefined`: more bytes are needed. Views of memory that nobody writes to.
   * @throws RtspSyntaxError and again at each further call: where a next message would begin is not known
   */
  next(): Message | RtspFrame | undefined;
}

/** A ticket has 4096 characters, a proof about 1000. */
export const MAX_HEAD_BYTES = 16 * 1024;
const MAX_LINE_BYTES = 8 * 1024;
const MAX_URL_CHARS = 2048;
const MAX_HEADERS = 40;
const MAX_EMPTY_LINES = 64;
/** The longest ticket, and its name. */
export const MAX_BODY_BYTES = 4 * 1024 + 64;
/** A hundred receipts, with their signature. */
const MAX_REPLY_BODY_BYTES = 256 * 1024;
/** Media in one packet, or RTCP. */
export const MAX_FRAME_BYTES = 8 * 1024;

const DOLLAR = 0x24;
const CR = 0x0d;
const LF = 0x0a;
const FRAME_HEAD_BYTES = 4;
const END_OF_HEAD = Buffer.from('\r\n\r\n', 'latin1');

const REQUEST_LINE = /^([A-Z_]{1,32}) ([\x21-\x7e]+) (RTSP\/[0-9]\.[0-9])$/;
const STATUS_LINE = /^RTSP\/1\.0 ([1-5][0-9]{2}) [\t\x20-\x7e]*$/;
const HEADER = /^([A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/;
const CSEQ = /^[0-9]{1,9}$/;
const LENGTH = /^[0-9]{1,9}$/;

const malformed = (message: string): RtspSyntaxError => new RtspSyntaxError(400, message);

function readHeaders(lines: readonly string[]): Map<string, string> {
  if (lines.length > MAX_HEADERS) throw malformed('too many header fields');
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [, name = '', value = ''] = HEADER.exec(line) ?? [];
    // Folded lines too: two readers may take them differently.
    if (name === '') throw malformed('a header line is not <name>: <value>');
    const key = name.toLowerCase();
    const before = headers.get(key);
    const trimmed = value.replace(/[ \t]+$/, '');
    headers.set(key, before === undefined ? trimmed : `${before}, ${trimmed}`);
  }
  return headers;
}

/** A message but for its body. */
interface Head<Message> {
  readonly bodyBytes: number;
  with(body: Buffer): Message;
}

function linesOf(text: string): [first: string, ...fields: string[]] {
  const [first = '', ...fields] = text.split('\r\n');
  if ([first, ...fields].some((line) => line.length > MAX_LINE_BYTES)) throw malformed('a line is too long');
  return [first, ...fields];
}

function bodyBytesOf(headers: ReadonlyMap<string, string>, maxBytes: number): number {
  const length = headers.get('content-length') ?? '0';
  if (!LENGTH.test(length)) throw malformed('Content-Length is malformed');
  if (Number(length) > maxBytes) throw new RtspSyntaxError(413, 'the body is too large');
  return Number(length);
}

function readRequestHead(text: string): Head<RtspRequest> {
  const [first, ...fields] = linesOf(text);
  const [, method = '', url = '', version] = REQUEST_LINE.exec(first) ?? [];
  if (version === undefined) throw malformed('the request line is malformed');
  if (version !== 'RTSP/1.0') throw new RtspSyntaxError(505, 'the version is not 1.0');
  if (url.length > MAX_URL_CHARS) throw new RtspSyntaxError(414, 'the URL is too long');
  const headers = readHeaders(fields);
  const cseq = headers.get('cseq') ?? '';
  if (!CSEQ.test(cseq)) throw malformed('CSeq is missing or malformed');
  const bodyBytes = bodyBytesOf(headers, MAX_BODY_BYTES);
  return { bodyBytes, with: (body) => ({ kind: 'request', method, url, cseq: Number(cseq), headers, body }) };
}

function readReplyHead(text: string): Head<RtspReply> {
  const [first, ...fields] = linesOf(text);
  const [, status] = STATUS_LINE.exec(first) ?? [];
  if (status === undefined) throw malformed('the status line is malformed');
  const headers = readHeaders(fields);
  const number = headers.get('cseq');
  if (number !== undefined && !CSEQ.test(number)) throw malformed('CSeq is malformed');
  const cseq = number === undefined ? undefined : Number(number);
  const bodyBytes = bodyBytesOf(headers, MAX_REPLY_BODY_BYTES);
  return { bodyBytes, with: (body) => ({ kind: 'reply', status: Number(status), cseq, headers, body }) };
}

/** Reads one connection's requests. */
export const createRtspReader = (): RtspReader => createReader(readRequestHead);

/** Reads one connection's replies. */
export const createRtspReplyReader = (): RtspReader<RtspReply> => createReader(readReplyHead);

function createReader<Message>(readHead: (text: string) => Head<Message>): RtspReader<Message> {
  let buffered: Buffer = Buffer.alloc(0);
  /** Of a message whose body is not yet whole. */
  let head: Head<Message> | undefined;
  /** Bytes that have been searched for the end of a head. */
  let searched = 0;
  /** In a row, before the next message. */
  let emptyLines = 0;
  let failure: RtspSyntaxError | undefined;

  function take(bytes: number): Buffer {
    const taken = buffered.subarray(0, bytes);
    buffered = buffered.subarray(bytes);
    return taken;
  }

  function nextFrame(): RtspFrame | undefined {
    if (buffered.length < FRAME_HEAD_BYTES) return undefined;
    const bytes = buffered.readUInt16BE(2);
    if (bytes > MAX_FRAME_BYTES) throw new RtspSyntaxError(413, 'the packet is too large');
    if (buffered.length < FRAME_HEAD_BYTES + bytes) return undefined;
    const channel = buffered.readUInt8(1);
    return { kind: 'frame', channel, data: take(FRAME_HEAD_BYTES + bytes).subarray(FRAME_HEAD_BYTES) };
  }

  function nextHead(): Head<Message> | undefined {
    const end = buffered.indexOf(END_OF_HEAD, Math.max(0, searched - END_OF_HEAD.length + 1));
    if (end > MAX_HEAD_BYTES || (end < 0 && buffered.length > MAX_HEAD_BYTES))
      throw new RtspSyntaxError(413, 'the header is too large');
    searched = end < 0 ? buffered.length : 0;
    if (end < 0) return undefined;
    return readHead(take(end + END_OF_HEAD.length).toString('latin1', 0, end));
  }

  /** RFC 2326 section 4.1: empty lines before a message are passed over. */
  function passEmptyLines(): void {
    let at = 0;
    for (; buffered[at] === CR && buffered[at + 1] === LF; at += 2) {
      if (++emptyLines > MAX_EMPTY_LINES) throw malformed('too many empty lines');
    }
    if (at > 0) buffered = buffered.subarray(at);
  }

  function read(): Message | RtspFrame | undefined {
    if (head === undefined) {
      passEmptyLines();
      if (buffered.length > 0 && buffered[0] !== CR) emptyLines = 0;
      if (buffered[0] === DOLLAR) return nextFrame();
      head = nextHead();
    }
    if (head === undefined || buffered.length < head.bodyBytes) return undefined;
    const whole = head;
    head = undefined;
    return whole.with(take(whole.bodyBytes));
  }

  return {
    push(chunk) {
      // A copy, so that a few bytes of a message do not keep the memory of many.
      buffered = buffered.length === 0 ? chunk : Buffer.concat([buffered, chunk]);
    },
    next() {
      if (failure !== undefined) throw failure;
      try {
        return read();
      } catch (error) {
        if (error instanceof RtspSyntaxError) failure = error;
        throw error;
      }
    },
  };
}
