/** WebRTC offers from outside, parsed strictly and within bounds (RFC 8866, RFC 9143, RFC 9429). */
import { parse } from 'sdp-transform';
import { Denial } from '../errors.ts';

export interface OfferCodec {
  readonly payloadType: number;
  /** Encoding name as offered; names are compared without regard to case. */
  readonly name: string;
  /** Hz. */
  readonly clockRate: number;
  readonly channels: number;
  /** The `a=fmtp` text as offered, '' when absent. */
  readonly format: string;
  /** The same by parameter name in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
  readonly rtcpFeedback: readonly { readonly type: string; readonly parameter: string }[];
}

export interface OfferMedia {
  readonly kind: 'audio' | 'video' | 'other';
  readonly mid: string;
  readonly direction: 'sendrecv' | 'recvonly' | 'sendonly' | 'inactive';
  /** True if the viewer can be sent media here; all other sections are rejected in the answer. */
  readonly wanted: boolean;
  /** `<media>`, `<proto>` and `<fmt> ...` of the m= line: a rejection repeats them. */
  readonly line: { readonly media: string; readonly protocol: string; readonly formats: string };
  readonly codecs: readonly OfferCodec[];
  readonly headerExtensions: readonly { readonly id: number; readonly uri: string }[];
}

export interface Offer {
  readonly fingerprint: { readonly algorithm: 'sha-256'; readonly value: string };
  /** `sha-256 AB:CD:...`, upper-case: what a proof of possession carries. */
  readonly fingerprintText: string;
  /** ICE credentials of the bundle's first section. */
  readonly iceUfrag: string;
  readonly icePwd: string;
  readonly setup: 'actpass' | 'active';
  readonly bundle: readonly string[];
  readonly media: readonly OfferMedia[];
}

export const MAX_OFFER_BYTES = 64 * 1024;
const MAX_SECTIONS = 8;
const MAX_LINE_CHARS = 2048;
const MAX_ITEMS_PER_SECTION = 256;

const LINE = /^[a-z]=[^\p{Cc}]*$/u;
const FINGERPRINT = /^a=fingerprint:([A-Za-z0-9-]{1,20}) ([0-9A-Fa-f:]{2,200})$/;
const SHA256 = /^[0-9A-F]{2}(?::[0-9A-F]{2}){31}$/;
const MID = /^[A-Za-z0-9!#$%&'*+.^_`{|}~-]{1,32}$/;
const UFRAG = /^[A-Za-z0-9+/]{4,256}$/;
const PWD = /^[A-Za-z0-9+/]{22,256}$/;

const malformed = (detail: string): Denial => new Denial('sdp_malformed', { detail });
const unsupported = (detail: string): Denial => new Denial('offer_unsupported', { detail });

type Section = ReturnType<typeof parse>['media'][number];

/** The parser turns digits into numbers and leaves out what it did not find; here is the text again. */
function text(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

function integer(value: unknown, low: number, high: number, what: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < low || value > high) {
    throw malformed(what);
  }
  return value;
}

function bounded<T>(items: readonly T[] | undefined, what: string): readonly T[] {
  if (items !== undefined && items.length > MAX_ITEMS_PER_SECTION) throw malformed(`too many ${what}`);
  return items ?? [];
}

function splitLines(sdp: string): readonly string[] {
  if (Buffer.byteLength(sdp) > MAX_OFFER_BYTES) throw new Denial('body_too_large');
  const lines = sdp.split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  if (lines[0] !== 'v=0') throw malformed('v=0 must come first');
  for (const line of lines) {
    if (line.length > MAX_LINE_CHARS) throw malformed('a line is too long');
    if (!LINE.test(line)) throw malformed('a line is not <letter>=<text>');
  }
  const sections = lines.filter((line) => line.startsWith('m=')).length;
  if (sections === 0) throw malformed('there is no m= line');
  if (sections > MAX_SECTIONS) throw unsupported(`more than ${MAX_SECTIONS} m= lines`);
  return lines;
}

/**
 * The one SHA-256 fingerprint (RFC 8122) of the session level and of each section. A section may carry several lines
 * of different hashes, and the parser keeps only the last: hence by hand. Two values would leave open which
 * certificate the proof of possession speaks of.
 */
function readFingerprints(lines: readonly string[]): { value: string; sections: ReadonlySet<number> } {
  const sections = new Set<number>();
  let section = -1;
  let value: string | undefined;
  for (const line of lines) {
    if (line.startsWith('m=')) section += 1;
    if (!line.startsWith('a=fingerprint:')) continue;
    const [, algorithm, hash] = FINGERPRINT.exec(line) ?? [];
    if (algorithm === undefined || hash === undefined) throw malformed('fingerprint');
    if (algorithm.toLowerCase() !== 'sha-256') continue;
    const found = hash.toUpperCase();
    if (!SHA256.test(found)) throw malformed('fingerprint');
    if (value !== undefined && value !== found) throw malformed('the fingerprints differ');
    value = found;
    sections.add(section);
  }
  if (value === undefined) throw unsupported('no sha-256 fingerprint');
  return { value, sections };
}

function readParameters(format: string): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  for (const part of format.split(';')) {
    const [name = '', ...value] = part.trim().split('=');
    if (name !== '') parameters.set(name.toLowerCase(), value.join('='));
  }
  return parameters;
}

