export type MediaFormat = 'flv' | 'h264' | 'vp9' | 'av1' | 'aac' | 'ivf' | 'ogg' | 'opus';

/** Media that breaks its format. The message names the rule; it never quotes the media. */
export class FormatError extends Error {
  override readonly name = 'FormatError';
  readonly format: MediaFormat;

  constructor(format: MediaFormat, message: string) {
    super(message);
    this.format = format;
  }
}
