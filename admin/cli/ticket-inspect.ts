/** `usher ticket inspect`: explains a ticket, and shows no part of it that somebody could use. */
import { systemClock } from '../../plugin/clock.ts';
import type { Clock, KeySource } from '../../plugin/ports.ts';
import { inspectTicket, type InspectedMember, type Inspection } from '../../plugin/ticket/inspect.ts';
import { readKeySource } from '../../plugin/ticket/key-sources.ts';
import { createRemoteKeySource, serverIdSchema } from '../../plugin/ticket/index.ts';
import { readOptions } from './arguments.ts';
import { UsageError, type Command } from './command.ts';
import { fileArgument, readFile, readInput, type Input } from './input.ts';

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
  const { values, positionals } = readOptions(args, OPTIONS);
  const { issuer, jwks, server, json = false } = values;
  const file = fileArgument(positionals, 'ticket');
  if (issuer !== undefined && jwks !== undefined) throw new UsageError('either --issuer or --jwks');
  if (issuer !== undefined && (!URL.canParse(issuer) || !/^https?:\/\//.test(issuer)))
    throw new UsageError('--issuer is no http(s) URL');
  if (server !== undefined && !serverIdSchema.safeParse(server).success)
    throw new UsageError('--server is no server id');
  return { file, issuer, jwks, server, json };
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
  readonly stdin: Input;
  readonly print: (text: string) => void;
  readonly clock: Clock;
}

/** Runs the command; answers 0 when nothing is wrong with the ticket, 1 otherwise. Throws UsageError. */
export async function inspectCommand(
  args: readonly string[],
  { stdin, print, clock }: InspectSurroundings,
): Promise<number> {
  const asked = readArguments(args);
  const [text, keys] = await Promise.all([readInput(asked.file, stdin, 'the ticket'), keysFor(asked, clock)]);
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
