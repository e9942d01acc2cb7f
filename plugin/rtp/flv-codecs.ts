/** Names of the codecs in FLV tags: the numbers of Adobe FLV 10.1 annex E, and the FourCCs of Enhanced RTMP v2. */

export const CODEC_AVC = 7;
export const SOUND_AAC = 10;
/** Enhanced RTMP: a FourCC says which. */
export const SOUND_ENHANCED = 9;

const VIDEO_CODECS: Readonly<Record<number, string>> = {
  2: 'Sorenson H.263',
  3: 'Screen video',
  4: 'VP6',
  5: 'VP6 with alpha',
  6: 'Screen video 2',
  [CODEC_AVC]: 'H.264',
  8: 'H.263',
  9: 'MPEG-4 Part 2',
  12: 'H.265',
  13: 'AV1',
};

const AUDIO_CODECS: Readonly<Record<number, string>> = {
  0: 'PCM',
  1: 'ADPCM',
  2: 'MP3',
  3: 'PCM',
  4: 'Nellymoser',
  5: 'Nellymoser',
  6: 'Nellymoser',
  7: 'G.711 A-law',
  8: 'G.711 mu-law',
  [SOUND_AAC]: 'AAC',
  11: 'Speex',
  14: 'MP3',
};

const fourCc = (text: string): number => Buffer.from(text, 'latin1').readUInt32BE();

export const FOURCC_AVC = fourCc('avc1');
export const FOURCC_HEVC = fourCc('hvc1');
export const FOURCC_VVC = fourCc('vvc1');
export const FOURCC_AV1 = fourCc('av01');
export const FOURCC_VP9 = fourCc('vp09');
export const FOURCC_VP8 = fourCc('vp08');
export const FOURCC_AAC = fourCc('mp4a');
export const FOURCC_OPUS = fourCc('Opus');

const FOURCCS: ReadonlyMap<number, string> = new Map([
  [FOURCC_AVC, 'H.264'],
  [FOURCC_HEVC, 'H.265'],
  [fourCc('hev1'), 'H.265'],
  [FOURCC_VVC, 'H.266'],
  [FOURCC_AV1, 'AV1'],
  [FOURCC_VP9, 'VP9'],
  [FOURCC_VP8, 'VP8'],
  [FOURCC_AAC, 'AAC'],
  [fourCc('.mp3'), 'MP3'],
  [FOURCC_OPUS, 'Opus'],
  [fourCc('fLaC'), 'FLAC'],
  [fourCc('ac-3'), 'AC-3'],
  [fourCc('ec-3'), 'E-AC-3'],
]);

/** Name of a video tag's CodecID. */
export function videoCodecName(codecId: number): string {
  return VIDEO_CODECS[codecId] ?? `video codec ${codecId}`;
}

/** Name of an audio tag's SoundFormat. */
export function audioCodecName(soundFormat: number): string {
  return AUDIO_CODECS[soundFormat] ?? `audio codec ${soundFormat}`;
}

/** Name of a FourCC (big-endian), or its own four characters; `undefined` where they cannot be printed. */
export function fourCcName(code: number): string | undefined {
  const known = FOURCCS.get(code);
  if (known !== undefined) return known;
  const text = String.fromCharCode(code >>> 24, (code >>> 16) & 255, (code >>> 8) & 255, code & 255);
  return /^[ -~]{4}$/.test(text) ? text : undefined;
}
