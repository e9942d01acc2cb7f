/** Receivers of the srtp bench, in a process of their own: each opens its first packet, and then only counts. */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import {
  createSrtpReceiver,
  SRTP_SUITES,
  type SrtpReceiver,
  type SrtpSuiteName,
} from '../plugin/srtp/index.ts';

/** What a receiver's packets are protected with. */
export interface ReceiverLine {
  readonly suite: SrtpSuiteName;
  /** Master key and salt. */
  readonly keyBase64: string;
}

export type ReadersQuestion =
  | { readonly ask: 'open'; readonly count: number }
  | { readonly ask: 'expect'; readonly lines: readonly ReceiverLine[] }
  | { readonly ask: 'count' };

/** What has come so far. */
export interface ReadersCount {
  readonly packets: number;
  /** Receivers whose first packet was authentic. */
  readonly served: number;
}

const RECEIVE_BUFFER_BYTES = 1 << 20;

interface Reader {
  readonly socket: Socket;
  receiver: SrtpReceiver | undefined;
  isServed: boolean;
}

const readers: Reader[] = [];
let packets = 0;

async function openReader(): Promise<number> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: RECEIVE_BUFFER_BYTES });
  const reader: Reader = { socket, receiver: undefined, isServed: false };
  socket.on('message', (packet) => {
    packets += 1;
    if (reader.isServed || reader.receiver === undefined) return;
    reader.isServed = typeof reader.receiver.unprotectRtp(packet) !== 'string';
  });
  readers.push(reader);
  const bound = once(socket, 'listening');
  socket.bind(0, '127.0.0.1');
  await bound;
  return socket.address().port;
}

function expectLines(lines: readonly ReceiverLine[]): void {
  for (const [index, { suite, keyBase64 }] of lines.entries()) {
    const secret = Buffer.from(keyBase64, 'base64');
    const { keyBytes } = SRTP_SUITES[suite];
    const master = { key: secret.subarray(0, keyBytes), salt: secret.subarray(keyBytes) };
    const reader = readers[index];
    if (reader !== undefined) reader.receiver = createSrtpReceiver({ suite, master });
  }
}

async function answer(question: ReadersQuestion): Promise<number[] | ReadersCount> {
  if (question.ask === 'open') return Promise.all(Array.from({ length: question.count }, openReader));
  if (question.ask === 'expect') expectLines(question.lines);
  return { packets, served: readers.filter(({ isServed }) => isServed).length };
}

process.on(
  'message',
  (question: ReadersQuestion) => void answer(question).then((found) => process.send?.(found)),
);
process.on('disconnect', () => process.exit(0));
