/** Explaining a ticket to people: what it says, and everything that is wrong with it, not just what is found first. */
import type { z } from 'zod';
import { asDenial, type Code } from '../errors.ts';
import type { KeySource } from '../ports.ts';
import { issuerSchema, MAX_TICKET_CHARS, ticketClaimsSchema, ticketHeaderSchema } from './claims.ts';
import type { TicketClaims } from './claims.ts';
import { parseCompact, parseJsonObject } from './compact.ts';
import { decodeBase64url } from './encoding.ts';
import { verifyJws } from './jws.ts';
import { toKeyObject } from './keys.ts';
import { CLOCK_TOLERANCE_SECONDS } from './open.ts';
import { describeSealed, SEALED_WORDS, type SealedPart } from './sealed.ts';
import { ABSENT_WORDS, CLAIM_WORDS, relativeWords } from './words.ts';

export interface Problem {
  /** As a streaming server would refuse it. */
  readonly code: Code;
  /** Names the part and the rule, never a value. */
  readonly detail: string;
}

export interface InspectedMember {
  readonly name: string;
  /** Shown only when it is as it should be; never of a part that could hold a key. */
  readonly value?: unknown;
  readonly words: readonly string[];
}

export interface Inspection {
  readonly chars: number;
  readonly maxChars: number;
  readonly header: readonly InspectedMember[];
  readonly claims: readonly InspectedMember[];
  /** Who can open the streaming-server part; never what is in it. */
  readonly sealed: readonly SealedPart[];
  readonly verdict: {
    readonly form: 'well-formed' | 'malformed';
    readonly signature: 'valid' | 'not valid' | 'key unknown' | 'not checked';
    readonly time: 'in time' | 'expired' | 'not yet valid' | 'unknown';
    readonly server: 'named' | 'not named' | 'not checked';
  };
  readonly problems: readonly Problem[];
}

export interface InspectOptions {
  /** Unix seconds. */
  readonly nowSeconds: number;
  /** Without them the signature is not checked. */
  readonly keys?: KeySource;
  /** The streaming server that it should be for. */
  readonly serverId?: string;
}

const malformed = (detail: string): Problem => ({ code: 'ticket_malformed', detail });

/** Names that a stranger chose may hold anything, also what a terminal obeys. */
const shownName = (name: string): string => (/^[\w.+-]{1,40}$/.test(name) ? name : '(an odd name)');

/** Why `parseCompact` takes a text for no JWS, in words. */
function whyNotCompact(text: string): string {
  const parts = text.split('.', 7);
  if (parts.length === 5) return 'a compact JWE (five parts): a client part, perhaps, but no ticket';
  if (parts.length !== 3) return 'not the three parts of a compact JWS';
  const names = ['header', 'payload', 'signature'];
  for (const [index, part] of parts.entries()) {
    const bytes = decodeBase64url(part);
    if (bytes === null || bytes.length === 0)
      return `the ${names[index]} is not base64url in its one spelling`;
    if (index < 2 && parseJsonObject(bytes) === null)
      return `the ${names[index]} is not a JSON object that names each member once`;
  }
  return 'not a compact JWS';
}

function problemsOf(error: z.ZodError, part: string): Problem[] {
  return error.issues.flatMap((issue) => {
    if (issue.code === 'unrecognized_keys')
      return issue.keys.map((name) =>
        malformed(`${[...issue.path, shownName(name)].join('.')}: not a known ${part}`),
      );
    return [malformed(`${issue.path.join('.')}: ${issue.message}`)];
  });
}

function inspectHeader(header: object): { members: InspectedMember[]; problems: Problem[] } {
  const parsed = ticketHeaderSchema.safeParse(header);
  if (!parsed.success) return { members: [], problems: problemsOf(parsed.error, 'header member') };
  const { typ, alg, kid } = parsed.data;
  return {
    members: [
      { name: 'typ', value: typ, words: ['a ticket'] },
      { name: 'alg', value: alg, words: [`signed with ${alg}`] },
      { name: 'kid', value: kid, words: [`by the key of this id: ${kid}`] },
    ],
    problems: [],
  };
}

/** The claims that are as they should be, in the schema's order, whatever else is wrong. */
function inspectClaims(payload: object, nowSeconds: number): InspectedMember[] {
  const given = new Map(Object.entries(payload));
  return Object.entries(ticketClaimsSchema.shape).flatMap(([name, schema]): InspectedMember[] => {
    const claim = name as keyof TicketClaims;
    if (!given.has(claim)) {
      const words = ABSENT_WORDS[claim];
      return words === undefined ? [] : [{ name, words: [words] }];
    }
    const parsed = schema.safeParse(given.get(claim));
    if (!parsed.success || parsed.data === undefined) return [{ name, words: ['not as it must be'] }];
    // The table and the schema have the same rows.
    const describe = CLAIM_WORDS[claim] as (value: unknown, nowSeconds: number) => string[];
    const words = describe(parsed.data, nowSeconds);
    return [claim === 'ss' ? { name, words } : { name, value: parsed.data, words }];
  });
}

