/** The end of a session, and what only a second one shows. */
import { notApplicable, demand, type Check } from '../check.ts';
import { isSuccess, statusText } from '../http.ts';
import type { EndEvidence } from '../probe.ts';
import { judgeSendonly } from './answer.ts';
import { judgeRefusal } from './endpoint.ts';

/** Random URLs of the same server differ in more characters than counters or clocks do. */
const MIN_DIFFERENCES = 8;

function differences(one: string, other: string): number {
  const longer = Math.max(one.length, other.length);
  return Array.from({ length: longer }, (_, at) => one[at] !== other[at]).filter(Boolean).length;
}

export const END_CHECKS: readonly Check<EndEvidence>[] = [
  {
    id: 'delete-tag',
    section: '4.4.1',
    level: 'MUST',
    title: 'DELETE ignores If-Match',
    judge: ({ first: { staleDelete } }) =>
      staleDelete.status === 412 || isSuccess(staleDelete)
        ? demand(isSuccess(staleDelete), statusText(staleDelete))
        : notApplicable(`DELETE: ${statusText(staleDelete)}`),
  },
  {
    id: 'delete-removes',
    section: '4.3',
    level: 'stated',
    title: 'After DELETE the session is gone: PATCH is refused with 4xx',
    judge: ({ first: { afterwards } }) => judgeRefusal(afterwards),
  },
  {
    id: 'sendrecv',
    section: '4.2.5',
    level: 'MUST',
    title: 'An offer with sendrecv is answered sendonly',
    judge: ({ second: { opening } }) =>
      opening.kind === 'answer' && opening.description !== null
        ? judgeSendonly(opening.description)
        : notApplicable(`the second session: ${statusText(opening.reply)}`),
  },
  {
    id: 'delete',
    section: '3.2, 4.3',
    level: 'stated',
    title: 'DELETE ends a session with success',
    judge: ({ second: { deleted, opening } }) =>
      deleted === null
        ? notApplicable(`the second session: ${statusText(opening.reply)}`)
        : demand(isSuccess(deleted), statusText(deleted)),
  },
  {
    id: 'random-urls',
    section: '5',
    level: 'SHOULD',
    title: "Sessions' URLs cannot be guessed",
    judge({ first, second }) {
      const [one, other] = [first.opening.session, second.opening.session];
      if (one === null || other === null) return notApplicable('there was one session only');
      return demand(differences(one.href, other.href) >= MIN_DIFFERENCES, 'two of them hardly differ');
    },
  },
];
