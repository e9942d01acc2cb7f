/** Runs the checks in the order in which a player does things, and reports each as soon as it can be judged. */
import { DRAFT, notApplicable, type Check, type Level } from './check.ts';
import type { Credentials } from './credentials.ts';
import { createClient } from './client.ts';
import { statusText } from './http.ts';
import { Prober } from './probe.ts';
import { ANSWER_CHECKS } from './checks/answer.ts';
import { END_CHECKS } from './checks/end.ts';
import { ENDPOINT_CHECKS } from './checks/endpoint.ts';
import { isOpen, OPENING_CHECKS } from './checks/opening.ts';
import { SESSION_CHECKS } from './checks/session.ts';
import { UNSEEN } from './checks/unseen.ts';

export interface Result {
  readonly id: string;
  readonly section: string;
  readonly level: Level;
  readonly title: string;
  /** `not followed`: a SHOULD that is not. */
  readonly outcome: 'passed' | 'failed' | 'not followed' | 'not applicable';
  /** Why not `passed`. */
  readonly why: string | null;
}

export interface Report {
  readonly draft: string;
  /** False when no session could be opened: then little was seen. */
  readonly opened: boolean;
  readonly results: readonly Result[];
}

export interface SuiteOptions {
  readonly url: URL;
  readonly credentials: Credentials;
  /** `Origin` of the page that the suite stands for. */
  readonly origin: string;
  /** Milliseconds for each request. */
  readonly timeoutMs: number;
  /** Milliseconds between requests; default 250. */
  readonly paceMs?: number;
  /** Default: the global one. */
  readonly fetch?: (request: Request) => Promise<Response>;
  /** Called for each check in turn. */
  readonly onResult?: (result: Result) => void;
}

/** The server cannot be reached at all. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError';
}

function resultOf<E>(check: Check<E>, evidence: E | null, why: string): Result {
  const { id, section, level, title } = check;
  const verdict = evidence === null ? notApplicable(why) : check.judge(evidence);
  const { outcome } = verdict;
  return {
    id,
    section,
    level,
    title,
    outcome: outcome === 'failed' && level === 'SHOULD' ? 'not followed' : outcome,
    why: verdict.outcome === 'passed' ? null : verdict.why,
  };
}

/**
 * Checks a WHEP endpoint: about 25 requests, two sessions one after the other, each ended with DELETE.
 * @throws UnreachableError when the first request gets no reply
 */
export async function runSuite(options: SuiteOptions): Promise<Report> {
  const { url, credentials, origin, timeoutMs, paceMs = 250, fetch = globalThis.fetch } = options;
  const client = createClient({ fetch, credentials, origin, timeoutMs, paceMs });
  const prober = new Prober(client, url, origin);
  const results: Result[] = [];
  const judge = <E>(checks: readonly Check<E>[], evidence: E | null, why = ''): void => {
    for (const check of checks) {
      const result = resultOf(check, evidence, why);
      results.push(result);
      options.onResult?.(result);
    }
  };
  try {
    const endpoint = await prober.askEndpoint(credentials.kind !== 'none');
    if (endpoint.preflight.status === 0 && endpoint.get.status === 0)
      throw new UnreachableError(statusText(endpoint.preflight));
    judge(ENDPOINT_CHECKS, endpoint);
    const opening = await prober.openSession('recvonly');
    judge(OPENING_CHECKS, opening);
    const why = `no session was opened: ${statusText(opening.reply)}`;
    judge(ANSWER_CHECKS, opening.kind === 'refusal' ? null : opening, why);
    const session = isOpen(opening) ? opening.session : null;
    judge(SESSION_CHECKS, session === null ? null : await prober.askSession(opening, session), why);
    judge(END_CHECKS, session === null ? null : await prober.askEnd(opening, session), why);
    judge(UNSEEN, {});
    return { draft: DRAFT, opened: session !== null, results };
  } finally {
    await prober.endAll();
  }
}

/** How many of the results have this outcome. */
export const countOf = ({ results }: Report, outcome: Result['outcome']): number =>
  results.filter((result) => result.outcome === outcome).length;
