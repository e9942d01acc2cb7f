/** The session's URL: reading, trickled candidates, ICE restarts. */
import { allOf, failed, notApplicable, passed, demand, type Check, type Verdict } from '../check.ts';
import { isSuccess, locationOf, mediaType, statusText, type Reply } from '../http.ts';
import { FRAGMENT, type SessionEvidence } from '../probe.ts';
import { acceptedSections, attributes, type Description } from '../sdp.ts';
import { judgePreflight } from './cors.ts';
import { judgeRead, judgeRefusal } from './endpoint.ts';

/** 405 and 501: not this method. 422: not this kind of fragment (section 4.4.1). */
const UNSUPPORTED: readonly number[] = [405, 422, 501];

const isSupported = ({ status }: Reply): boolean => !UNSUPPORTED.includes(status);
/** A restart may also fail for a while; then the ICE session of before goes on (section 4.4.3). */
const wasRestarted = ({ restart }: SessionEvidence): boolean => isSuccess(restart);
const isEither = ({ trickle, restart }: SessionEvidence): boolean =>
  isSupported(trickle) || isSupported(restart);

type Judge = (evidence: SessionEvidence) => Verdict;

/** Only where candidates can be trickled. */
const ofTrickle =
  (judge: Judge): Judge =>
  (evidence) =>
    isSupported(evidence.trickle) ? judge(evidence) : notApplicable('Trickle ICE is not supported');

/** Only where ICE was restarted. */
const ofRestart =
  (judge: Judge): Judge =>
  (evidence) =>
    wasRestarted(evidence) ? judge(evidence) : notApplicable('ICE was not restarted');

/** A strong entity-tag (RFC 9110 section 8.8.3). */
function judgeTag(tag: string | null): Verdict {
  if (tag === null) return failed('no ETag');
  return demand(/^"[\x21\x23-\x7e\x80-\xff]*"$/.test(tag), 'the ETag is not a strong entity-tag');
}

/** ICE of a fragment: its sections may be without `m=` lines of their own. */
const fragmentLines = ({ body }: Reply): { lines: readonly string[] } => ({ lines: body.split(/\r?\n/) });

/** ICE of the description's first accepted section, or of its session level. */
const iceOf = (description: Description, name: string): string | undefined => {
  const [tagged = description] = acceptedSections(description);
  return attributes(tagged, name)[0] ?? attributes(description, name)[0];
};

function judgeRestart({ restart, opening }: SessionEvidence): Verdict {
  if (restart.status !== 200) return failed(statusText(restart));
  const ice = fragmentLines(restart);
  const [ufrag, pwd] = ['ice-ufrag', 'ice-pwd'].map((name) => attributes(ice, name)[0]);
  const before = opening.description === null ? undefined : iceOf(opening.description, 'ice-ufrag');
  return allOf(
    () => demand(mediaType(restart) === FRAGMENT, `the body is not ${FRAGMENT}`),
    () => demand(ufrag !== undefined && pwd !== undefined, 'no ice-ufrag or ice-pwd'),
    () => demand(ufrag !== before, 'the same ice-ufrag as before'),
  );
}

function judgeIceOptions({ restart, opening: { description } }: SessionEvidence): Verdict {
  if (description === null) return notApplicable('there is no description to compare with');
  const fragment = fragmentLines(restart);
  const differs = ['ice-lite', 'ice-options', 'ice-pacing'].filter(
    (name) => iceOf(description, name) !== attributes(fragment, name)[0],
  );
  return demand(differs.length === 0, `${differs.join(', ')}: not as in the answer`);
}

