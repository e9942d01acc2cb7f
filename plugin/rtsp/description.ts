/** What DESCRIBE answers (RFC 2326 appendix C, RFC 8866), with the keys of each line (RFC 4567, RFC 4568). */
import type { AacCodec, VideoCodec } from '../ports.ts';
import { formatKeyMgmtAttribute, formatSdes, type SrtpMasterKey, type SrtpSuiteName } from '../srtp/index.ts';
import { buildNullMessage } from '../srtp/mikey/index.ts';
import { controlOf, type LineKind } from './url.ts';

/** What one line of one session is protected with; never used for another. */
export interface LineKey {
  readonly suite: SrtpSuiteName;
  readonly master: SrtpMasterKey;
  /** The only stream under the key. */
  readonly ssrc: number;
  /** Master key identifier, which packets then carry. */
  readonly mki?: Uint8Array;
}

export interface DescribedLine {
  readonly kind: LineKind;
  /** `undefined`: Opus. */
  readonly codec: VideoCodec | AacCodec | undefined;
  /** 96 to 127. */
  readonly payloadType: number;
  readonly key: LineKey;
}

export interface Description {
  /** Decimal digits: RFC 8866 section 5.2. */
  readonly id: number;
  readonly lines: readonly DescribedLine[];
  /** Unix time in milliseconds. */
  readonly nowMs: number;
  /** False where the client brings the keys. */
  readonly saysKeys: boolean;
}

/** Profile-level-id of AAC LC (ISO/IEC 14496-3 table 1.14): levels 2, 4 and 5; beyond, none. */
function aacLevelOf({ sampleRateHz, channels }: AacCodec): number {
  if (channels > 6) return 0xfe;
  if (sampleRateHz > 48_000) return 0x2b;
  return channels > 2 ? 0x2a : 0x29;
}

/** RFC 3640 sections 4.1 and 3.3.6. */
const aacParametersOf = (codec: AacCodec): string =>
  [
    ...['streamtype=5', `profile-level-id=${String(aacLevelOf(codec))}`, 'mode=AAC-hbr'],
    ...['sizelength=13', 'indexlength=3', 'indexdeltalength=3', `config=${codec.config.toString('hex')}`],
  ].join(';');

/** RFC 6184, RFC 7741, RFC 9628, RFC 7587, RFC 3640. */
function formatOf({ codec, payloadType }: DescribedLine): string[] {
  const map = (text: string): string => `a=rtpmap:${String(payloadType)} ${text}`;
  const parameters = (text: string): string => `a=fmtp:${String(payloadType)} ${text}`;
  if (codec === undefined) return [map('opus/48000/2')];
  switch (codec.name) {
    case 'H264':
      return [map('H264/90000'), parameters(`packetization-mode=1;profile-level-id=${codec.profileLevelId}`)];
    case 'AAC':
      return [
        map(`mpeg4-generic/${String(codec.sampleRateHz)}/${String(codec.channels)}`),
        parameters(aacParametersOf(codec)),
      ];
    case 'VP9':
      return [map('VP9/90000'), parameters(`profile-id=${String(codec.profileId)}`)];
    default:
      return [map(`${codec.name}/90000`)];
  }
}

/** Both say the same key: each client reads the one that it knows. */
function keysOf({ key: { suite, master, ssrc } }: DescribedLine, nowMs: number): string[] {
  const message = buildNullMessage({ suite, master, sessions: [{ ssrc }], nowMs });
  return [formatSdes({ tag: 1, suite, master }), formatKeyMgmtAttribute(message)];
}

function linesOf(line: DescribedLine, { nowMs, saysKeys }: Description): string[] {
  const { kind, payloadType } = line;
  return [
    `m=${kind} 0 RTP/SAVP ${String(payloadType)}`,
    ...formatOf(line),
    ...(saysKeys ? keysOf(line, nowMs) : []),
    `a=control:${controlOf(kind)}`,
  ];
}

/** SDP; with keys in it only for a link that nobody reads along on. */
export function formatDescription(description: Description): string {
  const { id, lines } = description;
  return [
    'v=0',
    `o=- ${String(id)} 1 IN IP4 0.0.0.0`,
    's=-',
    'c=IN IP4 0.0.0.0',
    't=0 0',
    'a=control:*',
    'a=range:npt=now-',
    ...lines.flatMap((line) => linesOf(line, description)),
    '',
  ].join('\r\n');
}
