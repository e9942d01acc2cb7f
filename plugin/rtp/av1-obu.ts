/** Open bitstream units (AV1 bitstream specification, section 5.3) and the av1C record that configures them. */
import { FormatError } from './format-error.ts';

export const OBU_SEQUENCE_HEADER = 1;
const OBU_TEMPORAL_DELIMITER = 2;
const OBU_TILE_LIST = 8;
const OBU_PADDING = 15;

const FORBIDDEN = 0x80;
const HAS_EXTENSION = 0x04;
export const HAS_SIZE = 0x02;
const MAX_SIZE_BYTES = 8;
/** More than any encoder makes of one picture; keeps one tag from becoming a flood of tiny elements. */
const MAX_OBUS = 1000;
/** Of the av1C record, before its units (AV1 in ISO files, section 2.3). */
const CONFIG_BYTES = 4;

export const obuType = (obu: Buffer): number => ((obu[0] ?? 0) >> 3) & 0x0f;

/** 2 with an extension, else 1. */
export const obuHeaderBytes = (obu: Buffer): number => ((obu[0] ?? 0) & HAS_EXTENSION ? 2 : 1);

/** RTP carries neither delimiters nor tile lists (AV1 RTP specification, section 5); padding carries nothing. */
const isSent = (type: number): boolean =>
  type !== OBU_TEMPORAL_DELIMITER && type !== OBU_TILE_LIST && type !== OBU_PADDING;

/**
 * Where the payload of an OBU begins: behind its header and, if it has one, its size.
 * @param obu one of `readObus`
 */
export function obuPayloadAt(obu: Buffer): number {
  let at = obuHeaderBytes(obu);
  if (((obu[0] ?? 0) & HAS_SIZE) === 0) return at;
  while ((obu[at] ?? 0) & 0x80) at += 1;
  return at + 1;
}

/**
 * Takes a temporal unit apart into the units that RTP carries, as they are in it: views of `data`.
 * @param data units with their sizes; the last one may have none
 * @throws FormatError
 */
export function readObus(data: Buffer): Buffer[] {
  const obus: Buffer[] = [];
  for (let start = 0, count = 0; start < data.length; count++) {
    if (count === MAX_OBUS) throw new FormatError('av1', 'too many OBUs in one temporal unit');
    const end = endOfObu(data, start);
    const obu = data.subarray(start, end);
    if (isSent(obuType(obu))) obus.push(obu);
    start = end;
  }
  return obus;
}

function endOfObu(data: Buffer, start: number): number {
  const head = data[start] ?? 0;
  if (head & FORBIDDEN) throw new FormatError('av1', 'the forbidden bit is set');
  let at = start + (head & HAS_EXTENSION ? 2 : 1);
  if (at > data.length) throw new FormatError('av1', 'OBU header is cut off');
  if ((head & HAS_SIZE) === 0) return data.length;
  let sizeBytes = 0;
  for (let index = 0; ; index++) {
    const byte = data[at++];
    if (byte === undefined || index === MAX_SIZE_BYTES) throw new FormatError('av1', 'OBU size without end');
    sizeBytes += (byte & 0x7f) * 2 ** (7 * index);
    if ((byte & 0x80) === 0) break;
  }
  if (at + sizeBytes > data.length) throw new FormatError('av1', 'OBU is longer than its temporal unit');
  return at + sizeBytes;
}

/** @throws FormatError for a profile that the specification (section 6.4.1) has not given a meaning */
function checkProfile(profile: number): number {
  if (profile > 2) throw new FormatError('av1', 'reserved profile');
  return profile;
}

/**
 * seq_profile (0 to 2) of a sequence header among the units; `undefined` without one.
 * @throws FormatError
 */
export function av1ProfileOf(obus: readonly Buffer[]): number | undefined {
  const header = obus.find((obu) => obuType(obu) === OBU_SEQUENCE_HEADER);
  return header === undefined ? undefined : checkProfile((header[obuPayloadAt(header)] ?? 0) >> 5);
}

export interface Av1Config {
  /** 0 to 2. */
  readonly profile: number;
  /** `undefined` where the keyframes bring it. A view of the record. */
  readonly sequenceHeader: Buffer | undefined;
}

/**
 * Parses an AV1CodecConfigurationRecord (AV1 in ISO files, section 2.3).
 * @throws FormatError
 */
export function parseAv1Config(record: Buffer): Av1Config {
  if (record.length < CONFIG_BYTES) throw new FormatError('av1', 'configuration record is cut off');
  return {
    profile: checkProfile((record[1] ?? 0) >> 5),
    sequenceHeader: readObus(record.subarray(CONFIG_BYTES)).find(
      (obu) => obuType(obu) === OBU_SEQUENCE_HEADER,
    ),
  };
}
