/** Reading and writing FLV files for tests. */
import { readFileSync } from 'node:fs';

/** The tags of an FLV file, each with its previous-tag-size behind it. */
export function tagsOf(file: Buffer): Buffer[] {
  const tags: Buffer[] = [];
  for (let offset = 13; offset + 11 <= file.length;) {
    const end = offset + 11 + file.readUIntBE(offset + 1, 3) + 4;
    tags.push(file.subarray(offset, end));
    offset = end;
  }
  return tags;
}

export function clipTags(): Buffer[] {
  return tagsOf(readFileSync(new URL('./fixtures/clip.flv', import.meta.url)));
}

/** One FLV tag with its size behind it. */
export function makeTag(type: number, body: Buffer, timestampMs = 0): Buffer {
  const tag = Buffer.alloc(11 + body.length + 4);
  tag[0] = type;
  tag.writeUIntBE(body.length, 1, 3);
  tag.writeUIntBE(timestampMs & 0xff_ff_ff, 4, 3);
  tag[7] = timestampMs >>> 24;
  body.copy(tag, 11);
  tag.writeUInt32BE(11 + body.length, 11 + body.length);
  return tag;
}

/** A copy of a tag with another timestamp (modulo 2^32). */
export function atTime(tag: Buffer, timestampMs: number): Buffer {
  return makeTag(tag[0]!, tag.subarray(11, tag.length - 4), timestampMs >>> 0);
}

export function timeOf(tag: Buffer): number {
  return tag.readUIntBE(4, 3) + tag[7]! * 2 ** 24;
}

export function isConfig(tag: Buffer): boolean {
  return tag[0] !== 18 && tag[12] === 0;
}

/** An AVC tag of the given NAL units, with 4-byte lengths. */
export function avcTag(
  nals: readonly Buffer[],
  options: { key: boolean; cts?: number; timeMs?: number },
): Buffer {
  const head = Buffer.from([options.key ? 0x17 : 0x27, 1, 0, 0, 0]);
  head.writeIntBE(options.cts ?? 0, 2, 3);
  const parts = nals.flatMap((nal) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(nal.length);
    return [length, nal];
  });
  return makeTag(9, Buffer.concat([head, ...parts]), options.timeMs);
}

/** An AVC sequence header tag of one SPS and one PPS. */
export function avcConfigTag(sps: Buffer, pps: Buffer, timeMs = 0): Buffer {
  const lengthOf = (set: Buffer): Buffer => Buffer.from([set.length >> 8, set.length & 0xff]);
  const record = Buffer.concat([
    ...[Buffer.from([1, sps[1]!, sps[2]!, sps[3]!, 0xff, 0xe1]), lengthOf(sps), sps],
    ...[Buffer.from([1]), lengthOf(pps), pps],
  ]);
  return makeTag(9, Buffer.concat([Buffer.from([0x17, 0, 0, 0, 0]), record]), timeMs);
}
