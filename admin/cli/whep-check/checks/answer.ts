/** The SDP of the reply to an offer: answers, and what holds for counter-offers, too. */
import { allOf, notApplicable, demand, type Check, type Verdict } from '../check.ts';
import type { Opening } from '../probe.ts';
import {
  acceptedSections,
  attributes,
  directionOf,
  has,
  inherited,
  isAccepted,
  type Description,
  type Section,
} from '../sdp.ts';

type Judge = (description: Description, opening: Opening) => Verdict;

/** For whatever description the server gave. */
const ofDescription =
  (judge: Judge) =>
  (opening: Opening): Verdict =>
    opening.description === null
      ? notApplicable('there is no description to read')
      : judge(opening.description, opening);

/** For answers only. */
const ofAnswer = (judge: Judge) =>
  ofDescription((description, opening) =>
    opening.kind === 'answer' ? judge(description, opening) : notApplicable('it is a counter-offer'),
  );

/** Requires something of every accepted section, of which there may be none. */
const every = (
  description: Description,
  holds: (section: Section, index: number) => boolean,
  what: string,
): Verdict => {
  const wrong = description.sections.findIndex(
    (section, index) => isAccepted(section) && !holds(section, index),
  );
  return demand(wrong === -1, `m= section ${wrong}: ${what}`);
};

const FINGERPRINT = /^\S+ [0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2})+$/;
const UFRAG = /^[A-Za-z0-9+/]{4,256}$/;
const PWD = /^[A-Za-z0-9+/]{22,256}$/;

/** Names of the streams of a section: `a=msid:<stream> <track>` (RFC 8830 section 2). */
const streamsOf = (section: Section): readonly string[] =>
  attributes(section, 'msid').map((value) => value.split(' ')[0] ?? '');

/** Section 4.2.5. */
export function judgeSendonly(description: Description): Verdict {
  return every(
    description,
    (section) => directionOf(description, section) === 'sendonly',
    'it is not sendonly',
  );
}

export const ANSWER_CHECKS: readonly Check<Opening>[] = [
  {
    id: 'answer-sections',
    section: '4.2.1, RFC 9429 section 5.3.1',
    level: 'MUST',
    title: 'The answer has the m= sections of the offer: as many, of the same kinds and mids',
    judge: ofAnswer(({ sections }, { offered: { description: offer } }) => {
      const name = (section: Section | undefined): string =>
        section === undefined ? '' : `${section.kind} ${attributes(section, 'mid').join()}`;
      return allOf(
        () => demand(sections.length === offer.sections.length, 'another number of m= sections'),
        () =>
          demand(
            sections.every((section, index) => name(section) === name(offer.sections[index])),
            'another kind or mid',
          ),
      );
    }),
  },
  {
    id: 'answer-formats',
    section: '4.2.1, RFC 3264 section 6.1',
    level: 'MUST',
    title: 'Each accepted section has a payload type that was offered',
    judge: ofAnswer((description, { offered }) =>
      every(
        description,
        ({ formats }, index) =>
          formats.some((type) => offered.description.sections[index]?.formats.includes(type) === true),
        'none of its payload types was offered',
      ),
    ),
  },
  {
    id: 'answer-dtls',
    section: '4.2.1, RFC 8842 section 5.3',
    level: 'MUST',
    title: 'The answer has a fingerprint, and chose a DTLS role',
    judge: ofAnswer((description) =>
      allOf(
        () =>
          every(
            description,
            (section) => FINGERPRINT.test(inherited(description, section, 'fingerprint') ?? ''),
            'no fingerprint',
          ),
        () =>
          every(
            description,
            (section) => ['active', 'passive'].includes(inherited(description, section, 'setup') ?? ''),
            'setup is neither active nor passive',
          ),
      ),
    ),
  },
  {
    id: 'ice-credentials',
    section: '4.2.1, RFC 8839 section 5.4',
    level: 'MUST',
    title: 'ice-ufrag has 4 and ice-pwd 22 characters at least',
    judge: ofDescription((description) => {
      const value = (section: Section, name: string): string => inherited(description, section, name) ?? '';
      return every(
        description,
        (section) => UFRAG.test(value(section, 'ice-ufrag')) && PWD.test(value(section, 'ice-pwd')),
        'ice-ufrag or ice-pwd',
      );
    }),
  },
  {
    id: 'candidates',
    section: '4.4.2',
    level: 'MUST',
    title: "The description has the server's ICE candidates, since none can follow",
    judge: ofDescription((description) =>
      demand(
        [description, ...description.sections].some((part) => has(part, 'candidate')),
        'there is no candidate',
      ),
    ),
  },
  {
    id: 'answer-direction',
    section: '4.2.5',
    level: 'MUST',
    title: 'The answer is sendonly',
    judge: ofAnswer((description) => judgeSendonly(description)),
  },
  {
    id: 'bundle',
    section: '4.5.1',
    level: 'MUST',
    title: 'All media are in one BUNDLE group',
    judge: ofDescription((description) => {
      const groups = attributes(description, 'group').filter((group) => group.startsWith('BUNDLE'));
      const mids = groups[0]?.split(' ').slice(1) ?? [];
      return allOf(
        () => demand(groups.length === 1, `${groups.length} BUNDLE groups`),
        () =>
          every(
            description,
            (section) => mids.includes(attributes(section, 'mid')[0] ?? ''),
            'it is in no BUNDLE group',
          ),
      );
    }),
  },
  {
    id: 'rtcp-mux',
    section: '4.5.1',
    level: 'MUST',
    title: 'RTP and RTCP are multiplexed',
    judge: ofDescription((description) => {
      const rtp = (section: Section): boolean => section.protocol.includes('RTP');
      return every(description, (section) => !rtp(section) || has(section, 'rtcp-mux'), 'no rtcp-mux');
    }),
  },
  {
    id: 'rtcp-mux-only',
    section: '4.5.1',
    level: 'MUST',
    title: 'rtcp-mux-only is in each bundled m= section',
    judge: ofDescription((description) =>
      every(description, (section) => has(section, 'rtcp-mux-only'), 'no rtcp-mux-only'),
    ),
  },
  {
    id: 'single-stream',
    section: '4.5.2',
    level: 'MUST',
    title: 'Each m= section has an msid, all of the same MediaStream',
    judge: ofDescription((description) => {
      const streams = new Set(acceptedSections(description).flatMap(streamsOf));
      return allOf(
        () => every(description, (section) => streamsOf(section).length > 0, 'no msid'),
        () => demand(streams.size <= 1, 'more than one MediaStream'),
      );
    }),
  },
  {
    id: 'tracks',
    section: '4.5.2',
    level: 'MUST',
    title: 'The MediaStream has a track, and not more than one of audio and one of video',
    judge: ofDescription((description) => {
      const kinds = acceptedSections(description).map(({ kind }) => kind);
      const tooMany = ['audio', 'video'].filter((kind) => kinds.filter((is) => is === kind).length > 1);
      return allOf(
        () => demand(kinds.includes('audio') || kinds.includes('video'), 'everything is rejected'),
        () => demand(tooMany.length === 0, `more than one ${tooMany.join(' and ')} track`),
      );
    }),
  },
];
