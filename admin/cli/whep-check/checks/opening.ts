/** The reply to an offer: its HTTP. */
import { allOf, failed, notApplicable, passed, demand, type Check, type Verdict } from '../check.ts';
import { isSuccess, mediaType, statusText } from '../http.ts';
import { parseLinks, relationsOf, type Link } from '../links.ts';
import { SDP, type Opening } from '../probe.ts';
import { directionOf, isAccepted } from '../sdp.ts';
import { judgeRefusal } from './endpoint.ts';
import { judgeExposure } from './cors.ts';

const EXTENSION = 'urn:ietf:params:whep:ext';
const ICE_SERVER = /^(stuns?:[^\s?]+|turns?:[^\s?]+(\?transport=(udp|tcp))?)$/i;
/** RFC 9110 section 5.6.7, the form that is to be generated. */
const HTTP_DATE = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/** A good offer may be refused so: for want of rights, of a stream, of a codec, of room. */
const ALLOWED_REFUSALS: readonly number[] = [401, 402, 403, 404, 406, 409, 410, 422, 429, 503];

type Judge = (opening: Opening) => Verdict;

/** Only for a 201, or what stands in its place. */
const ofAnswer =
  (judge: Judge): Judge =>
  (opening) =>
    opening.kind === 'answer' ? judge(opening) : notApplicable(statusText(opening.reply));

/** Only for a counter-offer. */
const ofCounterOffer =
  (judge: Judge): Judge =>
  (opening) =>
    opening.kind === 'counter-offer' ? judge(opening) : notApplicable('no counter-offer was made');

/** The links of one kind, each judged; not applicable without any. */
function judgeLinks(
  { reply }: Opening,
  isMeant: (relation: string) => boolean,
  what: string,
  judge: (link: Link) => Verdict,
): Verdict {
  const field = reply.headers.get('link');
  if (field === null) return notApplicable(`no ${what} was named`);
  const links = parseLinks(field);
  if (links === null) return failed('the Link header field is malformed (RFC 8288 section 3)');
  const meant = links.filter((link) => relationsOf(link).some(isMeant));
  if (meant.length === 0) return notApplicable(`no ${what} was named`);
  return allOf(...meant.map((link) => () => judge(link)));
}

function judgeIceServer({ target, parameters }: Link): Verdict {
  if (!ICE_SERVER.test(target)) return failed('the target is no stun(s): or turn(s): URI');
  const needsAccount = /^turns?:/i.test(target);
  const hasAccount = parameters.has('username') && parameters.has('credential');
  return demand(!needsAccount || hasAccount, 'a TURN server without username or credential');
}