export const SESSION_CHECKS: readonly Check<SessionEvidence>[] = [
  {
    id: 'session-get',
    section: '4.1',
    level: 'MUST',
    title: 'GET on the session is answered 2xx without content',
    judge: ({ get }) => judgeRead(get),
  },
  {
    id: 'session-preflight',
    section: '4.3',
    level: 'SHOULD',
    title: 'OPTIONS on the session lets a page of another origin DELETE, and PATCH where that is supported',
    judge: (evidence) =>
      allOf(
        () => judgePreflight(evidence.preflights.delete, evidence.origin, 'DELETE', ['authorization']),
        () =>
          isEither(evidence)
            ? judgePreflight(evidence.preflights.patch, evidence.origin, 'PATCH', [
                ...['authorization', 'content-type', 'if-match'],
              ])
            : passed,
      ),
  },
  {
    id: 'patch-type',
    section: '4.4.1',
    level: 'MUST',
    title: `A PATCH that is not ${FRAGMENT} is refused with 4xx`,
    judge: ({ wrongType }) => judgeRefusal(wrongType),
  },
  {
    id: 'patch-malformed',
    section: '4.4.1',
    level: 'MUST',
    title: 'A malformed fragment is refused with 4xx',
    judge: ({ malformed }) => judgeRefusal(malformed),
  },
  {
    id: 'ice-recommended',
    section: '4.4',
    level: 'SHOULD',
    title: 'Trickle ICE and ICE restarts are supported',
    judge: ({ trickle, restart }) => demand(isSupported(trickle) && isSupported(restart), 'not both of them'),
  },
  {
    id: 'patch-unsupported',
    section: '4.4.1',
    level: 'MUST',
    title: 'Where only one of Trickle ICE and ICE restarts is supported, the other is refused with 422',
    judge({ trickle, restart }) {
      if (isSupported(trickle) === isSupported(restart))
        return notApplicable('both are supported, or neither');
      const refused = isSupported(trickle) ? restart : trickle;
      return demand(refused.status === 422, statusText(refused));
    },
  },
  {
    id: 'etag',
    section: '4.4.1',
    level: 'MUST',
    title: '201 has a strong ETag that stands for the ICE session',
    judge(evidence) {
      if (evidence.opening.kind !== 'answer') return notApplicable('there is no 201');
      return isEither(evidence)
        ? judgeTag(evidence.tag)
        : notApplicable('neither Trickle ICE nor ICE restarts are supported');
    },
  },
  {
    id: 'if-match-missing',
    section: '4.4.1',
    level: 'stated',
    title: 'A PATCH without If-Match is refused with 428',
    judge: ofTrickle(({ untagged }) =>
      untagged === null
        ? notApplicable('there is no ETag')
        : demand(untagged.status === 428, statusText(untagged)),
    ),
  },
  {
    id: 'if-match-wrong',
    section: '4.4.1',
    level: 'stated',
    title: 'A PATCH with another entity-tag is refused with 412',
    judge: ofTrickle(({ stale }) =>
      stale === null ? notApplicable('there is no ETag') : demand(stale.status === 412, statusText(stale)),
    ),
  },
  {
    id: 'trickle',
    section: '4.4.2',
    level: 'MUST',
    title: 'Trickled candidates are taken with 204 and no body',
    judge: ofTrickle(({ trickle }) =>
      allOf(
        () => demand(trickle.status === 204, statusText(trickle)),
        () => demand(trickle.body === '', 'there is a body'),
      ),
    ),
  },
  {
    id: 'trickle-etag',
    section: '4.4.2',
    level: 'MUST',
    title: 'The reply to trickled candidates has no ETag',
    judge: ofTrickle(({ trickle }) => demand(!trickle.headers.has('etag'), 'there is one')),
  },
  {
    id: 'trickle-odd',
    section: '4.4.2',
    level: 'MUST',
    title: 'Candidates of an unknown transport, or with a name that does not resolve, are silently discarded',
    judge: ofTrickle(({ odd }) => demand(odd.status === 204, statusText(odd))),
  },
  {
    id: 'restart',
    section: '4.4.3',
    level: 'MUST',
    title: `New ICE credentials restart ICE: 200 with new credentials of the server as ${FRAGMENT}`,
    judge(evidence) {
      const { restart } = evidence;
      if (!isSupported(restart)) return notApplicable('ICE restarts are not supported');
      return restart.status === 503 ? notApplicable(statusText(restart)) : judgeRestart(evidence);
    },
  },
  {
    id: 'restart-etag',
    section: '4.4.3',
    level: 'MUST',
    title: 'The reply to a restart has a new strong ETag',
    judge: ofRestart(({ restart, tag }) => {
      const renewed = restart.headers.get('etag');
      return allOf(
        () => judgeTag(renewed),
        () => demand(renewed !== tag, 'it is the one of before'),
      );
    }),
  },
  {
    id: 'restart-options',
    section: '4.4.3',
    level: 'MUST',
    title: 'The reply to a restart has the ice-lite, ice-options and ice-pacing of the answer',
    judge: ofRestart(judgeIceOptions),
  },
  {
    id: 'restart-outdated',
    section: '4.4.1',
    level: 'stated',
    title: 'After a restart the entity-tag of before is refused with 412',
    judge: ofRestart(({ outdated }) =>
      outdated === null
        ? notApplicable('there was no ETag')
        : demand(outdated.status === 412, statusText(outdated)),
    ),
  },
  {
    id: 'restart-refused',
    section: '4.4.3',
    level: 'MUST',
    title: 'A restart that is refused leaves the session and its ICE as they were',
    judge({ kept, trickle }) {
      if (kept === null) return notApplicable('ICE was restarted');
      return isSuccess(trickle)
        ? demand(isSuccess(kept), `candidates after it: ${statusText(kept)}`)
        : notApplicable('without Trickle ICE it cannot be seen');
    },
  },
  {
    id: 'events',
    section: 'draft-ietf-wish-whep-02 section 4.9.1',
    level: 'stated',
    title:
      'The server-sent events extension, where it is offered, makes an event stream with 201 and Location',
    judge: ({ events, opening }) =>
      events === null || opening.session === null
        ? notApplicable('the extension is not offered')
        : allOf(
            () => demand(events.status === 201, statusText(events)),
            () => demand(locationOf(events, opening.session as URL) !== null, 'no Location'),
          ),
  },
];
