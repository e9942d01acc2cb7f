/** Session descriptions as the suite reads and writes them: just the lines, so that nothing is repaired on the way. */
import { randomBytes, randomInt, X509Certificate } from 'node:crypto';
import { generate } from 'selfsigned';

export interface Section {
  readonly kind: string;
  readonly port: number;
  readonly protocol: string;
  readonly formats: readonly string[];
  /** After the `m=` line. */
  readonly lines: readonly string[];
}

export interface Description {
  /** Session level. */
  readonly lines: readonly string[];
  readonly sections: readonly Section[];
}

export interface Ice {
  readonly ufrag: string;
  readonly pwd: string;
}

const LINE = /^[a-z]=[^\r\n]+$/;
const MEDIA = /^m=(\S+) (\d{1,5})(?:\/\d+)? (\S+) (\S.*)$/;

/** Reads a description (RFC 8866 section 5); `null` when it is none. */
export function readDescription(text: string): Description | null {
  const all = text.split(/\r?\n/);
  if (all.at(-1) === '') all.pop();
  if (all[0] !== 'v=0' || !all.every((line) => LINE.test(line))) return null;
  const lines: string[] = [];
  const sections: (Section & { lines: string[] })[] = [];
  for (const line of all) {
    const current = sections.at(-1);
    if (!line.startsWith('m=')) {
      (current?.lines ?? lines).push(line);
      continue;
    }
    const [, kind, port, protocol, formats] = MEDIA.exec(line) ?? [];
    if (kind === undefined || protocol === undefined || formats === undefined) return null;
    sections.push({ kind, port: Number(port), protocol, formats: formats.trim().split(/ +/), lines: [] });
  }
  const complete = ['o=', 's=', 't='].every((start) => lines.some((line) => line.startsWith(start)));
  return complete && sections.length > 0 ? { lines, sections } : null;
}

interface Lines {
  readonly lines: readonly string[];
}

/** The values of all `a=name:value` lines; '' for `a=name`. */
export function attributes({ lines }: Lines, name: string): readonly string[] {
  return lines.flatMap((line) => {
    if (line === `a=${name}`) return [''];
    return line.startsWith(`a=${name}:`) ? [line.slice(name.length + 3)] : [];
  });
}

export const has = (part: Lines, name: string): boolean => attributes(part, name).length > 0;

/** The first value in the section, else at session level. */
export function inherited(description: Description, section: Section, name: string): string | undefined {
  return attributes(section, name)[0] ?? attributes(description, name)[0];
}

/** Not rejected (RFC 3264 section 6); port 0 is still accepted when the section is bundle-only (RFC 9143 section 6). */
export const isAccepted = (section: Section): boolean => section.port !== 0 || has(section, 'bundle-only');

export const acceptedSections = ({ sections }: Description): readonly Section[] =>
  sections.filter(isAccepted);

const DIRECTIONS = ['sendrecv', 'sendonly', 'recvonly', 'inactive'] as const;
export type Direction = (typeof DIRECTIONS)[number];

/** RFC 8866 section 6.7: sendrecv when nothing is said. */
export function directionOf(description: Description, section: Section): Direction {
  const said = (part: Lines): Direction | undefined => DIRECTIONS.find((direction) => has(part, direction));
  return said(section) ?? said(description) ?? 'sendrecv';
}

/** New credentials of the lengths that browsers use (RFC 8839 section 5.4). */
export const newIce = (): Ice => ({
  ufrag: randomBytes(6).toString('base64').replaceAll(/[+/]/g, 'a'),
  pwd: randomBytes(18).toString('base64').replaceAll(/[+/]/g, 'a'),
});

/** `sha-256 AB:...` of a certificate that is made for this and forgotten (RFC 8122 section 5). */
export async function newFingerprint(): Promise<string> {
  const { cert } = await generate([{ name: 'commonName', value: 'WebRTC' }], {
    keyType: 'ec',
    curve: 'P-256',
  });
  return `sha-256 ${new X509Certificate(cert).fingerprint256}`;
}

const AUDIO = ['a=rtpmap:111 opus/48000/2', 'a=fmtp:111 minptime=10;useinbandfec=1'];
const h264 = (payloadType: number, profile: string): string[] => [
  `a=rtpmap:${payloadType} H264/90000`,
  `a=fmtp:${payloadType} level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=${profile}`,
];
const VIDEO = [...h264(102, '42e01f'), ...h264(127, '42001f'), 'a=rtpmap:96 VP8/90000'].concat(
  ...[102, 127, 96].map((type) => ['ccm fir', 'nack', 'nack pli'].map((text) => `a=rtcp-fb:${type} ${text}`)),
);

