/** One viewing from connecting to the last receipt. */
import { createDialogue, type Dialogue } from './dialogue.ts';
import { PlayError } from './error.ts';
import { openLink } from './link.ts';
import type { Output } from './output.ts';
import { createLineReceiver, type LineReceiver, type LineSink } from './receiver.ts';
import { createRecording } from './recording.ts';
import { keepRenewed } from './renewals.ts';
import { summarize, type Summary } from './summary.ts';
import type { HeldTicket } from './tickets.ts';
import { createTransports, type Lower, type Transports } from './transports.ts';

export interface ViewingOptions {
  /** Of the stream, without a query. */
  readonly url: URL;
  readonly held: HeldTicket;
  /** Reads the tickets anew, for renewals. */
  readonly read: () => Promise<readonly HeldTicket[]>;
  readonly lower: Lower;
  readonly ca: string | undefined;
  /** Milliseconds for the connection and each reply. */
  readonly timeoutMs: number;
  /** Default: until the stream ends, or the signal. */
  readonly seconds: number | undefined;
  /** Opened once the server has admitted; `undefined`: media is received, opened and counted. */
  readonly output: (() => Output) | undefined;
  /** Ends it as it should be ended. */
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

/** Who has ended it. */
export interface Viewed {
  readonly by: 'viewer' | 'server';
  readonly summary: Summary;
}

/** Half of what the server waits for a sign of life. */
const RECEIPTS_EVERY_MS = 15_000;
/** Of the documents that receipts came in: a day. */
const MAX_DOCUMENTS = 6000;

type End = { readonly by: 'viewer' | 'server'; readonly text: string; readonly error?: PlayError };

/** @throws PlayError */
async function setUpLines(
  dialogue: Dialogue,
  transports: Transports,
  sinkFor: (lines: readonly LineReceiver['line'][]) => LineSink,
): Promise<LineReceiver[]> {
  const lines = await dialogue.describe();
  if (lines.length === 0) throw new PlayError('nothing in the description can be played');
  const sink = sinkFor(lines);
  const receivers: LineReceiver[] = [];
  for (const line of lines) {
    const transport = await transports.open();
    const { keys, serverPorts } = await dialogue.setUp(line, transport.offer);
    const receiver = createLineReceiver(line, keys, sink);
    receivers.push(receiver);
    transport.receive(receiver, serverPorts);
  }
  return receivers;
}

/**
 * Plays until an end.
 * @throws PlayError when nothing came of it
 */
export async function view(options: ViewingOptions): Promise<Viewed> {
  const { url, held, read, lower, ca, timeoutMs, say, signal } = options;
  const link = await openLink({ url, ca, timeoutMs, signal });
  const transports = createTransports(lower, link);
  link.onPacket(transports.packet);
  const dialogue = createDialogue(link, url.href, held);
  const over = new AbortController();
  const { promise: ended, resolve: end } = Promise.withResolvers<End>();
  const documents: string[] = [];
  let output: Output | undefined;
  let finish = (): void => undefined;

  function sinkFor(lines: readonly LineReceiver['line'][]): LineSink {
    const bye = (): void => end({ by: 'server', text: 'ended by the server' });
    output = options.output?.();
    if (output === undefined) return { rtp: () => undefined, rtcp: () => undefined, bye };
    const { write } = output;
    void output.ended.then((error) =>
      end({ by: 'viewer', text: 'the player was closed', ...(error === null ? {} : { error }) }),
    );
    const recording = createRecording(lines, write, Date.now);
    finish = recording.end;
    return { rtp: recording.rtp, rtcp: recording.rtcp, bye };
  }

  let isPlaying = false;
  /** Until there is something to tear down; what is set up ends with the connection. */
  function giveUp(): void {
    if (!isPlaying) link.close();
  }
  signal.addEventListener('abort', giveUp, { signal: over.signal });
  /** Of a session that the server has ended, and with it the connection. */
  async function lastReceipts(): Promise<string> {
    const another = await openLink({ url, ca, timeoutMs, signal });
    try {
      return await dialogue.receipts(another);
    } finally {
      another.close();
    }
  }

  try {
    const receivers = await setUpLines(dialogue, transports, sinkFor);
    await dialogue.play();
    isPlaying = true;
    const startedMs = performance.now();
    void link.closed.then(() => end({ by: 'server', text: 'ended by the server' }));
    const stop = (text: string) => (): void => end({ by: 'viewer', text });
    if (signal.aborted) stop('stopped')();
    signal.addEventListener('abort', stop('stopped'), { signal: over.signal });
    const timers = [
      setInterval(() => {
        const asked = dialogue.receipts().then((document) => documents.push(document));
        // The connection's end says what is wrong.
        asked.catch(() => undefined);
        if (documents.length > MAX_DOCUMENTS) documents.shift();
      }, RECEIPTS_EVERY_MS),
      ...(options.seconds === undefined ? [] : [setTimeout(stop('played'), options.seconds * 1000)]),
    ];
    keepRenewed({ held, dialogue, read, say, signal: over.signal });
    const { by, text, error } = await ended;
    for (const timer of timers) clearTimeout(timer);
    over.abort();
    const seconds = (performance.now() - startedMs) / 1000;
    documents.push(await (by === 'viewer' ? dialogue.tearDown() : lastReceipts()).catch(() => ''));
    finish();
    if (error !== undefined) throw error;
    return { by, summary: await summarize(text, seconds, receivers, documents) };
  } catch (error) {
    throw isPlaying || !signal.aborted ? error : new PlayError('stopped before anything was played');
  } finally {
    over.abort();
    transports.close();
    link.close();
    await output?.close();
  }
}
