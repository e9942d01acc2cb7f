import type { SpliceProgress } from './splice.ts';

/** What an RTP stream carries each second. */
export interface Rate {
  /** Of payload. */
  readonly bitsPerSecond: number;
  readonly picturesPerSecond: number;
}

export interface RtpRateMeter {
  /** To be called about once a second. */
  note(progress: SpliceProgress | undefined, nowMs: number): void;
  /** Between the last two notes. */
  read(): Rate;
}

export function createRtpRateMeter(): RtpRateMeter {
  let last: { readonly octets: number; readonly pictures: number; readonly nowMs: number } | undefined;
  let rate: Rate = { bitsPerSecond: 0, picturesPerSecond: 0 };
  return {
    note(progress, nowMs) {
      const { octets = 0, pictures = 0 } = progress ?? {};
      const seconds = last === undefined ? 0 : (nowMs - last.nowMs) / 1000;
      if (last !== undefined && seconds > 0) {
        rate = {
          bitsPerSecond: Math.round(((octets - last.octets) * 8) / seconds),
          picturesPerSecond: Math.round(((pictures - last.pictures) / seconds) * 10) / 10,
        };
      }
      last = { octets, pictures, nowMs };
    },
    read: () => rate,
  };
}