function readCodecs(section: Section): readonly OfferCodec[] {
  const listed = new Set(text(section.payloads).split(' '));
  const formats = new Map(
    bounded(section.fmtp, 'fmtp').map((line) => [text(line.payload), text(line.config)]),
  );
  const feedback = bounded(section.rtcpFb, 'rtcp-fb');
  const codecs = new Map<number, OfferCodec>();
  for (const { payload, codec, rate, encoding } of bounded(section.rtp, 'rtpmap')) {
    const payloadType = integer(payload, 0, 127, 'payload type');
    if (!listed.has(String(payloadType))) continue;
    if (codecs.has(payloadType)) throw malformed('a payload type is mapped twice');
    // With rtcp-mux these cannot be told from RTCP (RFC 5761 section 4).
    if (payloadType >= 64 && payloadType <= 95) continue;
    const format = formats.get(String(payloadType)) ?? '';
    codecs.set(payloadType, {
      payloadType,
      name: text(codec),
      clockRate: integer(rate, 1, 1_000_000, 'clock rate'),
      channels: encoding === undefined ? 1 : integer(encoding, 1, 255, 'channels'),
      format,
      parameters: readParameters(format),
      rtcpFeedback: feedback
        .filter((line) => ['*', String(payloadType)].includes(text(line.payload)))
        .map((line) => ({ type: text(line.type), parameter: text(line.subtype) })),
    });
  }
  return [...codecs.values()];
}

function readSection(section: Section, bundle: readonly string[]): OfferMedia {
  const line = { media: section.type, protocol: section.protocol, formats: text(section.payloads) };
  if (line.media === '' || line.protocol === '') throw malformed('m= line');
  const mid = text(section.mid);
  if (!MID.test(mid)) throw malformed('mid');
  const kind = line.media === 'audio' || line.media === 'video' ? line.media : 'other';
  const direction = section.direction ?? 'sendrecv';
  // RFC 9143 section 7.1: port 0 is a rejected section unless it is bundle-only.
  const offered = section.port !== 0 || section.bundleOnly !== undefined;
  const receives = direction === 'recvonly' || direction === 'sendrecv';
  const wanted = kind !== 'other' && offered && receives && line.protocol === 'UDP/TLS/RTP/SAVPF';
  if (!wanted) return { kind, mid, direction, wanted, line, codecs: [], headerExtensions: [] };
  if (!bundle.includes(mid)) throw unsupported('a section is outside the BUNDLE group');
  if (section.rtcpMux === undefined) throw unsupported('a section is without rtcp-mux');
  const headerExtensions = bounded(section.ext, 'extmap').map((extension) => ({
    id: integer(extension.value, 1, 4351, 'extmap id'),
    uri: text(extension.uri),
  }));
  return { kind, mid, direction, wanted, line, codecs: readCodecs(section), headerExtensions };
}

function readBundle(groups: readonly { type: string; mids: string }[] | undefined): readonly string[] {
  const bundles = (groups ?? []).filter((group) => group.type === 'BUNDLE');
  if (bundles.length === 0) throw unsupported('no BUNDLE group');
  if (bundles.length > 1) throw unsupported('more than one BUNDLE group');
  return text(bundles[0]?.mids)
    .split(' ')
    .filter((mid) => mid !== '');
}

function readIce(
  section: Section | undefined,
  session: ReturnType<typeof parse>,
): { ufrag: string; pwd: string } {
  const ufrag = text(section?.iceUfrag ?? session.iceUfrag);
  const pwd = text(section?.icePwd ?? session.icePwd);
  if (!UFRAG.test(ufrag) || !PWD.test(pwd)) throw malformed('ice-ufrag or ice-pwd');
  return { ufrag, pwd };
}

function readSetup(section: Section, session: ReturnType<typeof parse>): 'actpass' | 'active' {
  const setup = text(section.setup ?? session.setup);
  // This end is the DTLS server (RFC 8842 section 5.3); a missing attribute means active (RFC 4145 section 4).
  if (setup === '' || setup === 'active') return 'active';
  if (setup === 'actpass') return 'actpass';
  throw unsupported('setup');
}

/**
 * Parses a viewer's offer of at most 64 KiB, 8 sections and 2048 characters a line.
 * @throws Denial `sdp_malformed`, `offer_unsupported` (a sound offer that this end cannot answer), `body_too_large`.
 */
export function parseOffer(sdp: string): Offer {
  const lines = splitLines(sdp);
  const fingerprints = readFingerprints(lines);
  const session = parse(sdp);
  const bundle = readBundle(session.groups);
  const media = session.media.map((section) => readSection(section, bundle));
  if (new Set(media.map(({ mid }) => mid)).size !== media.length) throw malformed('a mid is used twice');
  const wanted = session.media.filter((_, index) => media[index]?.wanted === true);
  const [first] = wanted;
  if (first === undefined) throw unsupported('no section that receives audio or video');
  media.forEach((section, index) => {
    if (section.wanted && !fingerprints.sections.has(-1) && !fingerprints.sections.has(index)) {
      throw unsupported('a section is without a sha-256 fingerprint');
    }
  });
  const setups = new Set(wanted.map((section) => readSetup(section, session)));
  if (setups.size > 1) throw malformed('the setup roles differ');
  const tagged = session.media.find((section) => text(section.mid) === bundle[0]);
  const { ufrag, pwd } = readIce(tagged, session);
  return {
    fingerprint: { algorithm: 'sha-256', value: fingerprints.value },
    fingerprintText: `sha-256 ${fingerprints.value}`,
    iceUfrag: ufrag,
    icePwd: pwd,
    setup: setups.has('active') ? 'active' : 'actpass',
    bundle,
    media,
  };
}
