/** `usher receipt verify`: checks receipts offline, for whoever has them. */
import { readEvidence, type Evidence } from '../../plugin/receipts/evidence.ts';
import {
  verifyReceipts,
  type ReceiptProblem,
  type ReceiptReport,
  type VerifiedChain,
} from '../../plugin/receipts/verify.ts';
import { serverIdSchema, thumbprint } from '../../plugin/ticket/index.ts';
import { readKeySet, type KeySet } from '../../plugin/ticket/key-sets.ts';
import { readOptions } from './arguments.ts';
import { UsageError, type Command } from './command.ts';
import { fileArgument, readFile, readInput, type Input } from './input.ts';

/** About 40,000 receipts: two days of one viewing. */
const MAX_INPUT_BYTES = 16 * 1024 * 1024;
const PROBLEMS_FOUND = 1;

const OPTIONS = {
  key: { type: 'string' },
  fingerprint: { type: 'string' },
  server: { type: 'string' },
  json: { type: 'boolean' },
} as const;

interface Asked {
  /** `null`: standard input. */
  readonly file: string | null;
  readonly keyFile: string | undefined;
  readonly fingerprint: string | undefined;
  readonly server: string | undefined;
  readonly json: boolean;
}

function readArguments(args: readonly string[]): Asked {
  const { values, positionals } = readOptions(args, OPTIONS);
  const { key: keyFile, fingerprint, server, json = false } = values;
  const file = fileArgument(positionals, 'file');
  if (keyFile !== undefined && fingerprint !== undefined)
    throw new UsageError('either --key or --fingerprint');
  if (fingerprint !== undefined && !/^[A-Za-z0-9_-]{43}$/.test(fingerprint))
    throw new UsageError('--fingerprint is a SHA-256 in base64url, 43 characters');
  if (server !== undefined && !serverIdSchema.safeParse(server).success)
    throw new UsageError('--server is no server id');
  return { file, keyFile, fingerprint, server, json };
}

/** A JWK set, one JWK, or what is registered of a streaming server. */
function toKeySet(content: unknown): unknown {
  if (typeof content !== 'object' || content === null || 'keys' in content) return content;
  return { keys: ['signingKey' in content ? content.signingKey : content] };
}

function fingerprintOf(key: unknown): string | null {
  try {
    return thumbprint(key as Parameters<typeof thumbprint>[0]);
  } catch {
    return null;
  }
}

async function keysFor({ keyFile, fingerprint }: Asked, { keys }: Evidence): Promise<KeySet | undefined> {
  if (fingerprint !== undefined)
    return readKeySet({ keys: keys.filter((key) => fingerprintOf(key) === fingerprint).slice(0, 1) });
  if (keyFile === undefined) return undefined;
  const text = await readFile(keyFile, 'the key');
  try {
    return await readKeySet(toKeySet(JSON.parse(text)));
  } catch {
    throw new UsageError('the file of --key is no JWK');
  }
}

const WORDS: Readonly<Record<ReceiptProblem['code'], string>> = {
  fork: 'there are two receipts with this number',
  gap: 'receipts before this one are missing',
  chain_broken: 'it does not follow the receipt before it',
  mixed: 'it is of another ticket, path or start than the receipt before it',
  falling: 'it says less than the receipt before it',
  after_final: 'it follows the final receipt',
  implausible_media: 'it says more media than time has passed',
  head_mismatch: 'another receipt than this one was signed',
  signature_invalid: 'a signature is not that of the key that it names',
  key_unknown: 'a signature is by a key that is not known',
  wrong_server: 'a signature is by another streaming server',
  unsigned: 'no signature reaches this receipt, the last one',
};

const count = new Intl.NumberFormat('en');
const moment = (seconds: number): string => new Date(seconds * 1000).toISOString().replace('.000', '');

function chainText(chain: VerifiedChain, signatures: ReceiptReport['signatures']): string[] {
  const { session, ticket, uri, firstSeq, lastSeq, startedAt, at, mediaMs, bytes } = chain;
  const signature =
    signatures === 'not checked'
      ? 'not checked'
      : chain.signedSeq === null
        ? 'none'
        : `valid, up to receipt ${count.format(chain.signedSeq)}`;
  const rows: [string, string][] = [
    ['ticket', ticket],
    ['path', uri],
    ['receipts', `${count.format(firstSeq)} to ${count.format(lastSeq)}`],
    ['time', `${moment(startedAt)} to ${moment(at)}`],
    ['delivered', `${count.format(mediaMs / 1000)} s, ${count.format(bytes)} bytes`],
    ['end', chain.endReason ?? 'not yet'],
    ['signature', signature],
  ];
  return [`session ${session}`, ...rows.map(([name, words]) => `  ${name.padEnd(9)}  ${words}`), ''];
}

function problemText({ code, session, seq }: ReceiptProblem): string {
  const where = session === null ? '' : ` (session ${session}, receipt ${String(seq)})`;
  return `  ${code}: ${WORDS[code]}${where}`;
}

/** What is to be read by people. */
function reportText({ chains, signatures, problems }: ReceiptReport): string {
  return [
    ...chains.flatMap((chain) => chainText(chain, signatures)),
    problems.length === 0 ? 'no problems' : 'problems',
    ...problems.map(problemText),
  ].join('\n');
}

/** What is around the command: replaced by tests. */
export interface VerifySurroundings {
  readonly stdin: Input;
  readonly print: (text: string) => void;
}

/** Runs the command; answers 0 when nothing is wrong with the receipts, 1 otherwise. Throws UsageError. */
export async function verifyCommand(
  args: readonly string[],
  { stdin, print }: VerifySurroundings,
): Promise<number> {
  const asked = readArguments(args);
  const text = await readInput(asked.file, stdin, 'the input', MAX_INPUT_BYTES);
  let evidence: Evidence;
  try {
    evidence = readEvidence(text);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : 'the input cannot be read');
  }
  if (evidence.receipts.length === 0) throw new UsageError('there is no receipt in the input');
  const keys = await keysFor(asked, evidence);
  const report = verifyReceipts(evidence, {
    ...(keys === undefined ? {} : { keys }),
    ...(asked.server === undefined ? {} : { serverId: asked.server }),
  });
  const { isValid: valid, ...rest } = report;
  print(asked.json ? JSON.stringify({ valid, ...rest }, null, 2) : reportText(report));
  return valid ? 0 : PROBLEMS_FOUND;
}

export const receiptVerify: Command = {
  usage: '[FILE|-] [--key FILE | --fingerprint SHA256] [--server ID] [--json]',
  summary: 'check receipts offline: that they are one chain, and that the streaming server has signed them',
  details: [
    'FILE                  answers of GET {session}/receipts, receipts, or signed batches: one, or one a line;',
    '                      standard input without it, or with -',
    "--key FILE            check the signatures with the streaming server's public key: a JWK, or a JWK set",
    '--fingerprint SHA256  check them with the key that came along, which must have this thumbprint (RFC 7638)',
    '--server ID           it must be this streaming server that has signed',
    '--json                the same for programs',
    '',
    'Without --key or --fingerprint signatures are not checked, and the report says so.',
    'A chain may begin in the middle: viewers are shown the latest receipts.',
    'Exit codes: 0 nothing is wrong, 1 something is, 2 wrong use, or no receipts.',
  ].join('\n'),
  run: (args) =>
    verifyCommand(args, {
      stdin: process.stdin,
      print: (text) => {
        console.log(text);
      },
    }),
};
