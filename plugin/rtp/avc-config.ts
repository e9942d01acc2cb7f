import { FormatError } from './format-error.ts';

/** What an AVCDecoderConfigurationRecord (ISO/IEC 14496-15 section 5.2.4.1) says. */
export interface AvcConfig {
  readonly sps: readonly Buffer[];
  readonly pps: readonly Buffer[];
  /** Bytes of the length in front of each NAL unit. */
  readonly nalLengthBytes: NalLengthBytes;
  /** Six lower-case hex digits, read from the first SPS (RFC 6184 section 8.1). */
  readonly profileLevelId: string;
}

export type NalLengthBytes = 1 | 2 | 4;

/** Of any configuration record: a keyframe may have it in front. Encoders write some hundred bytes at most. */
export const MAX_RECORD_BYTES = 65_536;

const NAL_SPS = 7;
const NAL_PPS = 8;

/** profile-level-id of an SPS, or `undefined` if the SPS is too short to have one. */
export function profileLevelIdOf(sps: Buffer): string | undefined {
  return sps.length < 4 ? undefined : sps.toString('hex', 1, 4);
}

/**
 * Parses an AVCDecoderConfigurationRecord. The parameter sets are views of `record`.
 * @throws FormatError
 */
export function parseAvcConfig(record: Buffer): AvcConfig {
  if (record.length < 7 || record[0] !== 1) throw new FormatError('h264', 'no version 1 decoder record');
  if (record.length > MAX_RECORD_BYTES) throw new FormatError('h264', 'decoder record is too long');
  const nalLengthBytes = ((record[4] ?? 0) & 3) + 1;
  if (nalLengthBytes === 3) throw new FormatError('h264', 'NAL unit lengths of 3 bytes');
  let offset = 5;

  function readSets(count: number, type: number): Buffer[] {
    const sets: Buffer[] = [];
    for (let i = 0; i < count; i++) {
      if (offset + 2 > record.length) throw new FormatError('h264', 'decoder record ends early');
      const end = offset + 2 + record.readUInt16BE(offset);
      const set = record.subarray(offset + 2, end);
      if (end > record.length || set.length === 0 || ((set[0] ?? 0) & 0x1f) !== type) {
        throw new FormatError('h264', 'decoder record holds no such parameter set');
      }
      sets.push(set);
      offset = end;
    }
    return sets;
  }

  const sps = readSets((record[offset++] ?? 0) & 0x1f, NAL_SPS);
  if (offset >= record.length) throw new FormatError('h264', 'decoder record ends early');
  const pps = readSets(record[offset++] ?? 0, NAL_PPS);
  const profileLevelId = sps[0] === undefined ? undefined : profileLevelIdOf(sps[0]);
  if (profileLevelId === undefined || pps.length === 0) {
    throw new FormatError('h264', 'decoder record without parameter sets');
  }
  // What follows (chroma format and the like, for High profiles) is in the SPS as well.
  return { sps, pps, nalLengthBytes: nalLengthBytes as NalLengthBytes, profileLevelId };
}
