/** `usher whep-check`: whether a WHEP server, this one or any other, does what the draft asks. */
import { importSigningKey, MAX_TICKET_CHARS } from '../../plugin/ticket/index.ts';
import { DEFAULT_TIMEOUT_SECONDS, readOptions, readTimeoutMs } from './arguments.ts';
import { UsageError, type Command } from './command.ts';
import { readFile } from './input.ts';
import { bearer, NOBODY, ticketHolder, type Credentials } from './whep-check/credentials.ts';
import { countOf, runSuite, UnreachableError, type Report, type Result } from './whep-check/run.ts';

const OPTIONS = {
  bearer: { type: 'string' },
  ticket: { type: 'string' },
  key: { type: 'string' },
  origin: { type: 'string' },
  timeout: { type: 'string' },
  json: { type: 'boolean' },
} as const;

/** A page that exists nowhere (RFC 6761 section 6.4). */
const DEFAULT_ORIGIN = 'https://whep-check.invalid';
/** RFC 6750 section 2.1. */
const TOKEN = /^[A-Za-z0-9._~+/-]{1,8192}=*$/;

const CHECKS_FAILED = 1;
const NOTHING_SHOWN = 2;

interface Asked {
  readonly url: URL;
  readonly bearer: string | undefined;
  readonly ticketFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly origin: string;
  readonly timeoutMs: number;
  readonly json: boolean;
}

function readUrl(text: string | undefined): URL {
  if (text === undefined || !URL.canParse(text) || !/^https?:\/\//i.test(text))
    throw new UsageError('the URL of a WHEP endpoint is needed, http: or https:');
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') throw new UsageError('no name or password in the URL');
  return url;
}

function readArguments(args: readonly string[]): Asked {
  const { values, positionals } = readOptions(args, OPTIONS);
  const { bearer: token, ticket, key, origin = DEFAULT_ORIGIN, timeout, json = false } = values;
  const [url, ...more] = positionals;
  if (more.length > 0) throw new UsageError('one URL at a time');
  if (token !== undefined && !TOKEN.test(token)) throw new UsageError('--bearer is no token');
  if ((ticket === undefined) !== (key === undefined)) throw new UsageError('--ticket and --key go together');
  if (token !== undefined && ticket !== undefined) throw new UsageError('either --bearer or --ticket');
  if (!URL.canParse(origin) || new URL(origin).origin !== origin)
    throw new UsageError('--origin is no origin of a page');
  return {
    url: readUrl(url),
    bearer: token,
    ticketFile: ticket,
    keyFile: key,
    origin,
    timeoutMs: readTimeoutMs(timeout),
    json,
  };
}

async function credentialsOf({ bearer: token, ticketFile, keyFile }: Asked): Promise<Credentials> {
  if (token !== undefined) return bearer(token);
  if (ticketFile === undefined || keyFile === undefined) return NOBODY;
  const ticket = (await readFile(ticketFile, 'the ticket')).trim();
  const keyText = await readFile(keyFile, 'the key');
  if (ticket.length > MAX_TICKET_CHARS || !/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/.test(ticket))
    throw new UsageError('the file of --ticket has no ticket');
  try {
    return ticketHolder(ticket, await importSigningKey(JSON.parse(keyText) as JsonWebKey & { kty: string }));
  } catch {
    throw new UsageError('the file of --key has no private JWK for Ed25519 or ES256');
  }
}

const MARKS = { passed: 'ok', failed: 'FAILED', 'not followed': 'advice', 'not applicable': 'n/a' } as const;

/** One line for people. */
export function resultLine({ id, section, level, title, outcome, why }: Result): string {
  const mark = MARKS[outcome].padEnd(6);
  const reason = why === null ? '' : ` (${why})`;
  return `${mark}  ${id}  ${title}${reason}  [${level}, ${section}]`;
}

function summary(report: Report): string {
  const count = (outcome: Result['outcome']): string => `${countOf(report, outcome)} ${outcome}`;
  const advice = countOf(report, 'not followed') === 0 ? '' : `, ${count('not followed')} (SHOULD)`;
  const ends = report.opened ? '' : '\nNo session was opened, so most could not be checked.';
  return `${count('passed')}, ${count('failed')}, ${count('not applicable')}${advice}${ends}`;
}

/** The report for programs; without the query of the URL, which may be somebody's secret. */
function jsonReport(report: Report, { origin, pathname }: URL): string {
  const counts = {
    passed: countOf(report, 'passed'),
    failed: countOf(report, 'failed'),
    notFollowed: countOf(report, 'not followed'),
    notApplicable: countOf(report, 'not applicable'),
  };
  const { draft, opened, results } = report;
  return JSON.stringify({ url: `${origin}${pathname}`, draft, opened, ...counts, checks: results }, null, 2);
}

/** What is around the command: replaced by tests. */
export interface WhepCheckSurroundings {
  readonly print: (text: string) => void;
  /** Milliseconds between requests. */
  readonly paceMs?: number;
}

/**
 * Runs the command; answers 0 when no check failed, 1 when one did, 2 when nothing could be shown.
 * @throws UsageError
 */
export async function whepCheckCommand(
  args: readonly string[],
  { print, paceMs }: WhepCheckSurroundings,
): Promise<number> {
  const asked = readArguments(args);
  const credentials = await credentialsOf(asked);
  const { url, origin, timeoutMs, json } = asked;
  let report: Report;
  try {
    report = await runSuite({
      url,
      credentials,
      origin,
      timeoutMs,
      ...(paceMs === undefined ? {} : { paceMs }),
      ...(json ? {} : { onResult: (result) => print(resultLine(result)) }),
    });
  } catch (error) {
    if (!(error instanceof UnreachableError)) throw error;
    print(json ? JSON.stringify({ error: error.message }) : `The server cannot be reached: ${error.message}`);
    return NOTHING_SHOWN;
  }
  print(json ? jsonReport(report, url) : `\n${summary(report)}`);
  if (countOf(report, 'failed') > 0) return CHECKS_FAILED;
  return report.opened ? 0 : NOTHING_SHOWN;
}

export const whepCheck: Command = {
  usage: 'URL [--bearer TOKEN | --ticket FILE --key FILE] [--origin ORIGIN] [--timeout S] [--json]',
  summary: 'check a WHEP server against the draft, one check for each requirement',
  details: [
    'URL               the WHEP endpoint of a stream that is on air; any server',
    '--bearer TOKEN    ask with this bearer token',
    '--ticket FILE     ask with this ticket, and proofs of possession by',
    '--key FILE        the private JWK that the ticket is bound to',
    '--origin ORIGIN   ask as a page of this origin (default: one that exists nowhere)',
    `--timeout S       seconds for each request (default: ${DEFAULT_TIMEOUT_SECONDS})`,
    '--json            the report for programs',
    '',
    'Opens two sessions, one after the other, and ends them; about 25 requests, at most 4 a second.',
    'Exit codes: 0 nothing failed, 1 a check failed, 2 wrong use, or no session could be opened.',
  ].join('\n'),
  run: (args) =>
    whepCheckCommand(args, {
      print: (text) => {
        console.log(text);
      },
    }),
};
