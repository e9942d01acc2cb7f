/** A connection to an RTSP server: one request at a time, and the packets between the replies. */
import { once } from 'node:events';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { createRtspReplyReader, type RtspReply } from '../../../plugin/rtsp/reader.ts';
import { PlayError } from './error.ts';

export interface LinkOptions {
  readonly url: URL;
  /** Certificates that are trusted instead of the system's, in PEM. */
  readonly ca: string | undefined;
  /** Milliseconds for the connection, and for each reply. */
  readonly timeoutMs: number;
  /** Gives the connection up that is not there yet. */
  readonly signal?: AbortSignal;
}

export type PacketListener = (channel: number, packet: Buffer) => void;

export interface Link {
  /** Address of the server, and of this end. */
  readonly remoteAddress: string;
  readonly localAddress: string;
  /** @throws PlayError */
  ask(
    method: string,
    url: string,
    headers?: Readonly<Record<string, string>>,
    body?: string,
  ): Promise<RtspReply>;
  /** Told of packets from now on; their memory is the listener's. */
  onPacket(listener: PacketListener): void;
  readonly closed: Promise<void>;
  close(): void;
}

const DEFAULT_PORTS = { 'rtsp:': 554, 'rtsps:': 322 } as const;

function open({ url, ca }: LinkOptions): Socket {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const isSecure = url.protocol === 'rtsps:';
  const port = url.port === '' ? DEFAULT_PORTS[isSecure ? 'rtsps:' : 'rtsp:'] : Number(url.port);
  if (!isSecure) return connectTcp(port, host);
  return connectTls({
    ...{ host, port, minVersion: 'TLSv1.2' },
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(ca === undefined ? {} : { ca }),
  });
}

/** @throws PlayError */
export async function openLink(options: LinkOptions): Promise<Link> {
  const { url, timeoutMs } = options;
  const socket = open(options);
  const signal = AbortSignal.any([
    AbortSignal.timeout(timeoutMs),
    ...(options.signal ? [options.signal] : []),
  ]);
  try {
    await once(socket, url.protocol === 'rtsps:' ? 'secureConnect' : 'connect', { signal });
  } catch (error) {
    socket.destroy();
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'no answer';
    throw new PlayError(`the server cannot be reached (${code})`);
  }
  socket.setNoDelay(true);
  const reader = createRtspReplyReader();
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  let waiting: { readonly cseq: number; resolve(reply: RtspReply): void } | undefined;
  let cseq = 0;
  let onPacket: PacketListener = () => undefined;

  function take(chunk: Buffer): void {
    reader.push(chunk);
    for (let message = reader.next(); message !== undefined; message = reader.next()) {
      if (message.kind === 'frame') onPacket(message.channel, Buffer.from(message.data));
      else if (waiting !== undefined && (message.cseq ?? waiting.cseq) === waiting.cseq)
        waiting.resolve(message);
    }
  }

  socket.on('data', (chunk: Buffer) => {
    try {
      take(chunk);
    } catch {
      // What comes is no RTSP: nothing after it can be understood.
      socket.destroy();
    }
  });
  socket.on('error', () => socket.destroy());

  async function exchange(method: string, text: string): Promise<RtspReply> {
    const { promise, resolve } = Promise.withResolvers<RtspReply>();
    waiting = { cseq, resolve };
    const late = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => late.resolve(undefined), timeoutMs);
    socket.write(text);
    try {
      const reply = await Promise.race([promise, late.promise, closed]);
      if (reply === undefined) throw new PlayError(`the server does not answer ${method}`);
      return reply;
    } finally {
      clearTimeout(timer);
      waiting = undefined;
    }
  }

  /** The request before; one at a time. */
  let before: Promise<unknown> = Promise.resolve();

  return {
    remoteAddress: socket.remoteAddress ?? '',
    localAddress: socket.localAddress ?? '',
    closed,
    onPacket: (listener) => void (onPacket = listener),
    close: () => void socket.destroy(),
    ask(method, to, headers = {}, body = '') {
      const send = (): Promise<RtspReply> => {
        const lines = [`${method} ${to} RTSP/1.0`, `CSeq: ${String(++cseq)}`, 'User-Agent: media-usher'];
        for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
        if (body !== '') lines.push(`Content-Length: ${String(Buffer.byteLength(body))}`);
        return exchange(method, `${lines.join('\r\n')}\r\n\r\n${body}`);
      };
      const reply = before.then(send);
      before = reply.catch(() => undefined);
      return reply;
    },
  };
}