export const OPENING_CHECKS: readonly Check<Opening>[] = [
  {
    id: 'redirection',
    section: '4.6',
    level: 'MUST',
    title: 'POST is not redirected with 301 or 302',
    judge({ reply, redirections }) {
      if (reply.status >= 300 && reply.status < 400) return failed(statusText(reply));
      return redirections.length > 0 ? passed : notApplicable('nothing was redirected');
    },
  },
  {
    id: 'created',
    section: '4.2.1',
    level: 'MUST',
    title: 'An offer that is accepted is answered 201',
    judge({ kind, reply }) {
      if (reply.status === 201) return passed;
      if (kind === 'counter-offer') return notApplicable('the endpoint made a counter-offer');
      const allowed = ALLOWED_REFUSALS.includes(reply.status);
      const text = `the offer was not accepted: ${statusText(reply)}`;
      return allowed ? notApplicable(text) : failed(text);
    },
  },
  {
    id: 'off-air',
    section: '4.2.8',
    level: 'MUST',
    title: '409 says in Retry-After how many seconds to wait',
    judge({ reply }) {
      if (reply.status !== 409) return notApplicable('the stream is on air');
      return demand(/^\d{1,9}$/.test(reply.headers.get('retry-after') ?? ''), 'no Retry-After in seconds');
    },
  },
  {
    id: 'location',
    section: '4.2.1',
    level: 'MUST',
    title: "201 has the session's URL in Location",
    judge: ofAnswer(({ session }) => demand(session !== null, 'no Location that leads to the session')),
  },
  {
    id: 'answer',
    section: '4.2.1',
    level: 'MUST',
    title: '201 has an SDP answer as its body, of type application/sdp',
    judge: ofAnswer(({ reply, description }) =>
      allOf(
        () => demand(mediaType(reply) === SDP, 'another Content-Type'),
        () => demand(description !== null, 'the body is no session description'),
      ),
    ),
  },
  {
    id: 'exposed',
    section: '4.3',
    level: 'MUST',
    title: 'A page of another origin may read the reply with Location, ETag and Link',
    judge: ({ reply, kind, origin }) =>
      kind === 'refusal'
        ? notApplicable(statusText(reply))
        : judgeExposure(reply, origin, ['location', 'etag', 'link']),
  },
  {
    id: 'ice-servers',
    section: '4.7, RFC 9725 section 4.6',
    level: 'stated',
    title: 'Link with rel="ice-server" names STUN, or TURN with username and credential',
    judge: (opening) =>
      judgeLinks(opening, (relation) => relation === 'ice-server', 'STUN or TURN server', judgeIceServer),
  },
  {
    id: 'extensions',
    section: '4.9',
    level: 'MUST',
    title: `Link of an extension has a URL and a rel that starts with ${EXTENSION}`,
    judge: (opening) =>
      judgeLinks(
        opening,
        (relation) => relation.startsWith('urn:'),
        'extension',
        (link) =>
          allOf(
            () =>
              demand(
                relationsOf(link).every((type) => type.startsWith(`${EXTENSION}:`)),
                'the rel is none of WHEP',
              ),
            () =>
              demand(
                link.target !== '' && URL.canParse(link.target, opening.session ?? undefined),
                'the target is no URL',
              ),
          ),
      ),
  },
  {
    id: 'counter-offer',
    section: '4.2.2',
    level: 'MUST',
    title: "A counter-offer is SDP, and has the session's URL in Location",
    judge: ofCounterOffer(({ description, session }) =>
      allOf(
        () => demand(description !== null, 'the body is no session description'),
        () => demand(session !== null, 'no Location that leads to the session'),
      ),
    ),
  },
  {
    id: 'valid-until',
    section: '4.2.2',
    level: 'MUST',
    title: 'valid-until of a counter-offer is an HTTP-date',
    judge: ofCounterOffer(({ reply }) => {
      const text = /;\s*valid-until="?([^";]*)"?/i.exec(reply.headers.get('content-type') ?? '')?.[1];
      return text === undefined
        ? notApplicable('there is no valid-until')
        : demand(HTTP_DATE.test(text) && !Number.isNaN(Date.parse(text)), 'it is none');
    }),
  },
  {
    id: 'counter-offer-direction',
    section: '4.2.5',
    level: 'MUST',
    title: 'A counter-offer is neither inactive nor recvonly',
    judge: ofCounterOffer(({ description }) => {
      if (description === null) return notApplicable('there is no counter-offer to read');
      const media = description.sections.filter(
        (section) => section.kind !== 'application' && isAccepted(section),
      );
      const wrong = media.some((section) =>
        ['inactive', 'recvonly'].includes(directionOf(description, section)),
      );
      return demand(!wrong, 'a section is');
    }),
  },
  {
    id: 'counter-answer-malformed',
    section: '4.2.2',
    level: 'MUST',
    title: 'A malformed answer to a counter-offer is refused with 4xx',
    judge: ofCounterOffer(({ countered }) =>
      countered === null ? notApplicable('it could not be answered') : judgeRefusal(countered.malformed),
    ),
  },
  {
    id: 'counter-answer',
    section: '4.2.2',
    level: 'MUST',
    title: 'The answer to a counter-offer is taken with 204',
    judge: ofCounterOffer(({ countered }) =>
      countered === null
        ? notApplicable('it could not be answered')
        : demand(countered.answer.status === 204, statusText(countered.answer)),
    ),
  },
];

/** Whether there is a session to go on with. */
export const isOpen = ({ kind, session, reply }: Opening): boolean =>
  session !== null && (kind === 'counter-offer' || isSuccess(reply));
