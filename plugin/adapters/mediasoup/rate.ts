/** What an RTP stream carries each second. */
export interface Rate {
  /** Of payload. */
  readonly bitsPerSecond: number;
  readonly picturesPerSecond: number;
}

export interface RtpRateMeter {
  /**
   * To be called about once a second with what there has been so far; without pictures where they were not counted.
   */
  note(progress: { readonly octets: number; readonly pictures?: number } | undefined, nowMs: number): void;
  /** Between the last two notes. */
  read(): Rate;
}

export function createRtpRateMeter(): RtpRateMeter {
  let last: { readonly octets: number; readonly nowMs: number } | undefined;
  let lastPictures = 0;
  /** When they were last counted. */
  let seenPerSecond = 0;
  let rate: Rate = { bitsPerSecond: 0, picturesPerSecond: 0 };
  return {
    note(progress, nowMs) {
      const { octets = 0, pictures } = progress ?? { pictures: 0 };
      const seconds = last === undefined ? 0 : (nowMs - last.nowMs) / 1000;
      if (last !== undefined && seconds > 0) {
        if (pictures !== undefined) seenPerSecond = (pictures - lastPictures) / seconds;
        rate = {
          bitsPerSecond: Math.round(((octets - last.octets) * 8) / seconds),
          picturesPerSecond: octets === last.octets ? 0 : Math.round(seenPerSecond * 10) / 10,
        };
      }
      last = { octets, nowMs };
      lastPictures = pictures ?? lastPictures;
    },
    read: () => rate,
  };
}
