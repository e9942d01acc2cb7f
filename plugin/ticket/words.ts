/** A ticket's claims in plain words. Only values that have passed their schema come here: they hold no control characters. */
import type { Rights } from '../rights/index.ts';
import type { TicketClaims } from './claims.ts';

const UNITS: readonly (readonly [name: string, seconds: number])[] = [
  ['d', 86_400],
  ['h', 3600],
  ['min', 60],
  ['s', 1],
];

/** A length of time in its two largest units: `1 h 30 min`. */
export function durationWords(seconds: number): string {
  const first = UNITS.findIndex(([, size]) => seconds >= size);
  if (first === -1) return '0 s';
  const parts: string[] = [];
  let rest = seconds;
  for (const [name, size] of UNITS.slice(first, first + 2)) {
    const count = Math.floor(rest / size);
    if (count > 0) parts.push(`${count} ${name}`);
    rest -= count * size;
  }
  return parts.join(' ');
}

/** A time beside the present: `in 3 h`, `2 min ago`, `now`. */
export function relativeWords(atSeconds: number, nowSeconds: number): string {
  if (atSeconds === nowSeconds) return 'now';
  const words = durationWords(Math.abs(atSeconds - nowSeconds));
  return atSeconds > nowSeconds ? `in ${words}` : `${words} ago`;
}

function timeWords(atSeconds: number, nowSeconds: number): string {
  return `${new Date(atSeconds * 1000).toISOString().replace('.000', '')}, ${relativeWords(atSeconds, nowSeconds)}`;
}

const many = (count: number, one: string, several: string): string =>
  `${count} ${count === 1 ? one : several}`;

/** What rights allow, one sentence for each member. */
export function rightsWords(rights: Rights): string[] {
  const { action, accesses, seconds, bytes, concurrent, window, controls, tier } = rights;
  const words = [action === 'play' ? 'may play' : 'may publish'];
  words.push(accesses === null ? 'as often as wanted' : many(accesses, 'time', 'times'));
  words.push(seconds === null ? 'no limit of media time' : `${durationWords(seconds)} of media in all`);
  words.push(bytes === null ? 'no limit of bytes' : many(bytes, 'byte in all', 'bytes in all'));
  words.push(
    concurrent === null
      ? 'no limit of sessions at once'
      : `${many(concurrent, 'session', 'sessions')} at once, more are refused`,
  );
  words.push(
    window === null ? 'until the ticket ends' : `within ${durationWords(window)} from the first picture`,
  );
  words.push(controls.length === 0 ? 'no pause, no seek' : `may ${controls.join(' and ')}`);
  const limits = [
    tier.maxHeight === undefined ? [] : [`${tier.maxHeight} lines`],
    tier.maxBitrate === undefined ? [] : [`${tier.maxBitrate / 1000} kb/s of video`],
    tier.audioBitrate === undefined ? [] : [`${tier.audioBitrate / 1000} kb/s of audio`],
  ].flat();
  words.push(limits.length === 0 ? 'any quality' : `at most ${limits.join(', ')}`);
  return words;
}

const CHARGING: Readonly<Record<TicketClaims['charging'], string>> = {
  free: 'costs nothing',
  prepaid: 'paid when it was ordered',
  'on-delivery': 'paid when it is first used',
  metered: 'paid by what is used',
};

type Words = {
  readonly [Name in keyof TicketClaims]-?: (
    value: NonNullable<TicketClaims[Name]>,
    nowSeconds: number,
  ) => string[];
};

/** What each claim means, value included. */
export const CLAIM_WORDS: Words = {
  iss: (iss) => [`issued by the order server ${iss}`],
  aud: (aud) => [`for ${many(aud.length, 'streaming server', 'streaming servers')}: ${aud.join(', ')}`],
  sub: (sub) => [`pseudonym of the order: ${sub}`],
  jti: (jti) => [`number of the ticket: ${jti}`],
  iat: (iat, now) => [`issued at ${timeWords(iat, now)}`],
  nbf: (nbf, now) => [`valid from ${timeWords(nbf, now)}`],
  exp: (exp, now) => [`ends at ${timeWords(exp, now)}`],
  cnf: ({ jkt }) => [`only for the holder of the key with this thumbprint: ${jkt}`],
  uri: (uri) => [`for the stream ${uri}, and no other`],
  endpoints: (endpoints) => endpoints.map((endpoint) => `served at ${endpoint}`),
  rights: rightsWords,
  charging: (charging) => [CHARGING[charging]],
  suites: (suites) => [
    suites.length === 0 ? 'any encryption of media' : `media encrypted by ${suites.join(' or ')}`,
  ],
  dev: (dev) => [`only on the device ${dev}`],
  addr: (addr) => [`only from the address ${addr}`],
  transport: () => ['plain transports may carry it'],
  ss: ({ recipients }) => [
    `sealed to ${many(recipients.length, 'streaming server', 'streaming servers')}, see below`,
  ],
  cph: (cph) => [`SHA-256 of the client part that belongs to it: ${cph}`],
};

/** What it means that a claim is not there. */
export const ABSENT_WORDS: Readonly<Partial<Record<keyof TicketClaims, string>>> = {
  cnf: 'not bound to a key: whoever has the ticket can use it',
  cph: 'no client part',
};