function inspectTime(
  payload: object,
  nowSeconds: number,
): { time: Inspection['verdict']['time']; problems: Problem[] } {
  const { iat, nbf, exp } = ticketClaimsSchema.shape;
  const read = (name: 'iat' | 'nbf' | 'exp', schema: typeof exp): number | null =>
    schema.safeParse((payload as Record<string, unknown>)[name]).data ?? null;
  const [issued, from, until] = [read('iat', iat), read('nbf', nbf), read('exp', exp)];
  if (issued === null || from === null || until === null) return { time: 'unknown', problems: [] };
  if (nowSeconds >= until) {
    const detail = `exp: ended ${relativeWords(until, nowSeconds)}`;
    return { time: 'expired', problems: [{ code: 'ticket_expired', detail }] };
  }
  const problems = [['nbf', from] as const, ['iat', issued] as const]
    .filter(([, at]) => at > nowSeconds + CLOCK_TOLERANCE_SECONDS)
    .map(([name, at]): Problem => ({
      code: 'ticket_not_yet_valid',
      detail: `${name}: ${relativeWords(at, nowSeconds)}`,
    }));
  return { time: problems.length > 0 ? 'not yet valid' : 'in time', problems };
}

async function inspectSignature(
  text: string,
  keys: KeySource | undefined,
): Promise<{ signature: Inspection['verdict']['signature']; problems: Problem[] }> {
  const parts = parseCompact(text, text.length);
  const header = ticketHeaderSchema.safeParse(parts?.header);
  const issuer = issuerSchema.safeParse((parts?.payload as { iss?: unknown } | undefined)?.iss);
  if (keys === undefined || parts === null || !header.success || !issuer.success)
    return { signature: 'not checked', problems: [] };
  const { alg, kid } = header.data;
  try {
    const key = await keys.findSigningKey(issuer.data, kid, alg);
    verifyJws(parts, alg, toKeyObject(key, 'verify'));
    return { signature: 'valid', problems: [] };
  } catch (error) {
    const { code, detail } = asDenial(error);
    // What is no refusal of the key source's is the signature's own.
    if (code === 'internal')
      return { signature: 'not valid', problems: [{ code: 'ticket_untrusted', detail: 'signature' }] };
    const signature = code === 'ticket_untrusted' ? 'key unknown' : 'not checked';
    return { signature, problems: [{ code, detail: detail ?? 'the keys could not be had' }] };
  }
}

function inspectServer(
  payload: object,
  serverId: string | undefined,
): { server: Inspection['verdict']['server']; problems: Problem[] } {
  if (serverId === undefined) return { server: 'not checked', problems: [] };
  const aud = ticketClaimsSchema.shape.aud.safeParse((payload as { aud?: unknown }).aud);
  if (aud.success && aud.data.includes(serverId)) return { server: 'named', problems: [] };
  return {
    server: 'not named',
    problems: [{ code: 'ticket_wrong_audience', detail: 'aud: does not name the server' }],
  };
}

/**
 * Explains a ticket. Nothing in the answer is a key, a signature, sealed content or the ticket: it may be shown and
 * logged. A ticket without problems is one that `verifyTicket` admits, if keys were given.
 */
export async function inspectTicket(text: string, options: InspectOptions): Promise<Inspection> {
  const { nowSeconds, keys, serverId } = options;
  const problems: Problem[] = [];
  if (text.length > MAX_TICKET_CHARS) problems.push(malformed(`longer than ${MAX_TICKET_CHARS} characters`));
  const parts = parseCompact(text, text.length);
  const size = { chars: text.length, maxChars: MAX_TICKET_CHARS };
  if (parts === null) {
    const verdict = {
      form: 'malformed',
      signature: 'not checked',
      time: 'unknown',
      server: 'not checked',
    } as const;
    return {
      ...size,
      header: [],
      claims: [],
      sealed: [],
      verdict,
      problems: [...problems, malformed(whyNotCompact(text))],
    };
  }
  const header = inspectHeader(parts.header);
  const claims = ticketClaimsSchema.safeParse(parts.payload);
  problems.push(...header.problems, ...(claims.success ? [] : problemsOf(claims.error, 'claim')));
  let sealed: readonly SealedPart[] = [];
  try {
    const ss = ticketClaimsSchema.shape.ss.safeParse((parts.payload as { ss?: unknown }).ss);
    if (ss.success) sealed = describeSealed(ss.data);
  } catch {
    problems.push(malformed(`ss: ${SEALED_WORDS}`));
  }
  const form = problems.length === 0 ? 'well-formed' : 'malformed';
  const signature = await inspectSignature(text, keys);
  const time = inspectTime(parts.payload, nowSeconds);
  const server = inspectServer(parts.payload, serverId);
  return {
    ...size,
    header: header.members,
    claims: inspectClaims(parts.payload, nowSeconds),
    sealed,
    verdict: { form, signature: signature.signature, time: time.time, server: server.server },
    problems: [...problems, ...signature.problems, ...time.problems, ...server.problems],
  };
}
