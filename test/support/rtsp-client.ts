/** A client of RTSP that does one thing at a time, and shows everything that it is sent. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createSrtpReceiver, parseSdes, type SrtpReceiver } from '../../plugin/srtp/index.ts';

export interface RtspAnswer {
  readonly status: number;
  /** By name in lower case; the last of several. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

export interface RtspTestClient {
  readonly socket: Socket;
  /** Packets by channel, still protected. */
  readonly frames: { readonly channel: number; readonly data: Buffer }[];
  ask(method: string, url: string, headers?: Record<string, string>, body?: string): Promise<RtspAnswer>;
  /** Resolves with the frame of this number (from 0), once it has come. */
  frame(index: number): Promise<{ readonly channel: number; readonly data: Buffer }>;
  readonly closed: Promise<unknown>;
}

const END = '\r\n\r\n';

/** @param over what the connection goes over; default: TCP */
export async function connectRtsp(port: number, over?: Socket): Promise<RtspTestClient> {
  const socket = over ?? connect(port, '127.0.0.1');
  if (over === undefined) await once(socket, 'connect');
  const frames: { channel: number; data: Buffer }[] = [];
  const answers: ((answer: RtspAnswer) => void)[] = [];
  const failures: ((error: Error) => void)[] = [];
  const arrivals: (() => void)[] = [];
  let buffered = Buffer.alloc(0);
  let cseq = 0;

  function take(): boolean {
    if (buffered[0] === 0x24) {
      if (buffered.length < 4 || buffered.length < 4 + buffered.readUInt16BE(2)) return false;
      const end = 4 + buffered.readUInt16BE(2);
      frames.push({ channel: buffered.readUInt8(1), data: Buffer.from(buffered.subarray(4, end)) });
      buffered = buffered.subarray(end);
      for (const arrived of arrivals.splice(0)) arrived();
      return true;
    }
    const end = buffered.indexOf(END);
    if (end < 0) return false;
    const [first = '', ...lines] = buffered.toString('latin1', 0, end).split('\r\n');
    const headers = new Map(
      lines.map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    const bodyEnd = end + END.length + Number(headers.get('content-length') ?? 0);
    if (buffered.length < bodyEnd) return false;
    const body = buffered.toString('utf8', end + END.length, bodyEnd);
    buffered = buffered.subarray(bodyEnd);
    failures.shift();
    answers.shift()?.({ status: Number(first.split(' ')[1]), headers, body });
    return true;
  }

  socket.on('data', (chunk: Buffer) => {
    buffered = Buffer.concat([buffered, chunk]);
    while (buffered.length > 0 && take());
  });
  socket.on('error', () => undefined);
  const closed = new Promise<unknown>((resolve) => socket.once('close', resolve));
  void closed.then(() => {
    for (const fail of failures) fail(new Error('the connection was closed'));
  });

  return {
    socket,
    frames,
    closed,
    ask(method, url, headers = {}, body = '') {
      const lines = [`${method} ${url} RTSP/1.0`, `CSeq: ${String(++cseq)}`];
      for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
      if (body !== '') lines.push(`Content-Length: ${String(body.length)}`);
      const { promise, resolve, reject } = Promise.withResolvers<RtspAnswer>();
      answers.push(resolve);
      failures.push(reject);
      socket.write(`${lines.join('\r\n')}${END}${body}`);
      return promise;
    },
    async frame(index) {
      for (;;) {
        const found = frames[index];
        if (found !== undefined) return found;
        await new Promise<void>((resolve, reject) => {
          arrivals.push(resolve);
          void closed.then(() => reject(new Error('the connection was closed')));
        });
      }
    },
  };
}

/** What opens a description's lines, in their order. */
export function receiversOf(sdp: string): SrtpReceiver[] {
  return sdp
    .split('\r\n')
    .filter((line) => line.startsWith('a=crypto:'))
    .map((line) => createSrtpReceiver(parseSdes(line)));
}
