/** `usher play`: a thin client for tickets, without a browser: MIKEY with the ticket's own secret, SRTP, a file or a player. */
import { DEFAULT_TIMEOUT_SECONDS, readOptions, readSeconds, readTimeoutMs } from './arguments.ts';
import { UsageError, type Command } from './command.ts';
import { readFile } from './input.ts';
import { PlayError } from './play/error.ts';
import { outputToFile, outputToPlayer, type Output } from './play/output.ts';
import { summaryText } from './play/summary.ts';
import { isReadByOthers, longest, readTickets } from './play/tickets.ts';
import type { Lower } from './play/transports.ts';
import { view } from './play/viewing.ts';

const OPTIONS = {
  ticket: { type: 'string' },
  transport: { type: 'string' },
  output: { type: 'string' },
  player: { type: 'string' },
  ca: { type: 'string' },
  seconds: { type: 'string' },
  timeout: { type: 'string' },
  json: { type: 'boolean' },
} as const;

const MAX_SECONDS = 2_000_000;
const ENDED_BY_SERVER = 3;

interface Asked {
  readonly url: URL;
  readonly ticketFile: string;
  readonly lower: Lower;
  readonly output: (() => Output) | undefined;
  /** Where the summary goes: standard output may be media. */
  readonly isOutputMedia: boolean;
  readonly caFile: string | undefined;
  readonly seconds: number | undefined;
  readonly timeoutMs: number;
  readonly json: boolean;
}

function readUrl(text: string | undefined): URL {
  if (text === undefined || !URL.canParse(text) || !/^rtsps?:\/\/[^/]/i.test(text))
    throw new UsageError('the URL of a stream is needed, rtsp: or rtsps:');
  const url = new URL(text);
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '')
    throw new UsageError('the URL has nothing but server and stream: the ticket is in a file');
  return url;
}

function readArguments(args: readonly string[]): Asked {
  const { values, positionals } = readOptions(args, OPTIONS);
  const { ticket, transport = 'tcp', output, player, ca, seconds, timeout, json = false } = values;
  const [url, ...more] = positionals;
  if (more.length > 0) throw new UsageError('one URL at a time');
  if (ticket === undefined) throw new UsageError('--ticket is needed');
  if (transport !== 'tcp' && transport !== 'udp') throw new UsageError('--transport is tcp or udp');
  if (output !== undefined && player !== undefined) throw new UsageError('either --output or --player');
  return {
    url: readUrl(url),
    ticketFile: ticket,
    lower: transport,
    output:
      output !== undefined
        ? () => outputToFile(output)
        : player === undefined
          ? undefined
          : () => outputToPlayer(player),
    isOutputMedia: output === '-',
    caFile: ca,
    seconds: seconds === undefined ? undefined : readSeconds(seconds, 'seconds', 0.1, MAX_SECONDS),
    timeoutMs: readTimeoutMs(timeout),
    json,
  };
}

/** What is around the command: replaced by tests. */
export interface PlaySurroundings {
  readonly print: (text: string) => void;
  /** What is not the result. */
  readonly say: (text: string) => void;
  /** Ends a viewing as it should be ended. */
  readonly signal: AbortSignal;
}

/**
 * Runs the command; answers 0 when it was ended as asked, 3 when the server ended it.
 * @throws UsageError, PlayError
 */
export async function playCommand(
  args: readonly string[],
  { print, say, signal }: PlaySurroundings,
): Promise<number> {
  const { url, ticketFile, lower, output, isOutputMedia, caFile, seconds, timeoutMs, json } =
    readArguments(args);
  const ca = caFile === undefined ? undefined : await readFile(caFile, 'the file of --ca');
  const uri = url.pathname;
  const read = () => readTickets(ticketFile);
  const held = longest(await read(), uri);
  if (await isReadByOthers(ticketFile)) say('others can read the keys in the file of --ticket: chmod 600');
  if (held === undefined) throw new PlayError('the file has no ticket for this stream');
  const { by, summary } = await view({
    ...{ url, held, read, lower, ca, timeoutMs, seconds, output, signal, say },
  });
  const tell = isOutputMedia ? say : print;
  tell(json ? JSON.stringify(summary, null, 2) : summaryText(summary));
  return by === 'viewer' ? 0 : ENDED_BY_SERVER;
}

export const play: Command = {
  usage: 'URL --ticket FILE [--transport tcp|udp] [--output FILE | --player PROGRAM] [--seconds S] [--json]',
  summary: 'play a stream by RTSP with a ticket: no browser, keys from the ticket’s own secret',
  details: [
    'URL               rtsps://host:port/app/name, as the server’s public URL has it; rtsp: works as well',
    '--ticket FILE     {"tickets": [{"ticket", "clientPart", "proofKey", "sealKey"}, ...]}: the keys are private JWKs;',
    '                  the file is read again before the ticket ends, for a later one of the same key',
    '--transport       tcp (default) or udp',
    '--output FILE     write Matroska to a file, or to standard output with -',
    '--player PROGRAM  let a program play that reads its standard input: ffplay, mpv, vlc',
    '--seconds S       end after that many seconds',
    '--ca FILE         trust these certificates (PEM) instead of the system’s',
    `--timeout S       seconds for the connection and for each reply (default: ${DEFAULT_TIMEOUT_SECONDS})`,
    '--json            the summary for programs',
    '',
    'Without --output and --player media is received, opened and counted.',
    'At the end: what came, and the receipts, checked as `receipt verify` does. SIGINT and SIGTERM end it cleanly.',
    'Exit codes: 0 ended as asked, 1 refused or failed, 2 wrong use, 3 ended by the server.',
  ].join('\n'),
  async run(args) {
    const stop = new AbortController();
    const onSignal = (): void => stop.abort();
    process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
    try {
      return await playCommand(args, {
        print: (text) => {
          console.log(text);
        },
        say: (text) => {
          console.error(text);
        },
        signal: stop.signal,
      });
    } finally {
      process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    }
  },
};