/** What a player offers: Opus, H.264 constrained baseline and baseline, VP8, all in one bundle (RFC 9143, RFC 9429). */
export function writeOffer(ice: Ice, fingerprint: string, direction: 'recvonly' | 'sendrecv'): string {
  const common = (mid: number): string[] => [
    'c=IN IP4 0.0.0.0',
    'a=rtcp:9 IN IP4 0.0.0.0',
    `a=ice-ufrag:${ice.ufrag}`,
    `a=ice-pwd:${ice.pwd}`,
    `a=fingerprint:${fingerprint}`,
    'a=setup:actpass',
    `a=mid:${mid}`,
    `a=${direction}`,
    'a=rtcp-mux',
    'a=rtcp-mux-only',
  ];
  const lines = [
    'v=0',
    `o=- ${randomInt(2 ** 47)} 2 IN IP4 127.0.0.1`,
    's=-',
    't=0 0',
    'a=group:BUNDLE 0 1',
    'a=ice-options:trickle ice2',
    ...['m=audio 9 UDP/TLS/RTP/SAVPF 111', ...common(0), ...AUDIO],
    ...['m=video 0 UDP/TLS/RTP/SAVPF 102 127 96', ...common(1), 'a=bundle-only', 'a=rtcp-rsize', ...VIDEO],
  ];
  return `${lines.join('\r\n')}\r\n`;
}

const isTaken = (section: Section): boolean =>
  (section.kind === 'audio' || section.kind === 'video') && isAccepted(section);

/** The answer to a counter-offer: all audio and video is taken (RFC 9429 section 5.3.1, draft section 4.2.5). */
export function writeAnswer(offer: Description, ice: Ice, fingerprint: string): string {
  const repeated = /^a=(mid:|rtpmap:|fmtp:|rtcp-fb:|rtcp-mux|rtcp-rsize)/;
  const sections = offer.sections.flatMap((section) => {
    const { kind, protocol, formats, lines } = section;
    const line = `m=${kind} ${isTaken(section) ? 9 : 0} ${protocol} ${formats.join(' ')}`;
    const kept = lines.filter((text) => repeated.test(text));
    if (!isTaken(section))
      return [line, 'c=IN IP4 0.0.0.0', ...kept.filter((text) => text.startsWith('a=mid:'))];
    const setup = inherited(offer, section, 'setup') === 'passive' ? 'active' : 'passive';
    return [
      line,
      'c=IN IP4 0.0.0.0',
      `a=ice-ufrag:${ice.ufrag}`,
      `a=ice-pwd:${ice.pwd}`,
      `a=fingerprint:${fingerprint}`,
      `a=setup:${setup}`,
      'a=recvonly',
      ...kept,
    ];
  });
  const origin = `o=- ${randomInt(2 ** 47)} 2 IN IP4 127.0.0.1`;
  // RFC 9143 section 7.3.3: rejected sections leave the group.
  const mids = offer.sections.filter(isTaken).flatMap((section) => attributes(section, 'mid'));
  const bundle = `a=group:BUNDLE ${mids.join(' ')}`;
  return `${['v=0', origin, 's=-', 't=0 0', bundle, ...sections].join('\r\n')}\r\n`;
}

/** A PATCH body: ICE of the bundle's tagged section of one's own description (RFC 8840 section 9, draft section 4.4.2). */
export function writeFragment(own: Description, ice: Ice, candidates: readonly string[]): string {
  const [tagged] = acceptedSections(own);
  const section =
    tagged === undefined
      ? []
      : [
          `m=${tagged.kind} 9 ${tagged.protocol} ${tagged.formats.join(' ')}`,
          ...attributes(tagged, 'mid').map((mid) => `a=mid:${mid}`),
        ];
  const options = attributes(own, 'ice-options').map((text) => `a=ice-options:${text}`);
  const groups = attributes(own, 'group').map((text) => `a=group:${text}`);
  const credentials = [`a=ice-ufrag:${ice.ufrag}`, `a=ice-pwd:${ice.pwd}`];
  const found = candidates.map((text) => `a=candidate:${text}`);
  return `${[...options, ...groups, ...section, ...credentials, ...found].join('\r\n')}\r\n`;
}
