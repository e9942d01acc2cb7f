/** What a check of the suite is, and what it can say. */

/** The text that the checks quote by section; `docs/whep.md` says how later drafts number the same sections. */
export const DRAFT = 'draft-ietf-wish-whep-03';

/**
 * How binding the text is: MUST (also SHALL) and SHOULD (also RECOMMENDED) of BCP 14; `stated` is what the text says
 * without such a word, and is held to like a MUST.
 */
export type Level = 'MUST' | 'SHOULD' | 'stated';

export type Verdict =
  { readonly outcome: 'passed' } | { readonly outcome: 'failed' | 'not applicable'; readonly why: string };

export interface Check<E> {
  /** Stable name. */
  readonly id: string;
  /** Section of the draft, or the RFC and section that it refers to. */
  readonly section: string;
  readonly level: Level;
  /** The requirement, as one sentence. */
  readonly title: string;
  judge(evidence: E): Verdict;
}

export const passed: Verdict = { outcome: 'passed' };

export const failed = (why: string): Verdict => ({ outcome: 'failed', why });

export const notApplicable = (why: string): Verdict => ({ outcome: 'not applicable', why });

/** Passed if `holds`, else failed for the reason given. */
export const demand = (holds: boolean, why: string): Verdict => (holds ? passed : failed(why));

/** The first verdict that is not `passed`; the later ones are not looked at. */
export function allOf(...verdicts: readonly (() => Verdict)[]): Verdict {
  for (const judge of verdicts) {
    const verdict = judge();
    if (verdict.outcome !== 'passed') return verdict;
  }
  return passed;
}
