/** `usher ticket inspect`: explains a ticket, and shows no part of it that somebody could use. */
import { open } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { systemClock } from '../../plugin/clock.ts';
import type { Clock, KeySource } from '../../plugin/ports.ts';
import { inspectTicket, type InspectedMember, type Inspection } from '../../plugin/ticket/inspect.ts';
import { readKeySource } from '../../plugin/ticket/key-sources.ts';
import { createRemoteKeySource, serverIdSchema } from '../../plugin/ticket/index.ts';
import { UsageError, type Command } from './command.ts';

/** Far more than a ticket or a JWK set needs. */
const MAX_INPUT_BYTES = 64 * 1024;
const PROBLEMS_FOUND = 1;

const OPTIONS = {
  issuer: { type: 'string' },
  jwks: { type: 'string' },
  server: { type: 'string' },
  json: { type: 'boolean' },
} as const;

interface Asked {
  /** `null`: standard input. */
  readonly file: string | null;
  readonly issuer: string | undefined;
  readonly jwks: string | undefined;
  readonly server: string | undefined;
  readonly json: boolean;
}

function readArguments(args: readonly string[]): Asked {
  let parsed;
  try {
    parsed = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  } catch {
    // Node's own message repeats the word that it does not know, which may be a ticket.
    throw new UsageError('an option is not known, or lacks its value');
  }
  const { issuer, jwks, server, json = false } = parsed.values;
  const [file = '-', ...more] = parsed.positionals;
  if (more.length > 0) throw new UsageError('one ticket at a time');
  if (issuer !== undefined && jwks !== undefined) throw new UsageError('either --issuer or --jwks');
  if (issuer !== undefined && (!URL.canParse(issuer) || !/^https?:\/\//.test(issuer)))
    throw new UsageError('--issuer is no http(s) URL');
  if (server !== undefined && !serverIdSchema.safeParse(server).success)
    throw new UsageError('--server is no server id');
  return { file: file === '-' ? null : file, issuer, jwks, server, json };
}

/** All of a stream. @throws UsageError when it is larger than `maxBytes` */
export async function readBounded(
  stream: AsyncIterable<Uint8Array>,
  what: string,
  maxBytes = MAX_INPUT_BYTES,
): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) throw new UsageError(`${what} is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/**
 * A small file of a command's arguments.
 * @throws UsageError that does not repeat the name: who gives a ticket for a file shall not find it in a log
 */
export async function readFile(file: string, what: string, maxBytes = MAX_INPUT_BYTES): Promise<string> {
  try {
    const handle = await open(file);
    try {
      return await readBounded(handle.createReadStream({ autoClose: false }), what, maxBytes);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    throw new UsageError(`${what} cannot be read (${code})`);
  }
}

async function keysFor({ issuer, jwks }: Asked, clock: Clock): Promise<KeySource | undefined> {
  if (issuer !== undefined) {
    const origin = issuer.replace(/\/+$/, '');
    return createRemoteKeySource({
      issuers: [{ issuer: origin, jwksUrl: `${origin}/.well-known/jwks.json` }],
      clock,
    });
  }
  if (jwks === undefined) return undefined;
  const text = await readFile(jwks, 'the JWK set');
  try {
    return await readKeySource(JSON.parse(text));
  } catch {
    throw new UsageError('the file of --jwks is no JWK set');
  }
}

function section(title: string, members: readonly InspectedMember[]): string[] {
  if (members.length === 0) return [];
  const width = Math.max(...members.map(({ name }) => name.length));
  const lines = members.flatMap(({ name, words }) =>
    words.map((line, index) => `  ${(index === 0 ? name : '').padEnd(width)}  ${line}`),
  );
  return [title, ...lines, ''];
}

/** What is to be read by people. */
export function inspectionText(inspection: Inspection): string {
  const { chars, maxChars, header, claims, sealed, verdict, problems } = inspection;
  const parts = sealed.map(({ kid, alg, enc, curve }) => ({
    name: kid,
    words: [`${alg} on ${curve}, ${enc}`],
  }));
  const verdicts = [
    { name: 'form', words: [verdict.form] },
    { name: 'signature', words: [verdict.signature] },
    { name: 'time', words: [verdict.time] },
    { name: 'server', words: [verdict.server] },
  ];
  const count = new Intl.NumberFormat('en');
  return [
    `${count.format(chars)} of at most ${count.format(maxChars)} characters`,
    '',
    ...section('header', header),
    ...section('claims', claims),
    ...section('sealed for the server key', parts),
    ...section('verdict', verdicts),
    problems.length === 0 ? 'no problems' : 'problems',
    ...problems.map(({ code, detail }) => `  ${code}: ${detail}`),
  ].join('\n');
}

/** What is around the command: replaced by tests. */
export interface InspectSurroundings {
  readonly stdin: AsyncIterable<Uint8Array> & { readonly isTTY?: boolean };
  readonly print: (text: string) => void;
  readonly clock: Clock;
}

/** Runs the command; answers 0 when nothing is wrong with the ticket, 1 otherwise. Throws UsageError. */
export async function inspectCommand(
  args: readonly string[],
  { stdin, print, clock }: InspectSurroundings,
): Promise<number> {
  const asked = readArguments(args);
  if (asked.file === null && stdin.isTTY === true)
    throw new UsageError('no FILE, and nothing on standard input');
  const [text, keys] = await Promise.all([
    asked.file === null ? readBounded(stdin, 'the ticket') : readFile(asked.file, 'the ticket'),
    keysFor(asked, clock),
  ]);
  if (text.trim() === '') throw new UsageError('the ticket is empty');
  const inspection = await inspectTicket(text.trim(), {
    nowSeconds: Math.floor(clock.nowMs() / 1000),
    ...(keys === undefined ? {} : { keys }),
    ...(asked.server === undefined ? {} : { serverId: asked.server }),
  });
  const valid = inspection.problems.length === 0;
  print(asked.json ? JSON.stringify({ valid, ...inspection }, null, 2) : inspectionText(inspection));
  return valid ? 0 : PROBLEMS_FOUND;
}

export const ticketInspect: Command = {
  usage: '[FILE|-] [--issuer URL | --jwks FILE] [--server ID] [--json]',
  summary: 'explain a ticket: what it says, whether it is valid, what is wrong with it',
  details: [
    'FILE           the ticket; standard input without it, or with -',
    '--issuer URL   check the signature with the keys of this order server, which must have issued it',
    '--jwks FILE    check the signature with the keys of this JWK set, whoever issued it',
    '--server ID    check that it is for this streaming server',
    '--json         the same for programs',
    '',
    'Without --issuer or --jwks the signature is not checked, and the verdict says so.',
    'Neither the ticket nor its signature nor anything sealed is printed.',
    'Exit codes: 0 nothing is wrong, 1 something is, 2 wrong use.',
  ].join('\n'),
  run: (args) =>
    inspectCommand(args, {
      stdin: process.stdin,
      print: (text) => {
        console.log(text);
      },
      clock: systemClock,
    }),
};
