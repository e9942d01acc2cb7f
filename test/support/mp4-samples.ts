/** The samples of an MP4 file with one track, and its codec's configuration record; as ffmpeg writes it. */

export interface Mp4Sample {
  readonly dtsMs: number;
  readonly compositionMs: number;
  readonly keyframe: boolean;
  readonly data: Buffer;
}

const BOX_HEAD_BYTES = 8;

function boxAt(file: Buffer, path: readonly string[], from = 0, to = file.length): Buffer {
  const [name = '', ...rest] = path;
  for (let at = from; at + BOX_HEAD_BYTES <= to;) {
    const end = at + file.readUInt32BE(at);
    if (file.toString('latin1', at + 4, at + 8) === name) {
      return rest.length === 0
        ? file.subarray(at + BOX_HEAD_BYTES, end)
        : boxAt(file, rest, at + BOX_HEAD_BYTES, end);
    }
    at = end;
  }
  throw new Error(`no ${name} in this MP4`);
}

/** The entries of a table box behind its version and count, each of so many 32-bit numbers. */
function tableOf(box: Buffer, width: number): number[][] {
  return Array.from({ length: box.readUInt32BE(4) }, (_, row) =>
    Array.from({ length: width }, (_value, column) => box.readInt32BE(8 + (row * width + column) * 4)),
  );
}

/** One number per sample, from counts and values. */
const spread = (rows: readonly number[][]): number[] =>
  rows.flatMap(([count = 0, value = 0]) => Array<number>(count).fill(value));

/**
 * Reads a file whose only track has the time scale 1000.
 * @param recordBox name of the box that holds the configuration record: `avcC`, `hvcC`, `av1C`, `vpcC`
 */
export function readMp4(file: Buffer, recordBox: string): { record: Buffer; samples: Mp4Sample[] } {
  const stbl = ['moov', 'trak', 'mdia', 'minf', 'stbl'];
  const at = file.indexOf(recordBox, 0, 'latin1');
  const record = file.subarray(at + 4, at - 4 + file.readUInt32BE(at - 4));
  const durations = spread(tableOf(boxAt(file, [...stbl, 'stts']), 2));
  const hasReordering = boxAt(file, stbl).includes('ctts');
  const offsets = hasReordering ? spread(tableOf(boxAt(file, [...stbl, 'ctts']), 2)) : [];
  const keys = boxAt(file, stbl).includes('stss')
    ? new Set(tableOf(boxAt(file, [...stbl, 'stss']), 1).map(([number]) => number))
    : undefined;
  const sizeBox = boxAt(file, [...stbl, 'stsz']);
  const [[chunkAt = 0] = []] = tableOf(boxAt(file, [...stbl, 'stco']), 1);
  let dataAt = chunkAt;
  let dtsMs = 0;
  const samples = durations.map((durationMs, index) => {
    const sizeBytes = sizeBox.readUInt32BE(12 + index * 4);
    const sample = {
      dtsMs,
      compositionMs: offsets[index] ?? 0,
      keyframe: keys?.has(index + 1) ?? true,
      data: file.subarray(dataAt, dataAt + sizeBytes),
    };
    dataAt += sizeBytes;
    dtsMs += durationMs;
    return sample;
  });
  return { record, samples };
}
