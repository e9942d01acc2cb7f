const OPUS = /^a=rtpmap:(\d{1,3}) opus\/48000\/2\s*$/im;

/**
 * An offer that asks for both channels of Opus (RFC 7587 section 6.1) and for its lost packets (RFC 4585 section 4.2).
 * WebRTC's defaults are for calls: Chromium and Safari would play mono and ask for nothing. An offer that says how many
 * channels it wants, as Firefox's does, stays as it is.
 */
export function askForFullSound(sdp: string): string {
  const payloadType = OPUS.exec(sdp)?.[1];
  if (payloadType === undefined) return sdp;
  return sdp
    .split('\r\n')
    .flatMap((line) =>
      line.startsWith(`a=fmtp:${payloadType} `) && !/[ ;]stereo=/.test(line)
        ? [`a=rtcp-fb:${payloadType} nack`, `${line};stereo=1`]
        : [line],
    )
    .join('\r\n');
}
