/** What a publisher sends over RTMP, as tags and as a file. */
import { createFlvReader, FormatError, parseFlvTag } from '../../plugin/rtp/index.ts';
import { must, type FuzzTarget } from './target.ts';

const FILE_HEADER = Buffer.from('464c5601050000000900000000', 'hex');

/** Anything that comes through a pipe is cut anywhere: the tags are the same. */
function readFile(file: Buffer, cutBytes: number): { tags: Buffer[]; refusal: unknown } {
  const tags: Buffer[] = [];
  const reader = createFlvReader((tag) => tags.push(tag));
  try {
    for (let at = 0; at < file.length; at += cutBytes) reader.push(file.subarray(at, at + cutBytes));
    return { tags, refusal: undefined };
  } catch (refusal) {
    if (!(refusal instanceof FormatError)) throw refusal;
    return { tags, refusal };
  }
}

export function createTarget(): FuzzTarget {
  return {
    take(input) {
      if (input.toString('latin1', 0, 3) !== 'FLV') {
        parseFlvTag(input, ((input[0] ?? 0) & 1) === 0 ? 4 : 2);
        return;
      }
      const whole = readFile(input, Math.max(1, input.length));
      const pieces = readFile(input, 100);
      must(Buffer.concat(whole.tags).equals(Buffer.concat(pieces.tags)), 'tags do not depend on the cuts');
      must(String(whole.refusal) === String(pieces.refusal), 'nor does the refusal');
      for (const tag of whole.tags) parseFlvTag(tag);
      if (whole.refusal instanceof FormatError) throw whole.refusal;
    },
    refusals: [FormatError],
    seeds: [FILE_HEADER],
    folders: [],
    words: [
      'FLV',
      'hvc1',
      'av01',
      'vp09',
      'vp08',
      'avc1',
      'mp4a',
      'Opus',
      '.mp3',
      '\u0000\u0000\u0000\u0001',
      '\u0017\u0000\u0000\u0000\u0000',
      '\u00af\u0000',
    ],
  };
}
