/** H.264 profiles as SDP names them: the first two bytes of profile-level-id (RFC 6184 section 8.1, table 5). */
export type H264Profile =
  'constrained-baseline' | 'baseline' | 'main' | 'constrained-high' | 'high' | 'high-444';

/** One spelling per profile, at level 3.1; two spellings of one profile must not become two routers. */
export const CANONICAL: Readonly<Record<H264Profile, string>> = {
  'constrained-baseline': '42e01f',
  baseline: '42001f',
  main: '4d001f',
  'constrained-high': '640c1f',
  high: '64001f',
  'high-444': 'f4001f',
};

/** profile_idc, and the constraint flags: under `mask` they must equal `flags`. */
const PATTERNS: readonly { idc: number; mask: number; flags: number; profile: H264Profile }[] = [
  { idc: 0x42, mask: 0x4f, flags: 0x40, profile: 'constrained-baseline' },
  { idc: 0x4d, mask: 0x8f, flags: 0x80, profile: 'constrained-baseline' },
  { idc: 0x58, mask: 0xcf, flags: 0xc0, profile: 'constrained-baseline' },
  { idc: 0x42, mask: 0x4f, flags: 0x00, profile: 'baseline' },
  { idc: 0x58, mask: 0xcf, flags: 0x80, profile: 'baseline' },
  { idc: 0x4d, mask: 0xaf, flags: 0x00, profile: 'main' },
  { idc: 0x64, mask: 0xff, flags: 0x00, profile: 'high' },
  { idc: 0x64, mask: 0xff, flags: 0x0c, profile: 'constrained-high' },
  { idc: 0xf4, mask: 0xff, flags: 0x00, profile: 'high-444' },
];

/**
 * Which decoders show a stream, the closest first: a decoder of a profile decodes what its profile contains. Baseline
 * without the constraint flag may use tools (FMO, ASO) that nobody else has. Some builds of Chromium offer no High, but
 * High 4:4:4 Predictive, which contains it (ITU-T H.264 A.2.11).
 */
export const SHOWN_BY: Readonly<Record<H264Profile, readonly H264Profile[]>> = {
  'constrained-baseline': [
    'constrained-baseline',
    'baseline',
    'main',
    'constrained-high',
    'high',
    'high-444',
  ],
  baseline: ['baseline'],
  main: ['main', 'high', 'high-444'],
  'constrained-high': ['constrained-high', 'high', 'high-444'],
  high: ['high', 'high-444'],
  'high-444': ['high-444'],
};

/** The profile of a profile-level-id of six hex digits; `undefined` for others. The level does not matter here. */
export function profileOf(profileLevelId: string): H264Profile | undefined {
  if (!/^[0-9a-f]{6}$/i.test(profileLevelId)) return undefined;
  const idc = parseInt(profileLevelId.slice(0, 2), 16);
  const flags = parseInt(profileLevelId.slice(2, 4), 16);
  return PATTERNS.find((pattern) => pattern.idc === idc && (flags & pattern.mask) === pattern.flags)?.profile;
}
